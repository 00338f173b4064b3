"""The App of the scenario `edges`: the stock of a shop, and orders with decimals, times and a list of lines."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from twofold import App, Projection, Recorded, Running, Stored, Stream

ROWS = 5_000
WAREHOUSES = 50
CUSTOMERS = 125
FILL_AT_ONCE = 500
FIRST_DAY = datetime(2026, 1, 1, 8, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StockCounted:
    warehouse: str
    available: int
    reserved: int
    counted_at: datetime


@dataclass(frozen=True, slots=True)
class Line:
    sku: str
    quantity: int
    cents: int


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    customer_id: str
    subtotal: Decimal
    tax: Decimal
    total: Decimal
    paid: bool
    placed_at: datetime
    due_on: date
    shipped_at: datetime | None
    tags: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Stock:
    """How much of a product is there."""

    product_id: str
    warehouse: str = ""
    available: int = 0
    reserved: int = 0
    counted_at: datetime = FIRST_DAY


@dataclass(frozen=True, slots=True)
class Order:
    """An order with its lines."""

    order_id: str
    customer_id: str = ""
    status: str = "placed"
    item_count: int = 0
    subtotal: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)
    total: Decimal = Decimal(0)
    currency: str = "EUR"
    paid: bool = False
    placed_at: datetime = FIRST_DAY
    due_on: date | None = None
    shipped_at: datetime | None = None
    tags: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()


def count(row: Stock, event: StockCounted, recorded: Recorded) -> Stock:
    return Stock(row.product_id, event.warehouse, event.available, event.reserved, event.counted_at)


def place(row: Order, event: OrderPlaced, recorded: Recorded) -> Order:
    return Order(
        row.order_id,
        event.customer_id,
        "placed" if event.shipped_at is None else "shipped",
        sum(line.quantity for line in event.lines),
        event.subtotal,
        event.tax,
        event.total,
        "EUR",
        event.paid,
        event.placed_at,
        event.due_on,
        event.shipped_at,
        event.tags,
        event.lines,
    )


stock = Projection("stock", Stock, count, indexes=[("warehouse", "product_id")])
orders = Projection("orders", Order, place, indexes=[("customer_id", "-placed_at")])
app = App(
    "edges",
    projections=[stock, orders],
    stored={StockCounted: Stored("StockCounted"), OrderPlaced: Stored("OrderPlaced")},
)


async def fill(running: Running) -> None:
    """Append the events of all rows, and wait until they are folded."""
    events = list(_events())
    for first in range(0, len(events), FILL_AT_ONCE):
        some = events[first : first + FILL_AT_ONCE]
        *_, last = await asyncio.gather(*(running.append(stream, [event]) for stream, event in some))
    await running.get(stock, "p-0", after=last, wait_s=30)
    await running.get(orders, "o-0", after=last, wait_s=30)


def _events() -> Iterator[tuple[Stream, Any]]:
    for n in range(ROWS):
        counted_at = FIRST_DAY + timedelta(seconds=n, microseconds=1 + n)
        yield Stream("stock", f"p-{n}"), StockCounted(f"w-{n % WAREHOUSES}", 7 * n % 1_000, n % 13, counted_at)
    for n in range(ROWS):
        lines = tuple(Line(f"SKU-{(n + i) % 997:05}", 1 + i, 999 + 10 * i + n % 90) for i in range(1 + n % 4))
        subtotal = Decimal(sum(line.quantity * line.cents for line in lines)) / 100
        tax = (subtotal * 19 / 100).quantize(Decimal("0.01"))
        placed_at = FIRST_DAY + timedelta(minutes=n, microseconds=1 + n)
        yield (
            Stream("order", f"o-{n}"),
            OrderPlaced(
                f"c-{n % CUSTOMERS}",
                subtotal,
                tax,
                subtotal + tax,
                n % 3 > 0,
                placed_at,
                (placed_at + timedelta(days=30)).date(),
                placed_at + timedelta(days=2, microseconds=7) if n % 2 else None,
                ("web", "gift") if n % 5 == 0 else ("web",),
                lines,
            ),
        )
