"""A pool of connections, opened on demand.

asyncpg has a pool too, but its own work per use took 50 µs of a 200 µs statement (measured).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import asyncpg

IDLE_S = 300.0  # a firewall may have dropped an older one without notice
CLOSE_TIMEOUT_S = 5.0

Connection = Any  # asyncpg.Connection, which its stubs and the driver itself declare differently


class Pool:
    """At most `size` connections. The idle one used last is taken first, so that few stay open under low load."""

    def __init__(self, size: int, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._size, self._room = size, asyncio.Semaphore(size)
        self._connect = connect
        self._idle: list[tuple[float, Connection]] = []
        self._held: set[Connection] = set()
        self._discarding: set[asyncio.Task[None]] = set()
        self._closed = False

    async def take(self, timeout_s: float) -> Connection:
        """A connection. Raises: TimeoutError when none became free in time; any error of connecting."""
        if self._room.locked():
            async with asyncio.timeout(timeout_s):
                await self._room.acquire()
        else:
            await self._room.acquire()
        try:
            connection = self._fresh() or await self._connect()
        except BaseException:
            self._room.release()
            raise
        self._held.add(connection)
        return connection

    def give_back(self, connection: Connection, *, sound: bool) -> None:
        """Return a connection to the pool. One that is not `sound` is closed, and its place becomes free."""
        if not sound and not connection.is_closed():
            discarding = asyncio.create_task(self._discard(connection), name="twofold closes a connection")
            self._discarding.add(discarding)
            discarding.add_done_callback(self._discarding.discard)
            return
        self._held.discard(connection)
        self._room.release()
        if self._closed or connection.is_closed() or connection.is_in_transaction():
            connection.terminate()
        else:
            self._idle.append((_now(), connection))
        while self._idle and _now() - self._idle[0][0] > IDLE_S:
            self._idle.pop(0)[1].terminate()

    async def close(self) -> None:
        """Close idle connections now, and those in use when they are returned or after `CLOSE_TIMEOUT_S`.

        If it is cancelled, all are closed at once.
        """
        if self._closed:  # the first call holds the whole semaphore
            return
        self._closed = True
        try:
            with suppress(OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    while self._idle:
                        await self._idle[-1][1].close()
                        self._idle.pop()
                    for _ in range(self._size):
                        await self._room.acquire()
        finally:
            for connection in (*self._held, *(idle for _, idle in self._idle)):
                connection.terminate()

    async def _discard(self, connection: Connection) -> None:
        """Close gracefully, which also cancels the statement on the server: its caller has given up."""
        try:
            await connection.close(timeout=CLOSE_TIMEOUT_S)
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
            connection.terminate()
        finally:
            self._held.discard(connection)
            self._room.release()

    def _fresh(self) -> Connection | None:
        while self._idle:
            since, connection = self._idle.pop()
            if _now() - since <= IDLE_S and not connection.is_closed():
                return connection
            connection.terminate()
        return None


def _now() -> float:
    return asyncio.get_running_loop().time()
