"""Rows of projections and their checkpoints in a database that SQLAlchemy supports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from twofold.backends.sqlalchemy import definitions
from twofold.backends.sqlalchemy.checkpoints import SqlCheckpoints, level, move, read_all_parked, read_checkpoints
from twofold.backends.sqlalchemy.database import CONNECTIONS, Database
from twofold.backends.sqlalchemy.dialects import lies_in_the_data, lies_in_the_definition
from twofold.backends.sqlalchemy.schema import checkpoints
from twofold.backends.sqlalchemy.swap import MovedOn, publish, replace, take_place
from twofold.backends.sqlalchemy.tables import TableSql, table_sql
from twofold.errors import BatchRefused, ConfigurationError, Unavailable
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId
from twofold.feed.doorbell import Doorbell
from twofold.messages import Position
from twofold.read.columns import Values
from twofold.read.definition import MAX_COLUMNS, MAX_KEY_BYTES
from twofold.read.projection import Key, Table
from twofold.read.store import (
    Changes,
    Condition,
    Counted,
    Query,
    QueryResult,
    RowLimits,
    StoredTable,
    refused_definition,
)

T = TypeVar("T")

KEYS_PER_STATEMENT = 500
POLL_S = 0.05


class SqlReadStore:
    """See `ReadStore`. Call `open` first."""

    limits = RowLimits(MAX_KEY_BYTES, MAX_COLUMNS, CONNECTIONS)

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._checkpoints = SqlCheckpoints(self._database)
        self._bell = Doorbell()
        self._whole: set[FollowerId] = set()
        self._watch: asyncio.Task[None] | None = None

    @property
    def checkpoints(self) -> Checkpoints:
        """See `ReadStore.checkpoints`."""
        return self._checkpoints

    async def open(self) -> None:
        """Create missing tables. Raises: ConfigurationError, Unavailable."""
        await self._database.open()

    async def close(self) -> None:
        """Close the connections, even if it is cancelled."""
        await self._database.finished(self._close())

    async def _close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._database.close()

    # ---- tables

    async def prepare(self, table: Table) -> None:
        """See `ReadStore.prepare`."""
        self._whole.discard(table.follows)  # it may have been dropped, and made again
        await self._database.alone(lambda c: self._defining(definitions.prepare, c, table))
        if await self._database.snapshot(lambda c: definitions.holds_whole_texts(c, self._sql(table))):
            self._whole.add(table.follows)

    async def publish(self, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint] = ()) -> bool:
        """See `ReadStore.publish`."""
        try:
            return await self._database.alone(
                lambda c: self._defining(lambda c, sql: publish(c, sql, covered, lost), c, table)
            )
        except MovedOn:
            return False

    async def index(self, table: Table) -> None:
        """See `ReadStore.index`. Does nothing: indexes are created with the table."""

    async def replace(self, table: Table, claims: Sequence[Claim], built: FollowerId, at: Sequence[Position]) -> bool:
        """See `ReadStore.replace`. It waits for transactions that read from the old table."""
        rollups = [one for one in await self.rollups() if one.parks == built]

        async def work(connection: AsyncConnection) -> None:
            await replace(connection, self._sql(table), claims, built, at)
            for rollup in rollups:
                original = rollup.original()
                old = await read_checkpoints(connection, original.follows, lock=True)
                await take_place(connection, self._sql(original), rollup.follows, old)

        await self._database.alone(work)
        for one in (table, *(rollup.original() for rollup in rollups)):
            self._whole.discard(one.follows)  # the new table has current indexes
        self._bell.ring()
        return True

    async def tables(self) -> Sequence[StoredTable]:
        """See `ReadStore.tables`."""
        return await self._database.snapshot(definitions.stored_tables)

    async def rollups(self) -> Sequence[Table]:
        """See `ReadStore.rollups`."""
        return await self._database.snapshot(definitions.rollups)

    async def drop(self, follows: FollowerId) -> None:
        """See `ReadStore.drop`."""
        await self._database.alone(lambda c: definitions.drop(c, follows))

    async def clear(self, table: Table, log_id: str) -> None:
        """See `ReadStore.clear`."""
        await self._database.transaction(lambda c: definitions.clear(c, self._sql(table), log_id))

    # ---- rows

    async def rows(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Values]:
        """See `ReadStore.rows`."""
        return await self._database.snapshot(lambda c: _rows(c, self._sql(table), keys))

    async def commit(self, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        """See `ReadStore.commit`."""
        rollups = [self._sql(rolled.table) for rolled in changes.rolled]
        await self._database.transaction(lambda c: _commit(c, self._sql(table), claim, after, to, changes, rollups))
        self._bell.ring()

    async def refusal(self, table: Table, rows: Sequence[Values]) -> str | None:
        """See `ReadStore.refusal`."""
        try:
            await self._database.transaction(lambda c: _tried(c, self._sql(table), rows))
        except BatchRefused as error:
            return str(error)
        return None

    async def get(self, table: Table, key: Key) -> QueryResult:
        """See `ReadStore.get`."""
        sql = self._sql(table)
        return await self._database.snapshot(lambda c: _found(c, sql, [sql.rows_of([key])]))

    async def get_all(self, table: Table, keys: Sequence[Key]) -> QueryResult:
        """See `ReadStore.get_all`."""
        sql = self._sql(table)
        parts = [keys[start : start + KEYS_PER_STATEMENT] for start in range(0, len(keys), KEYS_PER_STATEMENT)]
        return await self._database.snapshot(lambda c: _found(c, sql, [sql.rows_of(part) for part in parts]))

    async def find(self, table: Table, query: Query) -> QueryResult:
        """See `ReadStore.find`."""
        sql = self._sql(table)
        return await self._database.snapshot(lambda c: _found(c, sql, [sql.find(query)]))

    async def count(self, table: Table, conditions: Sequence[Condition]) -> Counted:
        """See `ReadStore.count`."""
        statement = self._sql(table).count(conditions)
        return await self._database.snapshot(lambda c: _counted(c, table.follows, statement))

    def _sql(self, table: Table) -> TableSql:
        return table_sql(table, self._database.dialect, whole=table.follows in self._whole)

    async def _defining(
        self, making: Callable[[AsyncConnection, TableSql], Awaitable[T]], connection: AsyncConnection, table: Table
    ) -> T:
        """Raises: ConfigurationError when the database refuses the definition, so that retrying does not help."""
        try:
            return await making(connection, self._sql(table))
        except SQLAlchemyError as error:
            if lies_in_the_definition(error):
                raise refused_definition(table, str(self._database), error) from error
            raise

    # ---- news

    async def wait(self, follower: FollowerId, after: Position, timeout_s: float) -> None:
        """See `ReadStore.wait`. Commits of this process ring at once; those of others are polled for."""
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._watch_others(), name="twofold watches checkpoints")
        await self._bell.wait(timeout_s)

    async def _watch_others(self) -> None:
        seen = None  # rings once at the start, for what happened since the last read
        while self._bell.awaited:
            try:
                now = await self._database.snapshot(_standings)
            except (Unavailable, ConfigurationError):
                self._bell.ring()  # the waiting callers meet the error when they read
                return
            if now != seen:
                self._bell.ring()
            seen = now
            await asyncio.sleep(POLL_S)


async def _rows(connection: AsyncConnection, sql: TableSql, keys: Sequence[Key]) -> Mapping[Key, Values]:
    rows_by_key: dict[Key, Values] = {}
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        for row in await connection.execute(sql.rows_of(keys[start : start + KEYS_PER_STATEMENT])):
            values = sql.values(row)
            rows_by_key[sql.key_of(values)] = values
    return rows_by_key


async def _tried(connection: AsyncConnection, sql: TableSql, rows: Sequence[Values]) -> None:
    """Write them, then roll back."""
    trial = await connection.begin_nested()
    try:
        with _refusing():
            await connection.execute(sql.upsert, [sql.row(values) for values in rows])
    finally:
        await trial.rollback()


@contextmanager
def _refusing() -> Iterator[None]:
    """Raises: BatchRefused when the database refuses the data."""
    try:
        yield
    except SQLAlchemyError as error:
        if lies_in_the_data(error):
            raise BatchRefused(str(getattr(error, "orig", None) or error)) from error
        raise


async def _commit(
    connection: AsyncConnection,
    sql: TableSql,
    claim: Claim,
    after: Position,
    to: Position,
    changes: Changes,
    rollups: Sequence[TableSql],
) -> None:
    await move(connection, claim, after, to, changes.parked, changes.unparked)
    await _write(connection, sql, changes.rows)
    for of_rollup, rolled in zip(rollups, changes.rolled, strict=True):
        if rolled.afresh:
            await connection.execute(sa.delete(of_rollup.sql))
        await _write(connection, of_rollup, rolled.rows)
        await level(connection, rolled.table.follows, claim)


async def _write(connection: AsyncConnection, sql: TableSql, rows: Mapping[Key, Values | None]) -> None:
    written = [sql.row(values) for values in rows.values() if values is not None]
    gone = [sql.gone(key) for key, values in rows.items() if values is None]
    if written:
        with _refusing():
            await connection.execute(sql.upsert, written)
    if gone:
        await connection.execute(sql.delete, gone)


async def _found(connection: AsyncConnection, sql: TableSql, statements: Sequence[sa.Select[Any]]) -> QueryResult:
    """Checkpoints, parked keys and rows from one snapshot (G6)."""
    follows = sql.table.follows
    standing = await _standing(connection, follows)
    entries = await read_all_parked(connection, sql.table.parks)
    rows = [sql.values(row) for statement in statements for row in await connection.execute(statement)]
    return QueryResult(standing, rows, entries)


async def _counted(connection: AsyncConnection, follows: FollowerId, statement: sa.Select[Any]) -> Counted:
    """Checkpoints and the number of rows from one snapshot (G6)."""
    standing = await _standing(connection, follows)
    return Counted(standing, (await connection.execute(statement)).scalar_one())


async def _standing(connection: AsyncConnection, follows: FollowerId) -> list[Checkpoint]:
    standing = await read_checkpoints(connection, follows)
    if not standing:
        raise ConfigurationError(f"{follows} is not prepared in this read store: open the App on it")
    return standing


async def _standings(connection: AsyncConnection) -> set[Any]:
    c = checkpoints.c
    standing = sa.select(c.name, c.version, c.partition, c.log_id, c.position, c.generation)
    return set(await connection.execute(standing))
