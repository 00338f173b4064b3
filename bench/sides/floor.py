"""The floor of folding: only read, decode and fold, the least that Python must do to get the same rows.

It reads twofold's log with the bare driver in pages of 5,000, one page after another. It decodes with msgspec into
the same event classes, calls the same `evolve` and keeps the rows in a dict. It writes nothing, checks nothing, and
would have to start over after a crash.

`evolve` takes the event and its record (stream, position, time, command id, …). The floor builds both for each event;
with `events_alone` it reads and decodes only the event and passes the same record to every fold, which would break the
contract of `evolve`.
"""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import apsw
import asyncpg
import msgspec

from bench.orders import STEPS, OrderRow, fold_order
from bench.protocol import serve
from bench.sides.arguments import Arguments
from twofold import Position, Recorded, Stream
from twofold.messages import Meta

PAGE = 5_000
DECODE = {step.__name__: msgspec.json.Decoder(step).decode for step in STEPS}
DECODE_META = msgspec.json.Decoder(Meta).decode
ANY = Recorded(None, Stream("order", "any"), 1, Position(0, 1), datetime.now(UTC), "any", "any")

Rows = dict[str, OrderRow]
EVENT_ALONE = "position, stream, type, data"
ALL = "position, stream, type, data, version, meta, recorded_at"


class Floor:
    """On a log filled by twofold."""

    def __init__(self, arguments: Arguments) -> None:
        self._pages = _postgres_pages if arguments.is_postgres else _sqlite_pages
        self._where = arguments.url if arguments.is_postgres else arguments.file
        self._events_alone = bool(arguments.more.get("events_alone"))

    async def fold(self) -> dict[str, Any]:
        """Fold everything into rows by order."""
        rows: Rows = {}
        events = 0
        columns, take = (EVENT_ALONE, _take_events) if self._events_alone else (ALL, _take_records)
        began = time.perf_counter()
        async for page in self._pages(self._where, columns):
            take(rows, page)
            events += len(page)
        return {"count": events, "seconds": time.perf_counter() - began, "totals": _totals(rows)}


def _take_records(rows: Rows, page: list[Any]) -> None:
    for position, stream, type_, data, version, meta, recorded_at in page:
        event, key, said = DECODE[type_](data), stream[6:], DECODE_META(meta)
        time_ = recorded_at if isinstance(recorded_at, datetime) else datetime.fromisoformat(recorded_at)
        recorded = Recorded(
            event,
            Stream("order", key),
            version,
            Position(0, position),
            time_,
            said.command_id,
            said.correlation_id,
            said.causation_id,
            said.actor,
        )
        row = rows.get(key)
        rows[key] = fold_order(OrderRow(key) if row is None else row, event, recorded)


def _take_events(rows: Rows, page: list[Any]) -> None:
    for _, stream, type_, data in page:
        key = stream[6:]
        row = rows.get(key)
        rows[key] = fold_order(OrderRow(key) if row is None else row, DECODE[type_](data), ANY)


async def _postgres_pages(url: str, columns: str) -> AsyncIterator[list[Any]]:
    connection = await asyncpg.connect(url)
    try:
        read = await connection.prepare(
            f"SELECT {columns} FROM twofold.events WHERE position > $1 ORDER BY position LIMIT $2"
        )
        position = 0
        while page := await read.fetch(position, PAGE):
            yield page
            position = page[-1][0]
    finally:
        await connection.close()


async def _sqlite_pages(file: str, columns: str) -> AsyncIterator[list[Any]]:
    db = apsw.Connection(file, flags=apsw.SQLITE_OPEN_READWRITE)
    read = f"SELECT {columns} FROM twofold_events WHERE position > ? ORDER BY position LIMIT ?"
    position: Any = 0
    while page := db.execute(read, (position, PAGE)).fetchall():
        yield page
        position = page[-1][0]
    db.close()


def _totals(rows: Rows) -> list[int]:
    values = rows.values()
    items, amount = sum(row.item_count for row in values), sum(row.total_amount for row in values)
    return [len(rows), items, amount, sum(row.status == "shipped" for row in values)]


if __name__ == "__main__":
    serve(Floor(Arguments.read()))
