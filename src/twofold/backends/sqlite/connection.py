"""One file, and the threads that use it. The event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from time import sleep
from typing import Concatenate, Literal, ParamSpec, TypeVar

import apsw

from twofold.backends.sqlite.thread import Thread
from twofold.backends.sqlite.watch import Watch
from twofold.errors import Closed, ConfigurationError, LogReplaced, Unavailable
from twofold.feed.doorbell import Doorbell

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT_MS = 10_000
REFUSED_MS = 10  # from one try to use a write-ahead log to the next
USE_WAL = "PRAGMA journal_mode = WAL"
WRITER_CACHE_KIB = 32 * 1024
READERS = 2  # connections of one file
READER_CACHE_KIB = 8 * 1024  # small, since there are several, and the system caches the pages as well

Sync = Literal["FULL", "NORMAL"]


class Connection:
    """A connection with a thread of its own. Calls run there in the order they were made."""

    def __init__(
        self, path: Path, sync: Sync, check_in_place: Callable[[], None], cache_kib: int = READER_CACHE_KIB
    ) -> None:
        self._thread = Thread(f"twofold {path.name}")
        self._path, self._sync, self._check_in_place, self._cache_kib = path, sync, check_in_place, cache_kib
        self._db: apsw.Connection | None = None
        self._closed = False

    async def run(self, work: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on this connection's thread.

        Raises: Unavailable for errors of the file, the disk or a lock; LogReplaced when the file was replaced (G11);
        Closed after `close`.
        """
        return await self.submit(work, *args, **kwargs)

    def submit(
        self, work: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Like `run`, with the result in a future."""
        if self._closed:
            raise Closed(f"SQLite, {self._path}")
        return self._thread.submit(lambda: self._guarded(work, *args, **kwargs))

    def _guarded(self, work: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with _named(self._path):
            self._check_in_place()
            if self._db is None:
                self._db = open_file(self._path, self._sync, self._cache_kib)
            return work(self._db, *args, **kwargs)

    async def close(self) -> None:
        """Close, once the calls already made have run; also if it is cancelled before."""
        self._closed = True
        closed = self._thread.submit(self._close)
        try:
            await asyncio.shield(closed)
        finally:
            self._thread.end(wait=closed.done())

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()


def open_file(path: Path, sync: Sync, cache_kib: int = READER_CACHE_KIB) -> apsw.Connection:
    """A connection in WAL mode. With `FULL` a commit is on disk before it returns (G1)."""
    db = apsw.Connection(str(path))
    db.set_busy_timeout(BUSY_TIMEOUT_MS)
    # Plans do not depend on the values of parameters. Otherwise every query is compiled again for every new value that
    # it compares with an indexed column, which takes as long as reading a page.
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    _use_wal(db)
    for pragma in (
        f"synchronous = {sync}",
        "fullfsync = ON",
        f"cache_size = -{cache_kib}",
        "temp_store = MEMORY",
    ):
        db.execute(f"PRAGMA {pragma}").fetchall()
    return db


def _use_wal(db: apsw.Connection) -> None:
    """Of several processes that create a file together, SQLite refuses all but one at once, whatever the timeout."""
    for _ in range(BUSY_TIMEOUT_MS // REFUSED_MS):
        try:
            db.execute(USE_WAL).fetchall()
            return
        except apsw.BusyError:
            sleep(REFUSED_MS / 1000)
    db.execute(USE_WAL).fetchall()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.NotADBError as error:
        raise ConfigurationError(f"{path} is not a SQLite database: name another file") from error
    except apsw.Error as error:
        raise Unavailable(f"SQLite, {path}: {error}") from error


def seen(path: Path, look: Callable[[apsw.Connection], T]) -> T:
    """Read a file that may not be ours, without changing it. Raises: as `Connection.run`."""
    _check_place(path)
    with _named(path), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return look(db)


@contextmanager
def transaction(db: apsw.Connection, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE") -> Iterator[None]:
    """A transaction; for reads DEFERRED, which gives one snapshot."""
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


class File:
    """A database file: one connection that writes, others that read, and a doorbell for changes.

    Changes by this process ring at once. Those by others are found by polling SQLite's change counter, 20 to 66 times a
    second while a caller waits.
    """

    def __init__(self, path: Path, sync: Sync, readers: int) -> None:
        self.path = path = Path(os.path.abspath(path))  # the working directory may change
        self.bell = Doorbell()
        self.writer = Connection(path, sync, self._check_in_place, WRITER_CACHE_KIB)
        self.readers = [Connection(path, sync, self._check_in_place) for _ in range(readers)]
        self._turn = 0
        self._watch = Watch(path, self.bell, lambda: open_file(path, "NORMAL"))
        self._identity: tuple[int, int] | None = None

    @property
    def reader(self) -> Connection:
        """One of the connections for reading, in turn."""
        self._turn = (self._turn + 1) % len(self.readers)
        return self.readers[self._turn]

    async def open(self, set_up: Callable[[apsw.Connection], T]) -> T:
        """Create the file if it is missing, and run `set_up` on it. Raises: ConfigurationError, Unavailable."""
        _check_place(self.path)
        result = await self.writer.run(set_up)
        self._identity = _identity(self.path)
        return result

    def _check_in_place(self) -> None:
        """Raises: LogReplaced when the path no longer leads to the file that was opened (G11)."""
        if self._identity is not None and _identity(self.path) != self._identity:
            raise LogReplaced(
                f"{self.path} was deleted or replaced while it was in use: stop the program, put the right file in its "
                f"place, and start it again"
            )

    async def wait(self, timeout_s: float) -> None:
        """Return when the file has changed, or after `timeout_s`."""
        await self._watch.wait(timeout_s)

    async def close(self) -> None:
        """End the threads, once the calls already made have run."""
        async with AsyncExitStack() as stack:  # all of them, even if it is cancelled
            for connection in (self.writer, *self.readers):
                stack.push_async_callback(connection.close)
            stack.push_async_callback(self._watch.close)


def _check_place(path: Path) -> None:
    """Raises: ConfigurationError when no file can be used at this path, for a reason that SQLite would not name."""
    folder = path.parent
    if not os.path.isdir(folder):
        raise ConfigurationError(f"the folder {folder} does not exist: create it, or name another file")
    if os.path.isdir(path):
        raise ConfigurationError(f"{path} is a folder: name a file")
    if not os.access(folder, os.W_OK | os.X_OK):  # SQLite creates two more files beside this one
        raise ConfigurationError(
            f"{path}: this user may not write to the folder {folder}: grant the right, or run as another user"
        )
    if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
        raise ConfigurationError(
            f"{path}: this user may not read and write the file: grant the right, or run as another user"
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino


def written_time(time: datetime) -> str:
    """A time in UTC with six decimals and a Z: text that sorts by time."""
    return f"{time.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"  # strftime writes year 1 as "1"
