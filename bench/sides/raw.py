"""The floor of appends: one INSERT and commit per event, with only the driver (asyncpg, apsw).

On PostgreSQL each caller has its own connection, within the server's limit of 100: more than 32 callers share 32.
On SQLite one caller runs a plain loop, because commits to one file are serial.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import apsw
import asyncpg
import msgspec

from bench.protocol import Clocked, callers, serve
from bench.sides.arguments import Arguments
from bench.workload import details, order_id

MAX_CONNECTIONS = 32

POSTGRES_TABLE = """CREATE TABLE IF NOT EXISTS raw_events (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text NOT NULL, version bigint NOT NULL, type text NOT NULL, data json NOT NULL, UNIQUE (stream, version))"""
POSTGRES_INSERT = "INSERT INTO raw_events (stream, version, type, data) VALUES ($1, $2, $3, $4) RETURNING position"

SQLITE_TABLE = """CREATE TABLE IF NOT EXISTS raw_events (
    position INTEGER PRIMARY KEY,
    stream TEXT NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL, UNIQUE (stream, version))"""
SQLITE_INSERT = "INSERT INTO raw_events (stream, version, type, data) VALUES (?, ?, ?, ?)"


class Rows:
    """Generate single events of new orders."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def next(self) -> tuple[str, int, str, str]:
        """The next event as a row, encoded as cheaply as possible."""
        number = next(self._numbers)
        return order_id(number), 1, "OrderPlaced", msgspec.json.encode(details(number)).decode()


class Postgres:
    """A prepared INSERT through asyncpg in its own transaction: one round trip."""

    def __init__(self, url: str) -> None:
        self._url, self._rows = url, Rows()

    async def append(self, clients: int, seconds: float) -> dict[str, Any]:
        """Append single events to new streams."""
        async with AsyncExitStack() as stack:
            calls = [await self._connected(stack) for _ in range(min(clients, MAX_CONNECTIONS))]
            if clients == len(calls):
                return (await callers(calls, seconds)).answer()
            free = asyncio.Queue[Callable[[], Awaitable[object]]]()
            for call in calls:
                free.put_nowait(call)

            async def on_a_free_one() -> None:
                call = await free.get()
                await call()
                free.put_nowait(call)

            return (await callers([on_a_free_one] * clients, seconds)).answer()

    async def _connected(self, stack: AsyncExitStack) -> Callable[[], Awaitable[object]]:
        connection = await asyncpg.connect(self._url)
        stack.push_async_callback(connection.close)
        await connection.execute(POSTGRES_TABLE)
        insert = await connection.prepare(POSTGRES_INSERT)
        return lambda: insert.fetchval(*self._rows.next())


class Sqlite:
    """INSERT through apsw in its own transaction, `synchronous=FULL`."""

    def __init__(self, file: str) -> None:
        self._rows = Rows()
        self._db = apsw.Connection(file)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._db.execute(SQLITE_TABLE)

    def append(self, clients: int, seconds: float) -> dict[str, Any]:
        """Append single events to new streams. The number of callers does not matter: they take turns."""
        clocked, clock, execute = Clocked(), time.perf_counter, self._db.execute
        began = clock()
        while (before := clock()) < began + seconds:
            execute(SQLITE_INSERT, self._rows.next())
            clocked.latencies_s.append(clock() - before)
        clocked.seconds = clock() - began
        return clocked.answer()


if __name__ == "__main__":
    arguments = Arguments.read()
    serve(Postgres(arguments.url) if arguments.is_postgres else Sqlite(arguments.file))
