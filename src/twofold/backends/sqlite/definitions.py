"""Creating, publishing, listing and dropping the tables of projections on SQLite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import apsw
import msgspec

from twofold.backends.sqlite.checkpoints import read_checkpoints
from twofold.backends.sqlite.connection import transaction
from twofold.backends.sqlite.swap import drop_tables, named_alike, show
from twofold.backends.sqlite.tables import TableSql, plain, table_sql
from twofold.backends.statements import quoted, statements
from twofold.errors import ConfigurationError, InvalidInput
from twofold.feed.checkpoints import Checkpoint, FollowerId
from twofold.messages import Position
from twofold.read.projection import Table
from twofold.read.store import StoredTable, check_columns, check_droppable, has_come_as_far, refused_definition

T = TypeVar("T")

_SQL = statements("twofold.backends.sqlite", "tables.sql")


def defining(db: apsw.Connection, making: Callable[[apsw.Connection, Table], T], table: Table) -> T:
    """Raises: ConfigurationError when SQLite refuses the definition itself, so that retrying does not help."""
    try:
        return making(db, table)
    except (apsw.SQLError, apsw.TooBigError) as error:
        raise refused_definition(table, f"SQLite, {db.filename}", error) from error


def prepare(db: apsw.Connection, table: Table) -> None:
    """See `ReadStore.prepare`."""
    name, version = table.name, table.follows.version
    with transaction(db):
        known = db.execute(_SQL["fingerprint"], (name, version)).fetchone()
        if known is None:
            sql = table_sql(table)
            for statement in sql.create():
                db.execute(statement)
            rollup = None if table.declared is None else msgspec.json.encode(table).decode()
            db.execute(_SQL["added"], (name, version, table.fingerprint, table.follows.builds is None, rollup))
            if table.follows.builds is None and _live(db, name) == version:
                index(db, sql)
                if (other := named_alike(db, name)) is not None:
                    raise ConfigurationError(f"the read store has {other}")
                show(db, table)
        else:
            check_columns(table, known[0])


def publish(db: apsw.Connection, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint]) -> bool:
    """See `ReadStore.publish`."""
    name, version = table.name, table.follows.version
    if _live(db, name) < version and not _come_as_far(db, table, covered, lost):
        return False
    index(db, table_sql(table))  # only now: a table without indexes fills faster
    with transaction(db):
        if _live(db, name) < version and _come_as_far(db, table, covered, lost):
            db.execute(_SQL["make_live"], (name, version))
            show(db, table)
        return _live(db, name) >= version


def index(db: apsw.Connection, sql: TableSql) -> None:
    """Create missing indexes."""
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


def all_tables(db: apsw.Connection) -> list[StoredTable]:
    """See `ReadStore.tables`."""
    with transaction(db, "DEFERRED"):
        return _stored_tables(db)


def rollups(db: apsw.Connection) -> list[Table]:
    """See `ReadStore.rollups`."""
    return [msgspec.json.decode(text, type=Table) for (text,) in list[tuple[str]](db.execute(_SQL["rollups"]))]


def _stored_tables(db: apsw.Connection) -> list[StoredTable]:
    known = list[tuple[str, int, str, int]](db.execute(_SQL["all"]))
    return [
        StoredTable(follows, fingerprint, bool(live), read_checkpoints(db, follows))
        for name, version, fingerprint, live in known
        for follows in [FollowerId(name, version)]
    ]


def drop(db: apsw.Connection, follows: FollowerId) -> None:
    """See `ReadStore.drop`."""
    with transaction(db):
        stored = [table for table in _stored_tables(db) if table.follows == follows]
        if not stored:
            raise InvalidInput(f"there is no table of {follows}: `twofold tables APP` lists those there are")
        check_droppable(stored[0])
        drop_tables(db, follows)
        for statement in ("forget_table", "forget_checkpoint", "forget_parked"):
            db.execute(_SQL[statement], (follows.name, follows.version))


def clear(db: apsw.Connection, table: Table, log_id: str) -> None:
    """See `ReadStore.clear`."""
    name, version = table.name, table.follows.version
    with transaction(db):
        db.execute(f"DELETE FROM {quoted(table_sql(table).name)}")
        db.execute(_SQL["forget_parked"], (name, version))
        db.execute(_SQL["begin_again"], (log_id, name, version))
