"""The write models under torture: orders, and the stock they reserve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twofold.errors import Rejected
from twofold.write.decider import Decider

Curse = Literal["", "until fixed", "for ever"]
"""Of an event that the deployed fold of `order_rows` rejects; the corrected fold accepts one of the two."""


# ---- stock: the hot streams


@dataclass(frozen=True, slots=True)
class Deliver:
    """Put pieces on the shelf. 0 changes nothing, a negative number is refused, and some notes cannot be stored."""

    quantity: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Take pieces off the shelf for an order, all or none."""

    order: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """Pieces came."""

    quantity: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Reserved:
    """Pieces were reserved for an order."""

    order: str
    quantity: int


@dataclass(frozen=True, slots=True)
class ReservationRefused:
    """There were too few pieces."""

    order: str
    quantity: int


StockEvent = Delivered | Reserved | ReservationRefused


@dataclass(frozen=True, slots=True)
class Shelf:
    """The state of a product's stock."""

    available: int = 0


def decide_stock(command: Deliver | Reserve, shelf: Shelf) -> list[StockEvent]:
    """Stock never falls below zero."""
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
            raise Rejected(f"{command}: a delivery cannot be negative")


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
    """A quantity of a product; an order names each product once."""

    product: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Place:
    """Order something."""

    items: tuple[Item, ...]
    curse: Curse = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel an order; a second time has no effect."""

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
    """Appended together with `Placed`, or not at all."""

    pieces: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The stock replied."""

    product: str
    reserved: bool


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The order was cancelled."""

    curse: Curse = ""


OrderEvent = Placed | Paid | Answered | Cancelled


@dataclass(frozen=True, slots=True)
class Order:
    """The state of an order."""

    status: Literal["new", "placed", "cancelled"] = "new"


def decide_order(command: Place | Cancel | Answer, order: Order) -> list[OrderEvent]:
    """Placed once, cancelled once; the stock's reply is always noted."""
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
