"""What the processes stand on: a SQLite file, or a PostgreSQL of their own; and the faults that can be made below."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Literal, Protocol

from twofold.testing.postgres import Server
from twofold.testing.torture.disk import SmallDisk

Fault = Literal["kill the server", "restart the server", "cut connections", "fill the disk"]

LONGEST_DOWN_S, LONGEST_FULL_S = 2.0, 2.0
STARTS, RETRY_S = 100, 0.1

_CUT = """SELECT count(pg_terminate_backend(pid)) FROM (
    SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    ORDER BY random() LIMIT $1
)"""


class Ground(Protocol):
    """A store, and what can be done to it."""

    url: str
    version: str
    faults: tuple[Fault, ...]

    async def strike(self, fault: Fault, chance: Random) -> int:
        """Make a fault and let it be over again; answers how often it hit."""
        ...

    def mend(self) -> None:
        """Make sure that the store can be used."""
        ...

    def close(self) -> None:
        """Stop it; its data stays."""
        ...


class SqliteGround:
    """Nothing but files: there is no server to kill."""

    def __init__(self, folder: Path, disk: SmallDisk | None = None) -> None:
        import apsw

        self._disk = disk
        self.url = f"sqlite:///{folder}/torture.db"
        self.version = f"SQLite {apsw.sqlite_lib_version()}"
        self.faults: tuple[Fault, ...] = ("fill the disk",) if disk is not None else ()

    async def strike(self, fault: Fault, chance: Random) -> int:
        """See `Ground`."""
        assert fault == "fill the disk", fault
        assert self._disk is not None
        await self._disk.full_for(chance.random() * LONGEST_FULL_S)
        return 1

    def mend(self) -> None:
        """A file is never down."""

    def close(self) -> None:
        """Nothing runs."""


class PostgresGround:
    """A server of its own, which writes to the disk before it answers (`fsync` is on)."""

    def __init__(self, folder: Path, disk: SmallDisk | None = None) -> None:
        self._disk = disk
        self._server = Server(folder / "postgres", None, fsync=True)
        self._server.start()
        self.url = self._server.new_database("torture")
        self.version = "PostgreSQL " + (folder / "postgres" / "PG_VERSION").read_text().strip()
        self.faults: tuple[Fault, ...] = ("kill the server", "restart the server", "cut connections", "cut connections")
        if disk is not None:
            self.faults = ("fill the disk", *self.faults)

    async def strike(self, fault: Fault, chance: Random) -> int:
        """See `Ground`."""
        match fault:
            case "cut connections":
                return await self._cut(chance.choice((1, 4, 1_000)))
            case "fill the disk":
                assert self._disk is not None
                await self._disk.full_for(chance.random() * LONGEST_FULL_S)
                self.mend()
                return 1
            case "kill the server":
                return await self._down(self._server.kill, chance)
            case "restart the server":
                return await self._down(self._server.stop, chance)

    async def _cut(self, count: int) -> int:
        import asyncpg

        try:
            connection: Any = await asyncpg.connect(self.url)
        except (OSError, asyncpg.PostgresError):
            return 0  # there is nothing to cut in a server that is just starting
        try:
            return int(await connection.fetchval(_CUT, count))
        finally:
            await connection.close()

    async def _down(self, end: Callable[[], None], chance: Random) -> int:
        end()
        await asyncio.sleep(chance.random() * LONGEST_DOWN_S)
        self.mend()
        return 1

    def mend(self) -> None:
        """Start the server if it does not run: also whoever interrupts this program at a terminal interrupts it.

        Those who served a killed one hold its memory for a moment, and until they are gone it cannot start.
        """
        for attempt in range(STARTS):
            if self._server.runs:
                return
            try:
                self._server.start()
            except RuntimeError:
                if attempt == STARTS - 1:
                    raise
                time.sleep(RETRY_S)

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()
        self._server.remove()


def ground(backend: Literal["sqlite", "postgres"], folder: Path, disk: SmallDisk | None) -> Ground:
    """The store of a torture, in this folder."""
    return SqliteGround(folder, disk) if backend == "sqlite" else PostgresGround(folder, disk)
