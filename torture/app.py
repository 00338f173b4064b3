"""The App under torture: projections of orders and stock, and the two reactors between them.

Rows hold what an error would change: the number of events folded, and a digest of which ones and in what order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import random

from torture.domain import (
    Answer,
    Answered,
    Cancelled,
    Delivered,
    Paid,
    Placed,
    ReservationRefused,
    Reserve,
    Reserved,
    orders,
    stock,
)
from twofold.app import App
from twofold.messages import Recorded
from twofold.react.reactor import Reactor, To
from twofold.read.projection import Projection

DIGEST_RANGE = 2**61 - 1
FLAKY = 0.01


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
    """The deployed fold. Raises ValueError for cursed events on purpose, so that rows get parked."""
    if isinstance(event, Placed | Cancelled) and event.curse:
        raise ValueError(f"this event is cursed {event.curse}")
    return fold_order_corrected(row, event, recorded)


def fold_order_corrected(row: OrderRow, event: Placed | Paid | Answered | Cancelled, recorded: Recorded) -> OrderRow:
    """The mender's corrected fold. Raises ValueError only for events that are cursed for ever."""
    if isinstance(event, Placed | Cancelled) and event.curse == "for ever":
        raise ValueError("this event is cursed for ever")
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
    """What is on the shelf, and where the rest went."""
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
    """Demand for one product over all orders: one event touches several of these rows."""

    product: str
    orders: int = 0
    pieces: int = 0
    digest: int = 0


def fold_demand(row: DemandRow, event: Placed, recorded: Recorded) -> DemandRow:
    """Add the quantity this order asks for."""
    pieces = sum(item.quantity for item in event.items if item.product == row.product)
    return DemandRow(row.product, row.orders + 1, row.pieces + pieces, digested(row.digest, recorded))


def products_of(event: Placed, _recorded: Recorded) -> list[str]:
    """Return the keys of `demand`."""
    return [item.product for item in event.items]


def digested(digest: int, recorded: Recorded) -> int:
    """Changes with every event and with their order."""
    return (digest * 31 + recorded.position.offset) % DIGEST_RANGE


order_rows = Projection("torture_order", OrderRow, fold_order)
corrected_order_rows = Projection("torture_order", OrderRow, fold_order_corrected)
stock_rows = Projection("torture_stock", StockRow, fold_stock)
demand_rows = Projection("torture_demand", DemandRow, fold_demand, key=products_of)


# ---- reactors


def reserve(event: Placed, recorded: Recorded) -> list[To]:
    """Reserve every item of a placed order with its product. Fails now and then, and must then be retried."""
    if random() < FLAKY:  # noqa: S311
        raise ConnectionError("the stock could not be reached this time")
    return [To(stock, item.product, Reserve(recorded.stream.id, item.quantity)) for item in event.items]


def answer(event: Reserved | ReservationRefused, recorded: Recorded) -> list[To]:
    """Report the result of a reservation to its order."""
    return [To(orders, event.order, Answer(recorded.stream.id, isinstance(event, Reserved)))]


fulfilment = Reactor("fulfilment", reserve, start="beginning")
answers = Reactor("answers", answer, start="beginning")


def _app(order_rows: Projection[OrderRow]) -> App:
    return App(
        "torture",
        deciders=[orders, stock],
        projections=[order_rows, stock_rows, demand_rows],
        reactors=[fulfilment, answers],
    )


app, corrected_app = _app(order_rows), _app(corrected_order_rows)
