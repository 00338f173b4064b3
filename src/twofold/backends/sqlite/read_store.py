"""Rows of projections and their checkpoints in one SQLite file, beside the log's.

It commits without waiting for the disk (`synchronous=NORMAL`): rows and checkpoint are one transaction, and what a
power cut takes is given again by the feed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw

from twofold.backends.sqlite.checkpoints import (
    SqliteCheckpoints,
    create_checkpoints,
    move,
    read_checkpoint,
    read_parked,
)
from twofold.backends.sqlite.connection import File, transaction
from twofold.backends.sqlite.tables import KEYS_PER_STATEMENT, TableSql, table_sql
from twofold.errors import ConfigurationError
from twofold.feed.checkpoints import Checkpoints, Claim, Follows
from twofold.messages import Position
from twofold.read.columns import Values
from twofold.read.projection import Key, Table
from twofold.read.store import Changes, Found, Query, Rows


class SqliteReadStore:
    """See `ReadStore`. `open` it first."""

    def __init__(self, path: Path) -> None:
        self._file = File(path, "NORMAL")
        self._checkpoints = SqliteCheckpoints(self._file)
        self._reached: dict[Follows, Position] = {}

    @property
    def checkpoints(self) -> Checkpoints:
        """See `ReadStore.checkpoints`."""
        return self._checkpoints

    async def open(self) -> None:
        """Make the tables if need be. Raises: ConfigurationError, Unavailable."""
        await self._file.open(_set_up)

    async def close(self) -> None:
        """Ends the threads."""
        await self._file.close()

    async def prepare(self, table: Table) -> None:
        """See `ReadStore.prepare`."""
        await self._file.writer.run(_prepare, table)

    async def rows(self, table: Table, keys: Sequence[Key]) -> Rows:
        """See `ReadStore.rows`."""
        return await self._file.reader.run(_rows, table, keys)

    async def commit(self, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        """See `ReadStore.commit`."""
        self._file.check_in_place()
        await self._file.writer.run(_commit, table, claim, after, to, changes)
        self._reached[claim.follower] = to
        self._file.bell.ring()

    async def get(self, table: Table, key: Key) -> Found:
        """See `ReadStore.get`."""
        sql = table_sql(table)
        return await self._file.reader.run(_found, sql, sql.get, sql.key_to_sqlite(key))

    async def find(self, table: Table, query: Query) -> Found:
        """See `ReadStore.find`."""
        sql = table_sql(table)
        return await self._file.reader.run(_found, sql, *sql.find(query))

    async def wait(self, follows: Follows, after: Position, timeout_s: float) -> None:
        """See `ReadStore.wait`."""
        reached = self._reached.get(follows)
        if reached is None or reached <= after:
            await self._file.wait(timeout_s)


def _set_up(db: apsw.Connection) -> None:
    with transaction(db):
        create_checkpoints(db)


def _prepare(db: apsw.Connection, table: Table) -> None:
    sql = table_sql(table)
    name, version = table.name, table.follows.version
    with transaction(db):
        found = db.execute("SELECT fingerprint FROM twofold_tables WHERE name = ? AND version = ?", (name, version))
        known = found.fetchone()
        if known is not None and known[0] != table.fingerprint:
            raise ConfigurationError(
                f"the table of projection {name!r} version {version} has other columns than its row class: "
                f"raise the version to {version + 1}, so that it gets a table of its own"
            )
        if known is None:
            for statement in sql.create():
                db.execute(statement)
            db.execute("INSERT INTO twofold_tables VALUES (?, ?, ?)", (name, version, table.fingerprint))
        _publish(db, sql)


def _publish(db: apsw.Connection, sql: TableSql) -> None:
    kind = db.execute("SELECT type FROM sqlite_schema WHERE name = ?", (sql.table.name,)).fetchone()
    if kind is None:
        db.execute(sql.publish())
    elif kind[0] != "view":
        raise ConfigurationError(
            f"the read store has a {kind[0]} called {sql.table.name!r} that is not ours: rename it, or the projection"
        )


def _rows(db: apsw.Connection, table: Table, keys: Sequence[Key]) -> Rows:
    sql = table_sql(table)
    found: dict[Key, Values] = {}
    places = [[column.name for column in table.columns].index(name) for name in table.key]
    with transaction(db, "DEFERRED"):
        parked = read_parked(db, table.follows)
        for start in range(0, len(keys), KEYS_PER_STATEMENT):
            some = keys[start : start + KEYS_PER_STATEMENT]
            bound = [value for key in some for value in sql.key_to_sqlite(key)]
            for row in db.execute(sql.rows_of(len(some)), bound):
                values = sql.from_sqlite(row)
                found[tuple([values[place] for place in places])] = values
    return Rows(found, parked)


def _commit(db: apsw.Connection, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
    sql = table_sql(table)
    with transaction(db):
        move(db, claim, after, to, changes.parked)
        _write(db, sql, changes.rows)


def _write(db: apsw.Connection, sql: TableSql, rows: Mapping[Key, Values | None]) -> None:
    db.executemany(sql.upsert, [sql.to_sqlite(values) for values in rows.values() if values is not None])
    db.executemany(sql.delete, [sql.key_to_sqlite(key) for key, values in rows.items() if values is None])


def _found(db: apsw.Connection, sql: TableSql, statement: str, values: Sequence[object]) -> Found:
    """Checkpoint, parked keys and rows of one snapshot (G6)."""
    with transaction(db, "DEFERRED"):
        checkpoint = read_checkpoint(db, sql.table.follows)
        parked = read_parked(db, sql.table.follows)
        rows = [sql.from_sqlite(row) for row in db.execute(statement, values)]
    if checkpoint is None:
        raise ConfigurationError(f"{sql.table.follows} is not prepared in this read store: open the App on it")
    return Found(checkpoint, rows, parked)
