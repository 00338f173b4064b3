"""From a URL to a store. Only this module knows all backends."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.backends.sqlite.log import SqliteLog
from twofold.backends.sqlite.read_store import SqliteReadStore
from twofold.errors import ConfigurationError
from twofold.feed.checkpoints import Checkpoints
from twofold.feed.feed import Feed
from twofold.read.store import ReadStore
from twofold.write.log import Log


class LogStore(Log, Feed, Protocol):
    """A log with its feed, and the checkpoints of reactors beside it."""

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of reactors."""
        ...

    async def new_id(self, log_id: str | None = None) -> None:
        """Give the log a new id, after an older copy replaced it: tokens and read models of the old id are refused.

        Without `log_id` the id is random; the parts of a partitioned log all get the same one. The checkpoints of
        reactors, which are stored with the log, get the new id too.
        """
        ...

    async def close(self) -> None:
        """Close files and connections."""
        ...


class Opens(Protocol):
    """A store that exists outside this process, before it is opened and after it is closed."""

    async def open(self) -> None:
        """Create what is missing. Raises: ConfigurationError, Unavailable."""
        ...

    async def close(self) -> None:
        """Close files and connections."""
        ...


class Rows(ReadStore, Protocol):
    """A read store that can be closed."""

    async def close(self) -> None:
        """Close files and connections."""
        ...


@asynccontextmanager
async def stores(
    store: str | LogStore, read_store: str | Rows | None, ambient: Ambient, *, create: bool
) -> AsyncIterator[tuple[LogStore, Rows]]:
    """The log and the read store at these URLs, closed at the end. Stores that are passed as objects stay open.

    Raises: ConfigurationError, also when there is no such store and `create` is False; Unavailable.
    """
    if store is None:
        raise ConfigurationError("store is None: give a URL, like sqlite:///shop.db")
    if isinstance(store, str):
        store = resolved(store)
        read_store = read_store or beside(store)
    if read_store is None:
        raise ConfigurationError("read_store is None: give a URL or a read store, because store is not a URL")
    if isinstance(read_store, str):
        read_store = resolved(read_store)
    async with AsyncExitStack() as stack:
        log = store if not isinstance(store, str) else await connect(store, ambient, create=create)
        if isinstance(store, str):
            stack.push_async_callback(log.close)
        rows = read_store if not isinstance(read_store, str) else await connect_read(read_store)
        if isinstance(read_store, str):
            stack.push_async_callback(rows.close)
        yield log, rows


async def connect(url: str, ambient: Ambient, *, create: bool = True) -> LogStore:
    """The log behind a URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://…` or `memory:`.

    Raises: ConfigurationError, also when there is none and `create` is False; Unavailable.
    """
    if url == "memory:":
        if not create:
            raise ConfigurationError(
                "memory: exists only in the process that opened it: name a store on disk, like sqlite:///shop.db"
            )
        return MemoryLog(ambient)
    if is_sqlalchemy(url):
        raise ConfigurationError(
            "SQLAlchemy stores read models only: pass this URL as read_store, and another store for the log"
        )
    if is_postgres(url):
        postgres: Any = postgres_backend().PostgresLog(url, ambient, create=create)
        await _opened(postgres)
        log: LogStore = postgres
        return log
    path = sqlite_path(url)
    if not create and not _is_there(path):
        raise ConfigurationError(f"there is no store at {path}: name the one that the App was opened on")
    store = SqliteLog(path, ambient, create=create)
    await _opened(store)
    return store


async def connect_read(url: str) -> Rows:
    """The read store behind a URL as in `connect`, or behind `sqlalchemy+` and a URL of SQLAlchemy.

    Raises: ConfigurationError, Unavailable.
    """
    if url == "memory:":
        return MemoryReadStore()
    store: Any
    if is_sqlalchemy(url):
        store = sqlalchemy_backend().SqlReadStore(url)
    else:
        store = postgres_backend().PostgresReadStore(url) if is_postgres(url) else SqliteReadStore(sqlite_path(url))
    await _opened(store)
    rows: Rows = store
    return rows


@asynccontextmanager
async def scratch_rows() -> AsyncIterator[Rows]:
    """An empty read store in a temporary folder, deleted at the end. Raises: Unavailable."""
    with TemporaryDirectory(prefix="twofold-") as folder:
        rows = SqliteReadStore(Path(folder, "rows.db"))
        await _opened(rows)
        try:
            yield rows
        finally:
            await rows.close()


def beside(url: str) -> str:
    """The default URL of the read models: beside the log, `shop.db` → `shop.read.db`, or in its database."""
    if url == "memory:" or is_postgres(url) or is_sqlalchemy(url):  # the last cannot be a log; `connect` says so
        return url
    path = sqlite_path(url)
    return f"sqlite:///{path.with_name(f'{path.stem}.read{path.suffix}')}"


def resolved(url: str) -> str:
    """The same store as an absolute URL, so that it stays the same when the working directory changes.

    Raises: ConfigurationError when the URL has no known form.
    """
    relative = _RELATIVE_SQLALCHEMY.fullmatch(url)
    if relative is not None:
        return f"{relative[1]}{os.path.abspath(relative[2])}{relative[3]}"
    if url == "memory:" or is_postgres(url) or is_sqlalchemy(url):
        return url
    return f"sqlite:///{sqlite_path(url)}"


def is_postgres(url: str) -> bool:
    """Whether the URL leads to a PostgreSQL."""
    return url.startswith(("postgresql://", "postgres://"))


def is_sqlalchemy(url: str) -> bool:
    """Whether the URL leads to a database through SQLAlchemy."""
    return url.startswith("sqlalchemy+")


def sqlalchemy_backend() -> Any:
    """The module. Raises: ConfigurationError when the packages it needs are not installed."""
    try:
        from twofold.backends import sqlalchemy
    except ModuleNotFoundError as error:
        if error.name not in ("sqlalchemy", "greenlet"):
            raise
        raise ConfigurationError(
            "a read store through SQLAlchemy needs the package sqlalchemy: pip install twofold[sql]"
        ) from error
    return sqlalchemy


def postgres_backend() -> Any:
    """The module. Raises: ConfigurationError when the packages it needs are not installed."""
    try:
        from twofold.backends import postgres
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise ConfigurationError("PostgreSQL needs the package asyncpg: pip install twofold[postgres]") from error
    return postgres


_RELATIVE_SQLALCHEMY = re.compile(r"(sqlalchemy\+sqlite[^:]*:///)(?!:memory:|file:)([^/?][^?]*)(.*)", re.DOTALL)


def sqlite_path(url: str) -> Path:
    """The absolute path in a URL, taken literally: %, # and ~ have no special meaning.

    Raises: ConfigurationError when the URL has no known form.
    """
    scheme, mark, rest = url.partition("://")
    named = mark and rest.startswith("/") and len(rest) > 1 and not rest.endswith("/")
    if scheme != "sqlite" or not named or rest == "/:memory:":  # each connection would have a database of its own
        shown = re.sub(r"//[^/]*@", "//…@", url)  # a mistyped URL may contain a password
        raise ConfigurationError(
            f"{shown!r} is not a store: write sqlite:///shop.db (relative), sqlite:////var/lib/shop.db (absolute), "
            f"postgresql://user:password@host/database or memory:"
        )
    _check_path(rest[1:])
    return Path(os.path.abspath(rest[1:]))


def _check_path(path: str) -> None:
    """Raises: ConfigurationError for a path that would create another file than the one meant."""
    meant, mark, _ = path.partition("?")
    if mark:
        raise ConfigurationError(
            f"sqlite:///{path}: the URL of a SQLite store takes no parameters: write sqlite:///{meant}. "
            f"A file whose name contains a ? cannot be opened: rename it"
        )
    if path.startswith("~"):
        raise ConfigurationError(
            f"sqlite:///{path}: ~ is not expanded to a home folder: write sqlite:///{os.path.expanduser(path)}, "
            f"or sqlite:///./{path} if the folder is really called that"
        )
    if re.search(r"[\x00-\x1f\x7f]", path):
        raise ConfigurationError(f"{f'sqlite:///{path}'!r}: the path contains a control character: correct the URL")


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # unlike Path.exists, False when the folder may not be read


async def _opened(store: Opens) -> None:
    try:
        await store.open()
    except BaseException:
        await store.close()
        raise
