"""The peer eventsource-py: a subscription with a hand-written batch handler, its fastest way to a read model.

The handler loads the rows of a batch, folds in memory and writes each row once, all in one transaction; batches hold
1,000 events, as its `create_catch_up_config` advises. It needs Python 3.13.
"""

import asyncio
import time
from collections.abc import Sequence
from itertools import count
from typing import Any
from uuid import UUID

import asyncpg
from eventsource import (
    DomainEvent,
    ExpectedVersion,
    InMemoryEventBus,
    PostgreSQLEventStore,
    SQLCheckpointRepository,
    StreamId,
    create_async_engine,
    register_event,
)
from eventsource.adapters.serialization import json_dumps
from eventsource.adapters.sql.schemas import get_schema
from eventsource.application.subscriptions import SubscriptionManager
from eventsource.application.subscriptions.config import create_catch_up_config
from sqlalchemy import text

from bench.protocol import callers, serve
from bench.sides.arguments import Arguments
from bench.workload import details, history, order_id

POOL_SIZE = 16
DRAIN_S = 30.0
UNUSED_EXTENSION = 'CREATE EXTENSION IF NOT EXISTS "uuid-ossp";'  # its schema requires it, though nothing uses it


class OrderEvent(DomainEvent):
    aggregate_type: str = "Order"
    customer_id: str
    items: list[dict[str, Any]]
    total_amount: int
    currency: str
    warehouse: str


@register_event
class OrderPlaced(OrderEvent):
    pass


@register_event
class ItemsAdded(OrderEvent):
    pass


@register_event
class OrderPaid(OrderEvent):
    pass


@register_event
class OrderShipped(OrderEvent):
    pass


STEPS = (OrderPlaced, ItemsAdded, OrderPaid, OrderShipped)  # by version

TABLE = """CREATE TABLE IF NOT EXISTS order_row (order_id text PRIMARY KEY, customer_id text NOT NULL,
    status text NOT NULL, item_count bigint NOT NULL, total_amount bigint NOT NULL)"""
LOAD = text("SELECT order_id, customer_id, status, item_count, total_amount FROM order_row WHERE order_id = ANY(:keys)")
UPSERT = text("""INSERT INTO order_row
    SELECT * FROM unnest(CAST(:a AS text[]), CAST(:b AS text[]), CAST(:c AS text[]), CAST(:d AS bigint[]),
                         CAST(:e AS bigint[]))
    ON CONFLICT (order_id) DO UPDATE SET customer_id = excluded.customer_id, status = excluded.status,
        item_count = excluded.item_count, total_amount = excluded.total_amount""")

Row = tuple[str, str, str, int, int]


class OrderRows:
    """The batch handler."""

    def __init__(self, engine: Any, events: int) -> None:
        self._engine, self._left = engine, events
        self.done = asyncio.Event()

    def subscribed_to(self) -> list[type[DomainEvent]]:
        return list(STEPS)

    async def handle(self, event: DomainEvent) -> None:
        await self.handle_batch([event])

    async def handle_batch(self, events: Sequence[DomainEvent]) -> None:
        keys = list(dict.fromkeys(str(event.aggregate_id) for event in events))
        async with self._engine.begin() as connection:
            found = await connection.execute(LOAD, {"keys": keys})
            rows: dict[str, Row] = {row[0]: tuple(row) for row in found}
            for event in events:
                key = str(event.aggregate_id)
                rows[key] = fold(rows.get(key, (key, "", "", 0, 0)), event)
            columns = zip(*(rows[key] for key in keys), strict=True)
            await connection.execute(UPSERT, dict(zip("abcde", map(list, columns), strict=True)))
        self._left -= len(events)
        if self._left == 0:
            self.done.set()


def fold(row: Row, event: DomainEvent) -> Row:
    key, customer, _, items, amount = row
    match event:
        case OrderPlaced():
            return key, event.customer_id, "placed", len(event.items), event.total_amount
        case ItemsAdded():
            return key, customer, "open", items + len(event.items), amount + event.total_amount
        case OrderPaid():
            return key, customer, "paid", items, amount
        case _:
            return key, customer, "shipped", items, amount


class EventsourcePy:
    """On PostgreSQL."""

    def __init__(self, arguments: Arguments) -> None:
        self._url = arguments.url
        at = f"postgresql+asyncpg://postgres@/{arguments.database}?host={arguments.socket_folder}"
        self._engine = create_async_engine(at, pool_size=POOL_SIZE)
        self._store = PostgreSQLEventStore(self._engine)
        self._round = 0
        self._numbers = count(1)

    async def append(self, clients: int, seconds: float) -> dict[str, Any]:
        """Append single events to new streams, directly to its event store."""
        await self._make_tables()

        async def one() -> None:
            event = made(next(self._numbers), 1)
            await self._store.append(StreamId(event.aggregate_id, "Order"), [event], ExpectedVersion.no_stream())

        await asyncio.gather(*(one() for _ in range(min(clients, POOL_SIZE))))  # connect before the clock starts
        return (await callers([one] * clients, seconds)).answer(before=min(clients, POOL_SIZE))

    async def fill(self, events: int) -> dict[str, Any]:
        """Store the first events of the workload as its own serializer writes them."""
        await self._make_tables()
        connection = await asyncpg.connect(self._url)
        columns = ["event_id", "event_type", "aggregate_type", "aggregate_id", "version", "timestamp", "payload"]
        records = (record(number, version) for number, version in history(events))
        await connection.copy_records_to_table("events", records=records, columns=columns)
        await connection.close()
        return {"count": events}

    async def _make_tables(self) -> None:
        connection = await asyncpg.connect(self._url)
        if await connection.fetchval("SELECT to_regclass('events')") is None:
            await connection.execute(get_schema("all").replace(UNUSED_EXTENSION, ""))
            await connection.execute(TABLE)
        await connection.close()

    async def catch_up(self, events: int) -> dict[str, Any]:
        """Fold the read model from the beginning to the head."""
        async with self._engine.begin() as connection:
            await connection.execute(text("TRUNCATE order_row, projection_checkpoints"))
        self._round += 1
        rows = OrderRows(self._engine, events)
        manager = SubscriptionManager(self._store, InMemoryEventBus(), SQLCheckpointRepository(self._engine))
        await manager.subscribe(rows, create_catch_up_config(), name=f"orders-{self._round}")
        began = time.perf_counter()
        starting = asyncio.create_task(manager.start())
        await rows.done.wait()
        seconds = time.perf_counter() - began
        await starting
        await asyncio.wait_for(manager.stop(), DRAIN_S)
        return {"count": events, "seconds": seconds}


def made(number: int, version: int) -> OrderEvent:
    said = details(number, version)
    return STEPS[version - 1](aggregate_id=UUID(order_id(number)), aggregate_version=version, **said)


def record(number: int, version: int) -> tuple[Any, ...]:
    event = made(number, version)
    payload = json_dumps(event.model_dump(mode="json"))
    return event.event_id, event.event_type, "Order", event.aggregate_id, version, event.occurred_at, payload


if __name__ == "__main__":
    serve(EventsourcePy(Arguments.read()))
