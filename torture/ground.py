"""The store under the processes, and the faults it can suffer; here SQLite and PostgreSQL, see also `cosmos_ground`."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, Literal, Protocol

from devservers.postgres import Server, drop_database
from torture.disk import SmallDisk
from torture.parts import url_of

Fault = Literal[
    "kill the server",
    "restart the server",
    "kill a session",
    "pause a session",
    "cut connections",
    "fill the disk",
    "split a range",
    "upset the service",
]

SHORT_S, LONG_S, LONG_EACH = 2.0, 13.0, 6  # every sixth time the server is down for longer than appends wait for it
STARTS, RETRY_S = 100, 0.1

_OTHERS = """SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT $1"""
_CUT = f"SELECT count(pg_terminate_backend(pid)) FROM ({_OTHERS})"  # noqa: S608


class Ground(Protocol):
    """A store, and the faults it can suffer."""

    url: str
    version: str
    faults: tuple[Fault, ...]

    async def strike(self, fault: Fault, chance: Random) -> int:
        """Inject a fault and end it; returns how often it hit."""
        ...

    def mend(self) -> None:
        """Make the store usable again."""
        ...

    def close(self) -> None:
        """Stop it; the data stays."""
        ...


class Restorable(Ground, Protocol):
    """One that an older copy can replace."""

    def back_up(self) -> None:
        """Copy the log, with its other tables if they are kept together."""
        ...

    def restore(self) -> None:
        """Put the copy in its place. Nothing may use the store."""
        ...


class SqliteGround:
    """Only files: there is no server to kill."""

    def __init__(self, folder: Path, disk: SmallDisk | None = None, partitions: int = 1) -> None:
        import apsw

        self._disk = disk
        self._file, self._backup = folder / "torture.db", folder / "backup.db"
        self.url = f"sqlite:///{folder}/torture.db" if partitions == 1 else url_of(folder, partitions)
        self.version = f"SQLite {apsw.sqlite_lib_version()}" + f", {partitions} partitions" * (partitions > 1)
        self.faults: tuple[Fault, ...] = ("fill the disk",) if disk is not None else ()

    async def strike(self, fault: Fault, chance: Random) -> int:
        """See `Ground`."""
        assert fault == "fill the disk", fault
        assert self._disk is not None
        await self._disk.full_for(chance.random() * SHORT_S)
        return 1

    def mend(self) -> None:
        """Nothing to do: a file is never down."""

    def back_up(self) -> None:
        """See `Restorable`. Only of a log in one file."""
        import apsw

        self._backup.unlink(missing_ok=True)
        with closing(apsw.Connection(str(self._file))) as db:
            db.execute("VACUUM INTO ?", (str(self._backup),))

    def restore(self) -> None:
        """See `Restorable`."""
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._file}{suffix}").unlink(missing_ok=True)
        shutil.copy(self._backup, self._file)

    def close(self) -> None:
        """Nothing runs."""


class PostgresGround:
    """Its own server, which writes to the disk before it replies (`fsync` is on)."""

    def __init__(self, folder: Path, disk: SmallDisk | None = None) -> None:
        self._disk = disk
        self._server = Server(folder / "postgres", None, fsync=True)
        self._backup = folder / "postgres" / "twofold.dump"  # only there may its user write
        self._server.start()
        self.url = self._server.new_database("torture")
        self.version = "PostgreSQL " + (folder / "postgres" / "PG_VERSION").read_text().strip()
        self.faults: tuple[Fault, ...] = (
            "kill the server",
            "restart the server",
            "kill a session",
            "pause a session",
            "cut connections",
        )
        if disk is not None:
            self.faults = ("fill the disk",) * 4 + self.faults

    async def strike(self, fault: Fault, chance: Random) -> int:
        """See `Ground`."""
        match fault:
            case "kill the server":
                return await down(self._server.kill, self.mend, chance)
            case "restart the server":
                return await down(self._server.stop, self.mend, chance)
            case "kill a session":  # the server then ends all other sessions too, and recovers
                return sum([_signal(pid, signal.SIGKILL) for [pid] in await self._ask(_OTHERS, 1)])
            case "pause a session":  # possibly the one that holds the lock of all appends
                return await self._pause(chance)
            case "cut connections":
                return sum([count for [count] in await self._ask(_CUT, chance.choice((1, 4, 1_000)))])
            case "fill the disk":
                assert self._disk is not None
                await self._disk.full_for(chance.random() * SHORT_S)
                self.mend()
                return 1
            case _:
                raise AssertionError(fault)

    async def _pause(self, chance: Random) -> int:
        paused = [pid for [pid] in await self._ask(_OTHERS, 3) if _signal(pid, signal.SIGSTOP)]
        try:
            await asyncio.sleep(chance.random() * SHORT_S)
        finally:
            for pid in paused:
                _signal(pid, signal.SIGCONT)
        return len(paused)

    async def _ask(self, question: str, count: int) -> Sequence[Sequence[int]]:
        """A server that is still starting has no sessions to return."""
        import asyncpg

        try:
            connection: Any = await asyncpg.connect(self.url)
        except (OSError, asyncpg.PostgresError):
            return []
        try:
            return [tuple(row) for row in await connection.fetch(question, count)]
        finally:
            await connection.close()

    def mend(self) -> None:
        """Start the server if it is not running: Ctrl-C at a terminal stops it together with this program.

        Processes of a killed server hold its shared memory for a moment, and it cannot start until they are gone.
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

    def back_up(self) -> None:
        """See `Restorable`."""
        self._server.run("pg_dump", "-Fc", "-f", str(self._backup), self.url)

    def restore(self) -> None:
        """See `Restorable`."""
        drop_database(self.url)
        self._server.new_database("torture")
        self._server.run("pg_restore", "-d", self.url, str(self._backup))

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()
        self._server.remove()


async def down(end: Callable[[], object], mend: Callable[[], None], chance: Random) -> int:
    """End a server, and start it again after a while."""
    end()
    long = chance.randrange(LONG_EACH) == 0
    await asyncio.sleep(LONG_S if long else chance.random() * SHORT_S)
    mend()
    return 1


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # it has ended meanwhile
        return False
    return True
