"""A warehouse: orders reserve stock through a reactor and get the result back."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal
from zlib import crc32

from twofold.app import App
from twofold.errors import Rejected
from twofold.messages import Recorded
from twofold.react.reactor import Reactor, To
from twofold.read.projection import Projection
from twofold.testing.simulation.scenario import Scenario
from twofold.write.decider import Decider


@dataclass(frozen=True, slots=True)
class Receive:
    """Receive goods."""

    quantity: int


@dataclass(frozen=True, slots=True)
class Reserve:
    """Promise goods to an order."""

    order: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Received:
    """Goods came in."""

    quantity: int


@dataclass(frozen=True, slots=True)
class Reserved:
    """Promised."""

    order: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Refused:
    """There was too little."""

    order: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Stock:
    """Goods in stock that are not promised."""

    available: int = 0


def decide_stock(command: Receive | Reserve, stock: Stock) -> list[Received | Reserved | Refused]:
    """Only goods in stock can be promised."""
    match command:
        case Receive(quantity):
            if quantity > 8:
                raise Rejected(f"{quantity} is too many at once")
            return [Received(1) for _ in range(quantity)]
        case Reserve(order, quantity) if quantity > stock.available:
            return [Refused(order, quantity)]
        case Reserve(order, quantity):
            return [Reserved(order, quantity)]


def evolve_stock(stock: Stock, event: Received | Reserved | Refused) -> Stock:
    """Apply an event to the stock."""
    match event:
        case Received(quantity):
            return Stock(stock.available + quantity)
        case Reserved(_, quantity):
            return Stock(stock.available - quantity)
        case Refused():
            return stock


stock = Decider("stock", Stock(), decide_stock, evolve_stock)


@dataclass(frozen=True, slots=True)
class Place:
    """Order something."""

    product: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Tell the order whether its goods are promised."""

    promised: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """Ordered."""

    product: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The order's goods were promised or refused."""

    promised: bool


@dataclass(frozen=True, slots=True)
class Order:
    """The state of an order."""

    status: Literal["new", "open", "promised", "refused"] = "new"


def decide_order(command: Place | Settle, order: Order) -> list[Placed | Settled]:
    """Once each."""
    match command:
        case Place(product, quantity):
            if order.status != "new":
                raise Rejected(f"the order is {order.status}")
            return [Placed(product, quantity)]
        case Settle(promised):
            return [Settled(promised)] if order.status == "open" else []


def evolve_order(order: Order, event: Placed | Settled) -> Order:
    """Apply an event to the order."""
    match event:
        case Placed():
            return Order("open")
        case Settled(promised):
            return Order("promised" if promised else "refused")


orders = Decider("order", Order(), decide_order, evolve_order)


def reserve(event: Placed | Reserved | Refused, recorded: Recorded) -> list[To]:
    """Pass orders to the stock, and its results back to the orders."""
    match event:
        case Placed(product, quantity):
            return [To(stock, product, Reserve(recorded.stream.id, quantity))]
        case Reserved(order):
            return [To(orders, order, Settle(True))]
        case Refused(order):
            return [To(orders, order, Settle(False))]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Sums show whatever is folded twice or not at all."""

    product: str
    available: int = 0
    changes: int = 0


def fold_shelf(row: Shelf, event: Received | Reserved, recorded: Recorded) -> Shelf:
    """Add and subtract."""
    change = event.quantity if isinstance(event, Received) else -event.quantity
    return Shelf(row.product, row.available + change, row.changes + 1)


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """Rows are created and deleted."""

    order: str
    product: str = ""
    quantity: int = 0


def fold_open_order(row: OpenOrder, event: Placed | Settled, recorded: Recorded) -> OpenOrder | None:
    """Keep the row while the order is open."""
    return OpenOrder(row.order, event.product, event.quantity) if isinstance(event, Placed) else None


@dataclass(frozen=True, slots=True)
class Demand:
    """What happened to a product, on its own stream and on those of orders: the order shows."""

    product: str
    changes: int = 0
    story: int = 0


def product_of(event: Placed | Received | Reserved, recorded: Recorded) -> str:
    """Events of several streams make one row."""
    return event.product if isinstance(event, Placed) else recorded.stream.id


def fold_demand(row: Demand, event: Placed | Received | Reserved, recorded: Recorded) -> Demand:
    """Another order is another story."""
    return Demand(row.product, row.changes + 1, crc32(f"{row.story} {recorded.id}".encode()))


demands = Projection("demand", Demand, fold_demand, key=product_of)
shelves = Projection("shelf", Shelf, fold_shelf)
open_orders = Projection("open_order", OpenOrder, fold_open_order)
warehouse = App(
    "warehouse",
    deciders=[stock, orders],
    projections=[shelves, open_orders, demands],
    reactors=[Reactor("reserve", reserve, start="beginning")],
)


def order_something(random: Random) -> To:
    """Few products and few orders, so that they conflict."""
    product = random.choice(("p1", "p2"))
    if random.random() < 0.4:
        return To(stock, product, Receive(random.choice((0, 1, 2, 3, 9))))
    return To(orders, f"o{random.randrange(8)}", Place(product, random.randint(1, 4)))


def _never_negative(stock: Stock) -> bool:
    return stock.available >= 0


def _shelf_never_negative(shelf: Shelf) -> bool:
    return shelf.available >= 0


IN_THE_WAREHOUSE = Scenario(warehouse, order_something, always={stock: _never_negative, shelves: _shelf_never_negative})
