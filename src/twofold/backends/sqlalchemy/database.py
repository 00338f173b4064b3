"""The engine: transactions, snapshots, and the errors they raise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from twofold.backends.sqlalchemy.dialects import (
    DIALECTS,
    SqliteConnection,
    begin_sqlite,
    one_at_a_time,
    set_up_postgres,
    set_up_sqlite,
)
from twofold.backends.sqlalchemy.schema import create_tables
from twofold.backends.unreachable import REFUSED, unreachable
from twofold.backends.urls import masked, resolved
from twofold.errors import ConfigurationError, TwofoldError, Unavailable

T = TypeVar("T")

CONNECTIONS = 10
LONGEST_S = 75.0  # longer than the minute for which another session may hold a lock
PATIENCE_S = 5.0  # how long a cancelled caller waits for the work it started


class Database:
    """One engine. On SQLite, which has one writer, writers queue here and not in the database."""

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self._engine = self._made()
        self.dialect = self._engine.dialect.name
        self._reads = self._engine.execution_options(**self._reading())
        self._turn: AbstractAsyncContextManager[Any] = asyncio.Lock() if self.dialect == "sqlite" else nullcontext()

    def _made(self) -> AsyncEngine:
        dialect = self._url.get_backend_name()
        if dialect not in DIALECTS:
            raise ConfigurationError(f"{dialect}: this database is not supported; supported are {', '.join(DIALECTS)}")
        if dialect == "sqlite":
            _check_file(self._url.database or "")
        try:
            engine = create_async_engine(
                self._url,
                pool_size=CONNECTIONS,
                max_overflow=0,
                pool_pre_ping=True,
                hide_parameters=True,
                json_serializer=str,  # JSON crosses the port as text
                json_deserializer=str,
                connect_args={"factory": SqliteConnection} if dialect == "sqlite" else {},
            )
        except (SQLAlchemyError, ImportError) as error:
            raise ConfigurationError(f"{self}: {error}; name an asyncio driver in the URL, and install it") from error
        if dialect == "sqlite":
            sa.event.listen(engine.sync_engine, "connect", set_up_sqlite)
            sa.event.listen(engine.sync_engine, "begin", begin_sqlite)
        if dialect == "postgresql":
            sa.event.listen(engine.sync_engine, "connect", set_up_postgres)
        return engine

    def _reading(self) -> dict[str, Any]:
        if self.dialect == "sqlite":
            return {"twofold_reads": True}
        only = {"postgresql_readonly": True} if self.dialect == "postgresql" else {}
        return {"isolation_level": "REPEATABLE READ", **only}

    async def open(self) -> None:
        """Create missing tables beside the rows. Raises: ConfigurationError, Unavailable."""
        try:
            await self.alone(lambda connection: connection.run_sync(create_tables))
        except Unavailable as error:
            reason = getattr(error.__cause__, "orig", None)
            for name in ("sqlstate", "sqlite_errorname"):
                if (way_out := REFUSED.get(str(getattr(reason, name, None)))) is not None:
                    raise ConfigurationError(f"{error}: {way_out}") from error
            raise

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()

    async def transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run `work` in a transaction. Raises: Unavailable, ConfigurationError, and what `work` raises."""
        async with self._turn:
            return await self.finished(self._run(self._engine, work))

    async def alone(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run a transaction that changes tables: one at a time across all processes. Raises: as `transaction`."""

        async def when_alone(connection: AsyncConnection) -> T:
            async with one_at_a_time(connection):
                return await work(connection)

        return await self.transaction(when_alone)

    async def snapshot(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run reads on one snapshot. Raises: as `transaction`."""
        return await self.finished(self._run(self._reads, work))

    async def _run(self, engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(LONGEST_S):
                return await _committed(engine, work, again=True)
        except (SQLAlchemyError, OSError) as error:
            raise self._named(error) from error

    async def finished(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to completion even if cancelled, because a thread of SQLite would be left with its lock otherwise."""
        task = asyncio.create_task(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait((task,), timeout=PATIENCE_S)
            task.cancel()
            raise

    def _named(self, error: Exception) -> TwofoldError:
        reason = getattr(error, "orig", None) or error
        text = f"{self}: {str(reason) or type(reason).__name__}{unreachable(reason)}"
        text = masked(text, self._url.password, *self._url.normalized_query.get("password", ()))
        return ConfigurationError(text) if isinstance(error, ProgrammingError) else Unavailable(text)

    def __str__(self) -> str:
        """For people: without user, password and parameters."""
        url = self._url
        return sa.URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()


async def _committed(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]], *, again: bool) -> T:
    """Run a transaction. `again`: once more if its connection is lost before COMMIT is sent: nothing has changed.

    A process that is stalled for some seconds, as on a busy machine, loses its connection: PostgreSQL ends idle
    transactions. What is lost during COMMIT may have been committed, and is not repeated.
    """
    committing = False
    try:
        async with engine.begin() as connection:
            result = await work(connection)
            committing = True
    except DBAPIError as error:
        if again and error.connection_invalidated and not committing:
            return await _committed(engine, work, again=False)
        raise
    return result


def _check_file(path: str) -> None:
    if not path or ":memory:" in path or path.startswith("file:"):
        raise ConfigurationError("a read store on SQLite is a file: sqlalchemy+sqlite+aiosqlite:///shop.read.db")
    if Path(path).is_dir() or not Path(path).parent.is_dir():
        raise ConfigurationError(f"{path} cannot be created: create its folder, or name another file")


def _parsed(url: str) -> sa.URL:
    _, _, rest = resolved(url).partition("+")
    try:
        return sa.make_url(rest)
    except (SQLAlchemyError, ValueError) as error:  # the message may contain the password, so it is not repeated
        raise ConfigurationError(
            "the URL after sqlalchemy+ cannot be parsed: write sqlalchemy+postgresql+asyncpg://user@host/database"
        ) from error
