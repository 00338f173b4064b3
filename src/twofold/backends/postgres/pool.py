"""Connections to hand out, made when they are needed.

asyncpg has a pool as well. What it does for each use, around a statement that takes 200 µs, took 50 of them (measured).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

IDLE_S = 300.0  # older ones may have been cut off on the way, by somebody who did not say so
CLOSE_TIMEOUT_S = 5.0

Connection = Any  # asyncpg.Connection, which its stubs and the driver itself declare differently


class Pool:
    """At most `size` connections; of the idle ones the last used is taken first, so that few serve where few can."""

    def __init__(self, size: int, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._size, self._room = size, asyncio.Semaphore(size)
        self._connect = connect
        self._idle: list[tuple[float, Connection]] = []
        self._held: set[Connection] = set()
        self._discarding: set[asyncio.Task[None]] = set()
        self._closed = False

    async def take(self, timeout_s: float) -> Connection:
        """Raises: TimeoutError when none became free in time; whatever connecting raises."""
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
        """It can be taken again; where it is not sound, another one in its place."""
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
        """Close what is idle at once, and what is in use when it comes back, or in a few seconds."""
        if self._closed:  # it has taken all the room there is
            return
        self._closed = True
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self._idle:
                    await self._idle[-1][1].close()
                    self._idle.pop()
                for _ in range(self._size):
                    await self._room.acquire()
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
            for connection in (*self._held, *(idle for _, idle in self._idle)):
                connection.terminate()

    async def _discard(self, connection: Connection) -> None:
        """Its caller has given up: closing it the long way asks the server to give up too."""
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
