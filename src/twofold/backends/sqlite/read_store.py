"""Rows of projections and their checkpoints in one SQLite file, beside the log's.

Commits do not wait for the disk (`synchronous=NORMAL`): rows and checkpoint are one transaction, and what a power cut
removes is folded again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import apsw

from twofold.backends.sqlite import as_json, definitions
from twofold.backends.sqlite.checkpoints import (
    SqliteCheckpoints,
    create_checkpoints,
    level,
    move,
    read_all_parked,
    read_checkpoints,
)
from twofold.backends.sqlite.connection import READERS, File, transaction
from twofold.backends.sqlite.gathered import Gathered
from twofold.backends.sqlite.log import holds
from twofold.backends.sqlite.swap import replace
from twofold.backends.sqlite.tables import KEYS_PER_STATEMENT, TableSql, table_sql
from twofold.backends.sqlite.trees import TreesSql, grown
from twofold.backends.statements import statements
from twofold.errors import BatchRefused, ConfigurationError
from twofold.failures import error_text
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId
from twofold.feed.doorbell import Reached
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
)
from twofold.read.tree import Branch, Grown, Read
from twofold.read.written import Shape

F = TypeVar("F", QueryResult, Counted)
P = ParamSpec("P")

_SQL = statements("twofold.backends.sqlite", "tables.sql")
_REFUSED = (apsw.ConstraintError, apsw.TooBigError, apsw.MismatchError, ValueError, OverflowError)
"""Errors of the data, not of the file."""


class SqliteReadStore:
    """See `ReadStore`. Call `open` first."""

    limits = RowLimits(MAX_KEY_BYTES, MAX_COLUMNS, READERS)

    def __init__(self, path: Path) -> None:
        self._file = File(path, "NORMAL", self.limits.reads_at_once)
        self._reached = Reached()
        self._checkpoints = SqliteCheckpoints(self._file, reached=self._reached)
        self._answered = Gathered(self._file.readers, as_json.answered)
        self._grown = Gathered(self._file.readers, grown)

    @property
    def checkpoints(self) -> Checkpoints:
        """See `ReadStore.checkpoints`."""
        return self._checkpoints

    async def open(self) -> None:
        """Create missing tables. Raises: ConfigurationError, Unavailable."""
        await self._file.open(_set_up)

    async def close(self) -> None:
        """End the threads."""
        await self._file.close()

    async def prepare(self, table: Table) -> None:
        """See `ReadStore.prepare`."""
        await self._file.writer.run(definitions.defining, definitions.prepare, table)

    async def publish(self, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint] = ()) -> bool:
        """See `ReadStore.publish`."""
        return await self._file.writer.run(
            definitions.defining, lambda db, table: definitions.publish(db, table, covered, lost), table
        )

    async def index(self, table: Table) -> None:
        """See `ReadStore.index`."""
        await self._file.writer.run(
            definitions.defining, lambda db, table: definitions.index(db, table_sql(table)), table
        )

    async def replace(self, table: Table, claims: Sequence[Claim], built: FollowerId, at: Sequence[Position]) -> bool:
        """See `ReadStore.replace`. Readers never block it."""
        rollups = [one for one in await self.rollups() if one.parks == built]
        await self._file.writer.run(replace, table, claims, built, at, rollups)
        for one in (table, *(rollup.original() for rollup in rollups)):
            self._reached.forget(one.follows)  # the new table may be of another log, and further back
            for place in at:
                self._reached.heard(one.follows.in_partition(place.partition), place)
        self._file.bell.ring()
        return True

    async def tables(self) -> Sequence[StoredTable]:
        """See `ReadStore.tables`."""
        return await self._file.reader.run(definitions.all_tables)

    async def rollups(self) -> Sequence[Table]:
        """See `ReadStore.rollups`."""
        return await self._file.reader.run(definitions.rollups)

    async def drop(self, follows: FollowerId) -> None:
        """See `ReadStore.drop`."""
        await self._file.writer.run(definitions.drop, follows)

    async def clear(self, table: Table, log_id: str) -> None:
        """See `ReadStore.clear`."""
        await self._file.writer.run(definitions.clear, table, log_id)
        self._reached.forget(table.follows)

    async def rows(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Values]:
        """See `ReadStore.rows`."""
        return await self._file.reader.run(_rows, table, keys)

    async def commit(self, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        """See `ReadStore.commit`."""
        await self._file.writer.run(_commit, table, claim, after, to, changes)
        self._reached.heard(claim.follower, to)
        for rolled in changes.rolled:
            self._reached.heard(rolled.table.follows.in_partition(to.partition), to)
        self._file.bell.ring()

    async def refusal(self, table: Table, rows: Sequence[Values]) -> str | None:
        """See `ReadStore.refusal`."""
        return await self._file.writer.run(_refusal, table, rows)

    async def get(self, table: Table, key: Key) -> QueryResult:
        """See `ReadStore.get`."""
        sql = table_sql(table)
        return await self._looked(_found, sql, sql.get, sql.key_to_sqlite(key))

    async def get_all(self, table: Table, keys: Sequence[Key]) -> QueryResult:
        """See `ReadStore.get_all`."""
        return await self._looked(_found_all, table_sql(table), keys)

    async def find(self, table: Table, query: Query) -> QueryResult:
        """See `ReadStore.find`."""
        sql = table_sql(table)
        return await self._looked(_found, sql, *sql.find(query))

    async def count(self, table: Table, conditions: Sequence[Condition]) -> Counted:
        """See `ReadStore.count`."""
        sql = table_sql(table)
        return await self._looked(_counted, sql, *sql.count(conditions))

    async def wait(self, follower: FollowerId, after: Position, timeout_s: float) -> None:
        """See `ReadStore.wait`."""
        if self._reached.at(follower) <= after:
            await self._file.wait(timeout_s)

    async def get_json(self, table: Table, shape: Shape, key: Key) -> QueryResult | None:
        """See `WritesJson.get_json`."""
        if not as_json.may_get(table):
            return None
        before = self._reached.places
        return self._seen(table, before, await self._answered.run((table, shape, key)))

    async def find_json(self, table: Table, shape: Shape, query: Query) -> QueryResult | None:
        """See `WritesJson.find_json`."""
        before = self._reached.places
        return self._seen(table, before, await self._answered.run((table, shape, query)))

    def reads(self, trees: Sequence[Branch]) -> Read:
        """See `ReadsTrees.reads`."""
        sql = TreesSql(trees)

        async def read(queries: Sequence[Query]) -> Grown:
            before = self._reached.places
            found = await self._grown.run((sql, queries))
            for one in found.standing:
                for checkpoint in _prepared(one.table, one.checkpoints):
                    self._reached.looked(before, checkpoint.follower, checkpoint.position)
            return found

        return read

    def _seen(
        self, table: Table, before: Mapping[FollowerId, Position], found: QueryResult | None
    ) -> QueryResult | None:
        if found is not None:
            for checkpoint in _prepared(table, found.checkpoints):
                self._reached.looked(before, checkpoint.follower, checkpoint.position)
        return found

    async def _looked(self, look: Callable[Concatenate[apsw.Connection, P], F], *args: P.args, **kwargs: P.kwargs) -> F:
        before = self._reached.places
        found = await self._file.reader.run(look, *args, **kwargs)
        for checkpoint in found.checkpoints:
            self._reached.looked(before, checkpoint.follower, checkpoint.position)
        return found


def _set_up(db: apsw.Connection) -> None:
    if holds(db, "twofold_events"):
        raise ConfigurationError(f"{db.filename} holds a log: name another file for the read models")
    with transaction(db):
        create_checkpoints(db)


def _rows(db: apsw.Connection, table: Table, keys: Sequence[Key]) -> Mapping[Key, Values]:
    places = table.key_places
    with transaction(db, "DEFERRED"):
        rows = _rows_in(db, table_sql(table), keys)
    return {tuple([values[place] for place in places]): values for values in rows}


def _rows_in(db: apsw.Connection, sql: TableSql, keys: Sequence[Key]) -> list[Values]:
    rows: list[Values] = []
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        some = keys[start : start + KEYS_PER_STATEMENT]
        bound = [value for key in some for value in sql.key_to_sqlite(key)]
        rows += [sql.from_sqlite(row) for row in db.execute(sql.rows_of(len(some)), bound)]
    return rows


def _commit(db: apsw.Connection, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
    with transaction(db):
        move(db, claim, after, to, changes.parked, changes.unparked)
        _write(db, table_sql(table), changes.rows)
        for rolled in changes.rolled:
            sql = table_sql(rolled.table)
            if rolled.afresh:
                db.execute(sql.empty)
            _write(db, sql, rolled.rows)
            level(db, rolled.table.follows, claim)


def _refusal(db: apsw.Connection, table: Table, rows: Sequence[Values]) -> str | None:
    sql = table_sql(table)
    db.execute("BEGIN IMMEDIATE")
    try:
        db.executemany(sql.upsert, [sql.to_sqlite(values) for values in rows])
    except _REFUSED as error:
        return error_text(error)
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    return None


def _write(db: apsw.Connection, sql: TableSql, rows: Mapping[Key, Values | None]) -> None:
    try:
        _write_rows(db, sql, rows)
    except _REFUSED as error:
        raise BatchRefused(str(error)) from error


def _write_rows(db: apsw.Connection, sql: TableSql, rows: Mapping[Key, Values | None]) -> None:
    db.executemany(sql.upsert, [sql.to_sqlite(values) for values in rows.values() if values is not None])
    db.executemany(sql.delete, [sql.key_to_sqlite(key) for key, values in rows.items() if values is None])


def _found(db: apsw.Connection, sql: TableSql, statement: str, values: Sequence[object]) -> QueryResult:
    """Checkpoints, parked keys and rows from one snapshot (G6)."""
    with transaction(db, "DEFERRED"):
        checkpoints = _prepared(sql.table, read_checkpoints(db, sql.table.follows))
        parked = read_all_parked(db, sql.table.parks)
        rows = [sql.from_sqlite(row) for row in db.execute(statement, values)]
    return QueryResult(checkpoints, rows, parked)


def _found_all(db: apsw.Connection, sql: TableSql, keys: Sequence[Key]) -> QueryResult:
    """Checkpoints, parked keys and rows from one snapshot."""
    with transaction(db, "DEFERRED"):
        checkpoints = _prepared(sql.table, read_checkpoints(db, sql.table.follows))
        parked = read_all_parked(db, sql.table.parks)
        rows = _rows_in(db, sql, keys)
    return QueryResult(checkpoints, rows, parked)


def _counted(db: apsw.Connection, sql: TableSql, statement: str, values: Sequence[object]) -> Counted:
    """Checkpoints and the number of rows from one snapshot (G6)."""
    with transaction(db, "DEFERRED"):
        checkpoints = _prepared(sql.table, read_checkpoints(db, sql.table.follows))
        [(rows,)] = db.execute(statement, values)
    return Counted(checkpoints, rows)


def _prepared(table: Table, checkpoints: Sequence[Checkpoint]) -> Sequence[Checkpoint]:
    if not checkpoints:
        raise ConfigurationError(f"{table.follows} is not prepared in this read store: open the App on it")
    return checkpoints
