"""The App under torture: orders reserve stock through one reactor, and hear the answer through another.

Rows hold what an error would change: how many events were folded, and a digest of which ones in which order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from twofold.app import App
from twofold.errors import Rejected
from twofold.messages import Recorded
from twofold.react.reactor import Reactor, To
from twofold.read.projection import Projection
from twofold.write.decider import Decider

DIGEST_RANGE = 2**61 - 1


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
    """Order something. What is cursed, `order_rows` cannot fold."""

    items: tuple[Item, ...]
    cursed: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give an order up; nothing happens the second time."""

    cursed: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a product could be reserved."""

    product: str
    reserved: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """An order was placed."""

    items: tuple[Item, ...]
    cursed: bool = False


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

    cursed: bool = False


OrderEvent = Placed | Paid | Answered | Cancelled


@dataclass(frozen=True, slots=True)
class Order:
    """What an order knows of itself."""

    status: Literal["new", "placed", "cancelled"] = "new"


def decide_order(command: Place | Cancel | Answer, order: Order) -> list[OrderEvent]:
    """Placed once; cancelled once; answered whenever the stock says so."""
    match command:
        case Place(items, cursed) if order.status == "new":
            return [Placed(items, cursed), Paid(sum(item.quantity for item in items))]
        case Cancel(cursed) if order.status == "placed":
            return [Cancelled(cursed)]
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


# ---- read models


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order."""

    order_id: str
    status: str = ""
    pieces: int = 0
    answers: int = 0
    version: int = 0
    folded: int = 0
    digest: int = 0


def fold_order(row: OrderRow, event: Placed | Paid | Answered | Cancelled, recorded: Recorded) -> OrderRow:
    """Raises ValueError for what is cursed: on purpose, so that something is parked."""
    if isinstance(event, Placed | Cancelled) and event.cursed:
        raise ValueError("this event is cursed")
    row = replace(row, version=recorded.version, folded=row.folded + 1, digest=digested(row.digest, recorded))
    match event:
        case Placed(items):
            return replace(row, status="placed", pieces=sum(item.quantity for item in items))
        case Answered():
            return replace(row, answers=row.answers + 1)
        case Cancelled():
            return replace(row, status="cancelled")
        case Paid():
            return row


@dataclass(frozen=True, slots=True)
class StockRow:
    """One product."""

    product: str
    available: int = 0
    reserved: int = 0
    refused: int = 0
    version: int = 0
    folded: int = 0
    digest: int = 0


def fold_stock(row: StockRow, event: Delivered | Reserved | ReservationRefused, recorded: Recorded) -> StockRow:
    """What is on the shelf, and what has become of the rest."""
    row = replace(row, version=recorded.version, folded=row.folded + 1, digest=digested(row.digest, recorded))
    match event:
        case Delivered(quantity):
            return replace(row, available=row.available + quantity)
        case Reserved(_, quantity):
            return replace(row, available=row.available - quantity, reserved=row.reserved + quantity)
        case ReservationRefused(_, quantity):
            return replace(row, refused=row.refused + quantity)


@dataclass(frozen=True, slots=True)
class DemandRow:
    """What was asked for of one product, over all orders: one event touches several of these rows."""

    product: str
    orders: int = 0
    pieces: int = 0
    digest: int = 0


def fold_demand(row: DemandRow, event: Placed, recorded: Recorded) -> DemandRow:
    """Add this order's part."""
    pieces = sum(item.quantity for item in event.items if item.product == row.product)
    return DemandRow(row.product, row.orders + 1, row.pieces + pieces, digested(row.digest, recorded))


def products_of(event: Placed, _recorded: Recorded) -> list[str]:
    """The keys of `demand`."""
    return [item.product for item in event.items]


def digested(digest: int, recorded: Recorded) -> int:
    """Changes with every event and with their order."""
    return (digest * 31 + recorded.position.offset) % DIGEST_RANGE


order_rows = Projection("torture_order", OrderRow, fold_order)
stock_rows = Projection("torture_stock", StockRow, fold_stock)
demand_rows = Projection("torture_demand", DemandRow, fold_demand, key=products_of)


# ---- reactors


def reserve(event: Placed, recorded: Recorded) -> list[To]:
    """Every item of a placed order is asked of its product."""
    return [To(stock, item.product, Reserve(recorded.stream.id, item.quantity)) for item in event.items]


def answer(event: Reserved | ReservationRefused, recorded: Recorded) -> list[To]:
    """The order hears what came of it."""
    return [To(orders, event.order, Answer(recorded.stream.id, isinstance(event, Reserved)))]


fulfilment = Reactor("fulfilment", reserve, start="beginning")
answers = Reactor("answers", answer, start="beginning")

app = App(
    "torture",
    deciders=[orders, stock],
    projections=[order_rows, stock_rows, demand_rows],
    reactors=[fulfilment, answers],
)
