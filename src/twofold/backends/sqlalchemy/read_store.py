"""Rows of projections and their checkpoints in a database that SQLAlchemy supports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from twofold.backends.sqlalchemy.checkpoints import SqlCheckpoints, move, of, read_all_parked, read_checkpoints
from twofold.backends.sqlalchemy.database import CONNECTIONS, Database
from twofold.backends.sqlalchemy.dialects import lies_in_the_data, lies_in_the_definition
from twofold.backends.sqlalchemy.schema import checkpoints, parked, tables
from twofold.backends.sqlalchemy.swap import MovedOn, drop_table, live_version, publish, refuse_others, replace
from twofold.backends.sqlalchemy.tables import TableSql, table_sql
from twofold.errors import BatchRefused, ConfigurationError, InvalidInput, Unavailable
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId
from twofold.feed.doorbell import Doorbell
from twofold.messages import Position
from twofold.read.columns import Values
from twofold.read.definition import MAX_COLUMNS, MAX_KEY_BYTES
from twofold.read.projection import Key, Table
from twofold.read.store import (
    Changes,
    Found,
    Query,
    RowLimits,
    StoredTable,
    check_columns,
    check_droppable,
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
        """Close the connections."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._database.close()

    # ---- tables

    async def prepare(self, table: Table) -> None:
        """See `ReadStore.prepare`."""
        await self._database.alone(lambda c: self._defining(_prepare, c, table))
        if await self._database.snapshot(lambda c: _holds_whole_texts(c, self._sql(table))):
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
        await self._database.alone(lambda c: replace(c, self._sql(table), claims, built, at))
        self._whole.discard(table.follows)  # the new table has current indexes
        self._bell.ring()
        return True

    async def tables(self) -> Sequence[StoredTable]:
        """See `ReadStore.tables`."""
        return await self._database.snapshot(_stored_tables)

    async def drop(self, follows: FollowerId) -> None:
        """See `ReadStore.drop`."""
        await self._database.alone(lambda c: _drop(c, follows))

    async def clear(self, table: Table, log_id: str) -> None:
        """See `ReadStore.clear`."""
        await self._database.transaction(lambda c: _clear(c, self._sql(table), log_id))

    # ---- rows

    async def rows(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Values]:
        """See `ReadStore.rows`."""
        return await self._database.snapshot(lambda c: _rows(c, self._sql(table), keys))

    async def commit(self, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        """See `ReadStore.commit`."""
        await self._database.transaction(lambda c: _commit(c, self._sql(table), claim, after, to, changes))
        self._bell.ring()

    async def refusal(self, table: Table, rows: Sequence[Values]) -> str | None:
        """See `ReadStore.refusal`."""
        try:
            await self._database.transaction(lambda c: _tried(c, self._sql(table), rows))
        except BatchRefused as error:
            return str(error)
        return None

    async def get(self, table: Table, key: Key) -> Found:
        """See `ReadStore.get`."""
        sql = self._sql(table)
        return await self._database.snapshot(lambda c: _found(c, sql, sql.rows_of([key])))

    async def find(self, table: Table, query: Query) -> Found:
        """See `ReadStore.find`."""
        sql = self._sql(table)
        return await self._database.snapshot(lambda c: _found(c, sql, sql.find(query)))

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
                now = await self._database.snapshot(_positions)
            except (Unavailable, ConfigurationError):
                self._bell.ring()  # the waiting callers meet the error when they read
                return
            if now != seen:
                self._bell.ring()
            seen = now
            await asyncio.sleep(POLL_S)


async def _prepare(connection: AsyncConnection, sql: TableSql) -> None:
    name, version = sql.table.name, sql.table.follows.version
    known = await connection.scalar(sa.select(tables.c.fingerprint).where(*of(tables, sql.table.follows)))
    if known is None:
        await connection.run_sync(sql.sql.create, checkfirst=True)
        first = sql.table.follows.builds is None and await live_version(connection, name) is None
        row = {"name": name, "version": version, "fingerprint": sql.table.fingerprint, "live": first}
        await connection.execute(sa.insert(tables), row)
        if first:
            await refuse_others(connection, name)
            await connection.execute(sa.CreateView(sql.select, name))
    else:
        check_columns(sql.table, known)


async def _holds_whole_texts(connection: AsyncConnection, sql: TableSql) -> bool:
    """Whether an older twofold made its indexes, which hold whole texts and refuse long ones; they stay in use."""
    names = {index.name for index in table_sql(sql.table, connection.dialect.name, whole=True).sql.indexes}
    names -= {index.name for index in sql.sql.indexes}
    if not names:
        return False
    there = await connection.run_sync(lambda sync: sa.inspect(sync).get_indexes(sql.sql.name))
    return bool(names & {index["name"] for index in there})


async def _stored_tables(connection: AsyncConnection) -> list[StoredTable]:
    t = tables.c
    everything = sa.select(t.name, t.version, t.fingerprint, t.live).order_by(t.name, t.version)
    known = [(FollowerId(name, version), *what) for name, version, *what in await connection.execute(everything)]
    return [StoredTable(name, mark, live, await read_checkpoints(connection, name)) for name, mark, live in known]


async def _drop(connection: AsyncConnection, follows: FollowerId) -> None:
    stored = [table for table in await _stored_tables(connection) if table.follows == follows]
    if not stored:
        raise InvalidInput(f"there is no table of {follows}: `twofold tables APP` lists those there are")
    check_droppable(stored[0])
    await drop_table(connection, follows)
    for table in (tables, checkpoints, parked):
        await connection.execute(sa.delete(table).where(*of(table, follows)))


async def _clear(connection: AsyncConnection, sql: TableSql, log_id: str) -> None:
    follows = sql.table.follows
    mine = sa.update(checkpoints).where(*of(checkpoints, follows))  # first, so that the current holder waits here
    again = {"log_id": log_id, "position": 0, "owner": None, "epoch": checkpoints.c.epoch + 1}
    await connection.execute(mine.values(again))
    await connection.execute(sa.delete(sql.sql))
    await connection.execute(sa.delete(parked).where(*of(parked, follows)))


async def _rows(connection: AsyncConnection, sql: TableSql, keys: Sequence[Key]) -> Mapping[Key, Values]:
    found: dict[Key, Values] = {}
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        for row in await connection.execute(sql.rows_of(keys[start : start + KEYS_PER_STATEMENT])):
            values = sql.values(row)
            found[sql.key_of(values)] = values
    return found


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
    connection: AsyncConnection, sql: TableSql, claim: Claim, after: Position, to: Position, changes: Changes
) -> None:
    await move(connection, claim, after, to, changes.parked, changes.unparked)
    written = [sql.row(values) for values in changes.rows.values() if values is not None]
    gone = [sql.gone(key) for key, values in changes.rows.items() if values is None]
    if written:
        with _refusing():
            await connection.execute(sql.upsert, written)
    if gone:
        await connection.execute(sql.delete, gone)


async def _found(connection: AsyncConnection, sql: TableSql, statement: sa.Select[Any]) -> Found:
    """Checkpoints, parked keys and rows from one snapshot (G6)."""
    follows = sql.table.follows
    standing = await read_checkpoints(connection, follows)
    if not standing:
        raise ConfigurationError(f"{follows} is not prepared in this read store: open the App on it")
    entries = await read_all_parked(connection, follows)
    return Found(standing, [sql.values(row) for row in await connection.execute(statement)], entries)


async def _positions(connection: AsyncConnection) -> set[Any]:
    c = checkpoints.c
    return set(await connection.execute(sa.select(c.name, c.version, c.partition, c.log_id, c.position)))
