"""From a URL to a store. Only this module knows all backends."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.backends.ports import LogStore, Opens, Rows
from twofold.backends.sqlite.log import SqliteLog
from twofold.backends.sqlite.read_store import SqliteReadStore
from twofold.backends.urls import NO_ROWS, beside, is_cosmos, is_postgres, is_sqlalchemy, resolved, sqlite_path
from twofold.errors import ConfigurationError


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
    """The log behind a URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://…`, `cosmos://…` or
    `memory:`.

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
    if is_cosmos(url):
        module = cosmos_backend()
        cosmos: Any = module.CosmosLog(module.address(url), ambient, create=create)
        await _opened(cosmos)
        found: LogStore = cosmos
        return found
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
    if is_cosmos(url):
        raise ConfigurationError(NO_ROWS)
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


def sqlalchemy_backend() -> Any:
    """The module. Raises: ConfigurationError when the packages it needs are not installed."""
    try:
        from twofold.backends import sqlalchemy
    except ModuleNotFoundError as error:
        if error.name not in ("sqlalchemy", "greenlet"):
            raise
        raise ConfigurationError(
            "a read store through SQLAlchemy needs the package sqlalchemy: pip install 'twofold[sql]'"
        ) from error
    return sqlalchemy


def cosmos_backend() -> Any:
    """The module. Raises: ConfigurationError when the packages it needs are not installed."""
    try:
        from twofold.backends import cosmos
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("azure", "aiohttp"):
            raise
        raise ConfigurationError(
            "Azure Cosmos DB needs the package azure-cosmos: pip install 'twofold[azure]'"
        ) from error
    return cosmos


def postgres_backend() -> Any:
    """The module. Raises: ConfigurationError when the packages it needs are not installed."""
    try:
        from twofold.backends import postgres
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise ConfigurationError("PostgreSQL needs the package asyncpg: pip install 'twofold[postgres]'") from error
    return postgres


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # unlike Path.exists, False when the folder may not be read


async def _opened(store: Opens) -> None:
    try:
        await store.open()
    except BaseException:
        await store.close()
        raise
