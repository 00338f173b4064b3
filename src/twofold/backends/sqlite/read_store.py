"""Rows of projections and their checkpoints in one SQLite file, beside the log's.

Commits do not wait for the disk (`synchronous=NORMAL`): rows and checkpoint are one transaction, and what a power cut
removes is folded again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import apsw

from twofold.backends.sqlite.checkpoints import (
    SqliteCheckpoints,
    create_checkpoints,
    move,
    read_all_parked,
    read_checkpoints,
)
from twofold.backends.sqlite.connection import READERS, File, transaction
from twofold.backends.sqlite.log import holds
from twofold.backends.sqlite.swap import drop, named_alike, replace, show
from twofold.backends.sqlite.tables import KEYS_PER_STATEMENT, TableSql, plain, table_sql
from twofold.backends.statements import quoted, statements
from twofold.errors import BatchRefused, ConfigurationError, InvalidInput
from twofold.failures import error_text
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId
from twofold.feed.doorbell import Reached
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
    has_come_as_far,
    refused_definition,
)

T = TypeVar("T")

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
        await self._file.writer.run(_defining, _prepare, table)

    async def publish(self, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint] = ()) -> bool:
        """See `ReadStore.publish`."""
        return await self._file.writer.run(_defining, lambda db, table: _publish(db, table, covered, lost), table)

    async def index(self, table: Table) -> None:
        """See `ReadStore.index`."""
        await self._file.writer.run(_defining, lambda db, table: _index(db, table_sql(table)), table)

    async def replace(self, table: Table, claims: Sequence[Claim], built: FollowerId, at: Sequence[Position]) -> bool:
        """See `ReadStore.replace`. Readers never block it."""
        await self._file.writer.run(replace, table, claims, built, at)
        self._reached.forget(table.follows)  # the new table may be of another log, and further back
        for place in at:
            self._reached.heard(table.follows.in_partition(place.partition), place)
        self._file.bell.ring()
        return True

    async def tables(self) -> Sequence[StoredTable]:
        """See `ReadStore.tables`."""
        return await self._file.reader.run(_all_tables)

    async def drop(self, follows: FollowerId) -> None:
        """See `ReadStore.drop`."""
        await self._file.writer.run(_drop, follows)

    async def clear(self, table: Table, log_id: str) -> None:
        """See `ReadStore.clear`."""
        await self._file.writer.run(_clear, table, log_id)
        self._reached.forget(table.follows)

    async def rows(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Values]:
        """See `ReadStore.rows`."""
        return await self._file.reader.run(_rows, table, keys)

    async def commit(self, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        """See `ReadStore.commit`."""
        await self._file.writer.run(_commit, table, claim, after, to, changes)
        self._reached.heard(claim.follower, to)
        self._file.bell.ring()

    async def refusal(self, table: Table, rows: Sequence[Values]) -> str | None:
        """See `ReadStore.refusal`."""
        return await self._file.writer.run(_refusal, table, rows)

    async def get(self, table: Table, key: Key) -> Found:
        """See `ReadStore.get`."""
        sql = table_sql(table)
        return await self._found(sql, sql.get, sql.key_to_sqlite(key))

    async def find(self, table: Table, query: Query) -> Found:
        """See `ReadStore.find`."""
        sql = table_sql(table)
        return await self._found(sql, *sql.find(query))

    async def wait(self, follower: FollowerId, after: Position, timeout_s: float) -> None:
        """See `ReadStore.wait`."""
        if self._reached.at(follower) <= after:
            await self._file.wait(timeout_s)

    async def _found(self, sql: TableSql, statement: str, values: Sequence[object]) -> Found:
        before = self._reached.places
        found = await self._file.reader.run(_found, sql, statement, values)
        for checkpoint in found.checkpoints:
            self._reached.looked(before, checkpoint.follower, checkpoint.position)
        return found


def _set_up(db: apsw.Connection) -> None:
    if holds(db, "twofold_events"):
        raise ConfigurationError(f"{db.filename} holds a log: name another file for the read models")
    with transaction(db):
        create_checkpoints(db)


def _defining(db: apsw.Connection, making: Callable[[apsw.Connection, Table], T], table: Table) -> T:
    """Raises: ConfigurationError when SQLite refuses the definition itself, so that retrying does not help."""
    try:
        return making(db, table)
    except (apsw.SQLError, apsw.TooBigError) as error:
        raise refused_definition(table, f"SQLite, {db.filename}", error) from error


def _prepare(db: apsw.Connection, table: Table) -> None:
    name, version = table.name, table.follows.version
    with transaction(db):
        known = db.execute(_SQL["fingerprint"], (name, version)).fetchone()
        if known is None:
            sql = table_sql(table)
            for statement in sql.create():
                db.execute(statement)
            db.execute(_SQL["added"], (name, version, table.fingerprint, table.follows.builds is None))
            if table.follows.builds is None and _live(db, name) == version:
                _index(db, sql)
                if (other := named_alike(db, name)) is not None:
                    raise ConfigurationError(f"the read store has {other}")
                show(db, table)
        else:
            check_columns(table, known[0])


def _publish(db: apsw.Connection, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint]) -> bool:
    name, version = table.name, table.follows.version
    if _live(db, name) < version and not _come_as_far(db, table, covered, lost):
        return False
    _index(db, table_sql(table))  # only now: a table without indexes fills faster
    with transaction(db):
        if _live(db, name) < version and _come_as_far(db, table, covered, lost):
            db.execute(_SQL["make_live"], (name, version))
            show(db, table)
        return _live(db, name) >= version


def _index(db: apsw.Connection, sql: TableSql) -> None:
    there = {plain(name) for name, _ in list[tuple[str, str]](db.execute(_SQL["indexes_on"], (sql.name,)))}
    for name, statement in sql.indexes().items():
        if name not in there:
            db.execute(statement)


def _come_as_far(db: apsw.Connection, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint]) -> bool:
    live = read_checkpoints(db, FollowerId(table.name, _live(db, table.name)))
    return has_come_as_far(read_checkpoints(db, table.follows), live, covered, lost)


def _live(db: apsw.Connection, name: str) -> int:
    [(version,)] = list[tuple[int]](db.execute(_SQL["live_version"], (name,)))
    return version


def _all_tables(db: apsw.Connection) -> list[StoredTable]:
    with transaction(db, "DEFERRED"):
        return _stored_tables(db)


def _stored_tables(db: apsw.Connection) -> list[StoredTable]:
    known = list[tuple[str, int, str, int]](db.execute(_SQL["all"]))
    return [
        StoredTable(follows, fingerprint, bool(live), read_checkpoints(db, follows))
        for name, version, fingerprint, live in known
        for follows in [FollowerId(name, version)]
    ]


def _drop(db: apsw.Connection, follows: FollowerId) -> None:
    with transaction(db):
        stored = [table for table in _stored_tables(db) if table.follows == follows]
        if not stored:
            raise InvalidInput(f"there is no table of {follows}: `twofold tables APP` lists those there are")
        check_droppable(stored[0])
        drop(db, follows)
        for statement in ("forget_table", "forget_checkpoint", "forget_parked"):
            db.execute(_SQL[statement], (follows.name, follows.version))


def _clear(db: apsw.Connection, table: Table, log_id: str) -> None:
    name, version = table.name, table.follows.version
    with transaction(db):
        db.execute(f"DELETE FROM {quoted(table_sql(table).name)}")
        db.execute(_SQL["forget_parked"], (name, version))
        db.execute(_SQL["begin_again"], (log_id, name, version))


def _rows(db: apsw.Connection, table: Table, keys: Sequence[Key]) -> Mapping[Key, Values]:
    sql = table_sql(table)
    found: dict[Key, Values] = {}
    places = table.key_places
    with transaction(db, "DEFERRED"):
        for start in range(0, len(keys), KEYS_PER_STATEMENT):
            some = keys[start : start + KEYS_PER_STATEMENT]
            bound = [value for key in some for value in sql.key_to_sqlite(key)]
            for row in db.execute(sql.rows_of(len(some)), bound):
                values = sql.from_sqlite(row)
                found[tuple([values[place] for place in places])] = values
    return found


def _commit(db: apsw.Connection, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
    with transaction(db):
        move(db, claim, after, to, changes.parked, changes.unparked)
        _write(db, table_sql(table), changes.rows)


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


def _found(db: apsw.Connection, sql: TableSql, statement: str, values: Sequence[object]) -> Found:
    """Checkpoints, parked keys and rows from one snapshot (G6)."""
    with transaction(db, "DEFERRED"):
        checkpoints = read_checkpoints(db, sql.table.follows)
        parked = read_all_parked(db, sql.table.follows)
        rows = [sql.from_sqlite(row) for row in db.execute(statement, values)]
    if not checkpoints:
        raise ConfigurationError(f"{sql.table.follows} is not prepared in this read store: open the App on it")
    return Found(checkpoints, rows, parked)
