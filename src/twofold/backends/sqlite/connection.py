"""One file, and the threads that talk to it. Nothing here ever blocks the event loop on a disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Concatenate, Literal, ParamSpec, TypeVar

import apsw

from twofold.backends.sqlite.thread import Thread
from twofold.backends.sqlite.watch import Watch
from twofold.errors import Closed, ConfigurationError, LogReplaced, Unavailable
from twofold.feed.doorbell import Doorbell

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT_MS = 10_000
WRITER_CACHE_KIB = 32 * 1024
READERS = 2  # connections of one file
READER_CACHE_KIB = 8 * 1024  # there are several, and the pages are in the system's cache as well

Sync = Literal["FULL", "NORMAL"]


class Connection:
    """One connection on one thread of its own: calls run there in the order they were made."""

    def __init__(
        self, path: Path, sync: Sync, check_in_place: Callable[[], None], cache_kib: int = READER_CACHE_KIB
    ) -> None:
        self._thread = Thread(f"twofold {path.name}")
        self._path, self._sync, self._check_in_place, self._cache_kib = path, sync, check_in_place, cache_kib
        self._db: apsw.Connection | None = None
        self._closed = False

    async def run(self, work: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on this connection's thread.

        Raises: Unavailable for what is wrong with file, disk or lock; LogReplaced when the file was (G11);
        Closed after `close`.
        """
        if self._closed:
            raise Closed(f"SQLite, {self._path}")
        return await self._thread.run(lambda: self._guarded(work, *args, **kwargs))

    def _guarded(self, work: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with _named(self._path):
            self._check_in_place()
            if self._db is None:
                self._db = open_file(self._path, self._sync, self._cache_kib)
            return work(self._db, *args, **kwargs)

    async def close(self) -> None:
        """After the calls already made."""
        self._closed = True
        await self._thread.run(self._close)
        self._thread.end()

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()


def open_file(path: Path, sync: Sync, cache_kib: int = READER_CACHE_KIB) -> apsw.Connection:
    """A connection in WAL mode; with FULL a commit is on the disk before it is answered (G1)."""
    db = apsw.Connection(str(path))
    db.set_busy_timeout(BUSY_TIMEOUT_MS)
    for pragma in (
        "journal_mode = WAL",
        f"synchronous = {sync}",
        "fullfsync = ON",
        f"cache_size = -{cache_kib}",
        "temp_store = MEMORY",
    ):
        db.execute(f"PRAGMA {pragma}").fetchall()
    return db


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.NotADBError as error:
        raise ConfigurationError(f"{path} is not a SQLite database: name another file") from error
    except apsw.Error as error:
        raise Unavailable(f"SQLite, {path}: {error}") from error


def seen(path: Path, look: Callable[[apsw.Connection], T]) -> T:
    """What there is to see in a file that may be anybody's; not a byte of it changes. Raises as `Connection.run`."""
    _check_place(path)
    with _named(path), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return look(db)


@contextmanager
def transaction(db: apsw.Connection, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE") -> Iterator[None]:
    """All of it or nothing. DEFERRED for reads: one snapshot."""
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


class File:
    """A database file: one connection that writes, others that read, and a doorbell for changes to it.

    Changes by this process ring at once; those of others are seen by a look at SQLite's change counter, 20 to 66 times
    a second while somebody waits.
    """

    def __init__(self, path: Path, sync: Sync, readers: int) -> None:
        self.path = path = Path(os.path.abspath(path))  # the working folder may be another one later
        self.bell = Doorbell()
        self.writer = Connection(path, sync, self._check_in_place, WRITER_CACHE_KIB)
        self._readers = [Connection(path, sync, self._check_in_place) for _ in range(readers)]
        self._turn = 0
        self._watch = Watch(path, self.bell, lambda: open_file(path, "NORMAL"))
        self._identity: tuple[int, int] | None = None

    @property
    def reader(self) -> Connection:
        """The connections for reading, in turn."""
        self._turn = (self._turn + 1) % len(self._readers)
        return self._readers[self._turn]

    async def open(self, set_up: Callable[[apsw.Connection], T]) -> T:
        """Make the file if need be, and run `set_up` on it. Raises: ConfigurationError, Unavailable."""
        _check_place(self.path)
        answer = await self.writer.run(set_up)
        self._identity = _identity(self.path)
        return answer

    def _check_in_place(self) -> None:
        """Raises: LogReplaced when the file that was opened no longer lies under its name (G11)."""
        if self._identity is not None and _identity(self.path) != self._identity:
            raise LogReplaced(
                f"{self.path} was deleted or replaced while it was in use: stop the program, "
                f"put the file in its place, and start again"
            )

    async def wait(self, timeout_s: float) -> None:
        """Until the file has changed, or the time is over."""
        await self._watch.wait(timeout_s)

    async def close(self) -> None:
        """Ends the threads, after what they are doing."""
        await self._watch.close()
        for connection in (*self._readers, self.writer):
            await connection.close()


def _check_place(path: Path) -> None:
    """Raises: ConfigurationError when no file can be used there, for a reason that SQLite would not name."""
    folder = path.parent
    if not os.path.isdir(folder):
        raise ConfigurationError(f"the folder {folder} does not exist: make it, or name another file")
    if os.path.isdir(path):
        raise ConfigurationError(f"{path} is a folder: name a file")
    if not os.access(folder, os.W_OK | os.X_OK):  # SQLite keeps two more files beside this one
        raise ConfigurationError(f"{path}: this user may not write in the folder {folder}: run as one who may")
    if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
        raise ConfigurationError(f"{path}: this user may not read and write it: run as one who may")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def written_time(time: datetime) -> str:
    """UTC with six decimals and a Z: text whose order is the order of time."""
    return f"{time.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"  # strftime writes year 1 as "1"
