"""The write models under torture: orders, and the stock that they reserve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twofold.errors import Rejected
from twofold.write.decider import Decider

Curse = Literal["", "until fixed", "for ever"]
"""Of an event that the deployed fold of `order_rows` cannot take; one of the two the corrected fold can."""


# ---- stock: the hot streams


@dataclass(frozen=True, slots=True)
class Deliver:
    """Put pieces on the shelf. None changes nothing, fewer is refused, and not every note can be stored."""

    quantity: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Take pieces from the shelf for an order, all or none."""

    order: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """Pieces came."""

    quantity: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Reserved:
    """Pieces are kept for an order."""

    order: str
    quantity: int


@dataclass(frozen=True, slots=True)
class ReservationRefused:
    """There were too few."""

    order: str
    quantity: int


StockEvent = Delivered | Reserved | ReservationRefused


@dataclass(frozen=True, slots=True)
class Shelf:
    """What a product knows of itself."""

    available: int = 0


def decide_stock(command: Deliver | Reserve, shelf: Shelf) -> list[StockEvent]:
    """Never below nothing."""
    match command:
        case Deliver(0, _):
            return []
        case Deliver(quantity, note) if quantity > 0:
            return [Delivered(quantity, note)]
        case Reserve(order, quantity) if quantity <= shelf.available:
            return [Reserved(order, quantity)]
        case Reserve(order, quantity):
            return [ReservationRefused(order, quantity)]
        case _:
            raise Rejected(f"{command}: a delivery brings something")


def evolve_stock(shelf: Shelf, event: StockEvent) -> Shelf:
    """Count."""
    match event:
        case Delivered(quantity):
            return Shelf(shelf.available + quantity)
        case Reserved(_, quantity):
            return Shelf(shelf.available - quantity)
        case ReservationRefused():
            return shelf


stock = Decider("stock", Shelf(), decide_stock, evolve_stock)


# ---- orders: the spread streams


@dataclass(frozen=True, slots=True)
class Item:
    """So many of a product; an order names each product once."""

    product: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Place:
    """Order something."""

    items: tuple[Item, ...]
    curse: Curse = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give an order up; nothing happens the second time."""

    curse: Curse = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a product could be reserved."""

    product: str
    reserved: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """An order was placed."""

    items: tuple[Item, ...]
    curse: Curse = ""


@dataclass(frozen=True, slots=True)
class Paid:
    """Enters the log together with `Placed`, or not at all."""

    pieces: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The stock has answered."""

    product: str
    reserved: bool


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The order was given up."""

    curse: Curse = ""


OrderEvent = Placed | Paid | Answered | Cancelled


@dataclass(frozen=True, slots=True)
class Order:
    """What an order knows of itself."""

    status: Literal["new", "placed", "cancelled"] = "new"


def decide_order(command: Place | Cancel | Answer, order: Order) -> list[OrderEvent]:
    """Placed once; cancelled once; answered whenever the stock says so."""
    match command:
        case Place(items, curse) if order.status == "new":
            return [Placed(items, curse), Paid(sum(item.quantity for item in items))]
        case Cancel(curse) if order.status == "placed":
            return [Cancelled(curse)]
        case Cancel() if order.status == "cancelled":
            return []
        case Answer(product, reserved) if order.status != "new":
            return [Answered(product, reserved)]
        case _:
            raise Rejected(f"{type(command).__name__}: the order is {order.status}")


def evolve_order(order: Order, event: OrderEvent) -> Order:
    """Only the status matters."""
    match event:
        case Placed():
            return Order("placed")
        case Cancelled():
            return Order("cancelled")
        case Paid() | Answered():
            return order


orders = Decider("order", Order(), decide_order, evolve_order)
