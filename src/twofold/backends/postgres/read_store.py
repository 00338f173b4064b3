"""Rows of projections and their checkpoints on PostgreSQL, in the log's database or another one."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

import asyncpg
import msgspec

from twofold.backends.postgres import definitions
from twofold.backends.postgres.as_json import json_sql
from twofold.backends.postgres.checkpoints import PostgresCheckpoints, checkpoints_in
from twofold.backends.postgres.commit import Move, Rollups, commit
from twofold.backends.postgres.connection import (
    BY_INDEX,
    DATA,
    Address,
    Database,
)
from twofold.backends.postgres.gathered import Gathered
from twofold.backends.postgres.listener import Listener
from twofold.backends.postgres.pool import Connection
from twofold.backends.postgres.schema import migrate
from twofold.backends.postgres.swap import come_as_far, make_indexes, publish, replace
from twofold.backends.postgres.tables import TableSql, commit_with, table_sql
from twofold.backends.postgres.trees import KeyedSql, TreesSql, keyed_sql
from twofold.backends.postgres.views import PostgresViews
from twofold.backends.statements import statements
from twofold.errors import BatchRefused, Closed, ConfigurationError
from twofold.failures import error_text
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId, Parked, lease_lost
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
    Rolled,
    RowLimits,
    StoredTable,
)
from twofold.read.tree import Branch, Grown, Read, Standing
from twofold.read.written import Shape, written_rows

WORKERS = 4
QUERIES = 6

_SQL = statements("twofold.backends.postgres", "tables.sql")


class _About(msgspec.Struct):
    """The result of `about` in tables.sql."""

    checkpoints: list[tuple[int, str, int, str | None, int, int, str | None, str]]
    parked: list[tuple[Literal["row", "stream"], str, int, int, str, datetime, int]]


_ABOUT = msgspec.json.Decoder(_About)


class PostgresReadStore:
    """See `ReadStore`. Call `open` first.

    Folding and queries use separate connections, so that neither waits for the other.
    """

    limits = RowLimits(MAX_KEY_BYTES, MAX_COLUMNS, QUERIES)

    def __init__(self, url: str) -> None:
        self._address = Address.parse(url)
        self._work = Database(self._address, WORKERS, ConfigurationError, BY_INDEX)
        self._query = Database(self._address, self.limits.reads_at_once, ConfigurationError, {"jit": "off"})
        self._checkpoints = PostgresCheckpoints(self._work, "projection")
        self._selecting = Database(self._address, WORKERS, ConfigurationError)  # users' SQL, with the role's settings
        self.views = PostgresViews(self._selecting)
        self._listener: Listener | None = None
        self._whole: set[FollowerId] = set()
        self._gets: dict[tuple[Table, Shape], Gathered[Key, QueryResult | None]] = {}

    @property
    def checkpoints(self) -> Checkpoints:
        """See `ReadStore.checkpoints`."""
        return self._checkpoints

    async def open(self) -> None:
        """Create missing tables. Raises: ConfigurationError, Unavailable."""
        await self._work.open()
        await migrate(self._work)
        self._listener = Listener.join(self._address)
        self._checkpoints.reached = self._listener.reached

    async def close(self) -> None:
        """Close the connections."""
        async with AsyncExitStack() as stack:  # all of them, even if it is cancelled
            stack.push_async_callback(self._query.close)
            stack.push_async_callback(self._work.close)
            stack.push_async_callback(self._selecting.close)
            if self._listener is not None:
                stack.push_async_callback(self._listener.leave)
                self._listener = None

    @property
    def _news(self) -> Listener:
        if self._listener is None:
            raise Closed(self._address)
        return self._listener

    # ---- tables

    async def prepare(self, table: Table) -> None:
        """See `ReadStore.prepare`."""
        self._whole.discard(table.follows)  # it may have been dropped, and made again
        if not await self._work.run(lambda c: definitions.is_there(c, table)):
            await self._work.run(lambda c: definitions.defining(definitions.make(c, table), table))
        elif await self._work.run(lambda c: definitions.holds_whole_texts(c, table)):
            self._whole.add(table.follows)

    async def publish(self, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint] = ()) -> bool:
        """See `ReadStore.publish`. Also false while another session's open transaction uses the old view."""
        live, may = await self._work.run(lambda c: come_as_far(c, table, covered, lost))
        if live <= table.follows.version and not may:
            return bool(live == table.follows.version)
        await self.index(table)  # only now: a table without indexes fills faster
        if live > table.follows.version:
            return True
        return await self._work.run(lambda c: publish(c, table, covered, lost))

    async def index(self, table: Table) -> None:
        """See `ReadStore.index`."""
        await self._work.run(lambda c: definitions.defining(make_indexes(c, self._sql(table)), table))

    async def replace(self, table: Table, claims: Sequence[Claim], built: FollowerId, at: Sequence[Position]) -> bool:
        """See `ReadStore.replace`."""
        rollups = [one for one in await self.rollups() if one.parks == built]
        done = await self._work.run_once(lambda c: replace(c, table, claims, built, at, rollups))
        for follows in (table.follows, *(one.original().follows for one in rollups)):
            self._news.reached.forget(follows)
            if done:
                self._whole.discard(follows)  # the new table has current indexes
        return done

    async def tables(self) -> Sequence[StoredTable]:
        """See `ReadStore.tables`."""
        return await self._work.run(definitions.stored_tables)

    async def rollups(self) -> Sequence[Table]:
        """See `ReadStore.rollups`."""
        return await self._work.run(definitions.rollups)

    async def drop(self, follows: FollowerId) -> None:
        """See `ReadStore.drop`."""
        await self._work.run(lambda c: definitions.drop(c, follows))

    async def clear(self, table: Table, log_id: str) -> None:
        """See `ReadStore.clear`."""
        await self._work.run(lambda c: definitions.clear(c, table, log_id))
        self._news.reached.forget(table.follows)

    def _sql(self, table: Table) -> TableSql:
        return table_sql(table, whole=table.follows in self._whole)

    # ---- rows

    async def rows(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Values]:
        """See `ReadStore.rows`."""
        sql = self._sql(table)
        fetched = await self._work.run(lambda c: c.fetch(sql.rows, *sql.keys_by_column(keys)))
        rows = [sql.from_postgres(row) for row in fetched]
        return {sql.key_of(values): values for values in rows}

    async def commit(self, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        """See `ReadStore.commit`."""
        sql = self._sql(table)
        move = Move("projection", claim, after, to, changes.parked, changes.unparked)
        rows = sql.changed(changes.rows)
        if changes.rolled:
            try:
                await self._work.run_once(lambda c: _refusing(self._with_rollups(c, sql, move, rows, changes.rolled)))
            except ConfigurationError:  # a rollup was dropped, for which its source was taken over
                now = await self.checkpoints.read(claim.follower)
                if now is None or now.epoch != claim.epoch:
                    raise lease_lost(claim, after) from None
                raise
        else:
            await self._work.run_once(lambda c: _refusing(commit(c, sql.commit, move, rows)))
        for rolled in changes.rolled:
            self._news.reached.heard(rolled.table.follows.in_partition(to.partition), to)
        self._news.heard_rows(claim.follower, to)

    async def _with_rollups(
        self, connection: Connection, sql: TableSql, move: Move, rows: Sequence[Any], rolled: Sequence[Rolled]
    ) -> None:
        tables = [self._sql(one.table) for one in rolled]
        emptying = [table.empty for table, one in zip(tables, rolled, strict=True) if one.afresh]
        rollups = Rollups([one.table.follows for one in rolled], emptying)
        more = [values for table, one in zip(tables, rolled, strict=True) for values in table.changed(one.rows)]
        statement = commit_with(sql, tuple(tables))
        await commit(connection, statement, move, [*rows, *more, *rollups.parameters], rollups)

    async def refusal(self, table: Table, rows: Sequence[Values]) -> str | None:
        """See `ReadStore.refusal`."""
        sql = self._sql(table)
        try:
            await self._work.run(lambda c: _refusing(_tried(c, sql.upsert, sql.by_column(rows))))
        except BatchRefused as error:
            return error_text(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        return None

    async def get(self, table: Table, key: Key) -> QueryResult:
        """See `ReadStore.get`."""
        sql = self._sql(table)
        return await self._found(sql, sql.get, key)

    async def get_all(self, table: Table, keys: Sequence[Key]) -> QueryResult:
        """See `ReadStore.get_all`."""
        sql = self._sql(table)
        return await self._found(sql, sql.get_all, sql.keys_by_column(keys))

    async def find(self, table: Table, query: Query) -> QueryResult:
        """See `ReadStore.find`."""
        sql = self._sql(table)
        return await self._found(sql, *sql.find(query))

    async def get_json(self, table: Table, shape: Shape, key: Key) -> QueryResult | None:
        """See `WritesJson.get_json`."""
        gets = self._gets.get((table, shape))
        if gets is None:
            gets = self._gets[table, shape] = Gathered(partial(self._get_all, table, shape))
        return await gets.run(key)

    async def _get_all(self, table: Table, shape: Shape, keys: Sequence[Key]) -> Sequence[QueryResult | None]:
        sql = self._sql(table)
        values = sql.keys_by_column(keys)
        checkpoints, about, [(_, text)] = await self._look(sql, json_sql(sql, shape).get, values)
        parked = _parked(about)
        found = [written_rows(line) for line in text.split("\n")]
        return [None if rows is None else QueryResult(checkpoints, rows, parked) for rows in found]

    async def find_json(self, table: Table, shape: Shape, query: Query) -> QueryResult | None:
        """See `WritesJson.find_json`."""
        sql = self._sql(table)
        statement, values = json_sql(sql, shape).find(query)
        checkpoints, about, [(_, text)] = await self._look(sql, statement, values)
        rows = written_rows(text)
        return None if rows is None else QueryResult(checkpoints, rows, _parked(about))

    def reads(self, trees: Sequence[Branch]) -> Read:
        """See `ReadsTrees.reads`."""
        sql, keyed = TreesSql(trees, self._sql), keyed_sql(trees, self._sql)
        gets = None if keyed is None else Gathered(partial(self._by_key, keyed))

        async def read(queries: Sequence[Query]) -> Grown:
            key = None if keyed is None else keyed.key(queries[0])
            if gets is not None and key is not None:
                return await gets.run(key)
            statement, values = sql.statement(queries)
            before = self._news.reached.places
            row = await self._query.run(lambda c: c.fetchrow(statement, *values))
            standing = [self._standing(table, text, before) for table, text in zip(sql.tables, row, strict=False)]
            return Grown(row[len(standing) :], standing)

        return read

    async def _by_key(self, sql: KeyedSql, keys: Sequence[Key]) -> Sequence[Grown]:
        statement, values = sql.statement(keys)
        before = self._news.reached.places
        about, texts = await self._query.run(lambda c: c.fetchrow(statement, *values))
        standing = [self._standing(sql.table, about, before)]
        return [Grown([text], standing) for text in texts]

    def _standing(self, table: Table, text: str, before: Mapping[FollowerId, Position]) -> Standing:
        about = _ABOUT.decode(text)
        return Standing(table, self._seen(table.follows, about, before), _parked(about))

    async def count(self, table: Table, conditions: Sequence[Condition]) -> Counted:
        """See `ReadStore.count`."""
        sql = self._sql(table)
        checkpoints, _, [(_, rows)] = await self._look(sql, *sql.count(conditions))
        return Counted(checkpoints, rows)

    async def wait(self, follower: FollowerId, after: Position, timeout_s: float) -> None:
        """See `ReadStore.wait`."""
        if self._news.reached.at(follower) <= after:
            await self._news.wait(self._news.rows, timeout_s)

    async def _found(self, sql: TableSql, statement: str, values: Sequence[Any]) -> QueryResult:
        checkpoints, about, fetched = await self._look(sql, statement, values)
        rows = [sql.from_postgres(row[1:]) for row in fetched if row[0] is None]
        return QueryResult(checkpoints, rows, _parked(about))

    async def _look(
        self, sql: TableSql, statement: str, values: Sequence[Any]
    ) -> tuple[list[Checkpoint], _About, list[Any]]:
        """Checkpoints, all that `about` selects, and the rows that were fetched, from one snapshot."""
        before = self._news.reached.places
        fetched = await self._query.run(lambda c: c.fetch(statement, *sql.whose, *values))
        about = _ABOUT.decode(next(row[0] for row in fetched if row[0] is not None))
        return self._seen(sql.table.follows, about, before), about, fetched

    def _seen(self, follows: FollowerId, about: _About, before: Mapping[FollowerId, Position]) -> list[Checkpoint]:
        """The checkpoints of a snapshot, which the store remembers having seen. Raises: ConfigurationError."""
        checkpoints = checkpoints_in(follows, about.checkpoints)
        if not checkpoints:
            raise ConfigurationError(f"{follows} is not prepared in this read store: open the App on it")
        for checkpoint in checkpoints:
            self._news.reached.looked(before, checkpoint.follower, checkpoint.position)
        return checkpoints


async def _refusing(writing: Awaitable[None]) -> None:
    """Raises: BatchRefused when the server refuses the data."""
    try:
        await writing
    except ValueError as error:  # the driver cannot encode it: UnicodeError, or its own DataError
        raise BatchRefused(str(error)) from error
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "").startswith(DATA):
            raise BatchRefused(str(error)) from error
        raise


async def _tried(connection: Connection, statement: str, values: Sequence[Any]) -> None:
    """Write, then roll back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(statement, *values)
    finally:
        await transaction.rollback()


def _parked(about: _About) -> list[Parked]:
    parked = [
        Parked(kind, key, Position(partition, position), error, since.astimezone(UTC), tries)
        for kind, key, partition, position, error, since, tries in about.parked
    ]
    return sorted(parked, key=lambda entry: (entry.position, entry.kind, entry.key))
