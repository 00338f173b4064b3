"""Moving names on SQLite: the public name to a new version, and a version's table to the one built beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import apsw

from twofold.backends.sqlite.checkpoints import read_checkpoints
from twofold.backends.sqlite.connection import transaction
from twofold.backends.sqlite.tables import plain, table_name, table_sql, tables_of
from twofold.backends.statements import quoted, statements
from twofold.errors import InvalidInput
from twofold.feed.checkpoints import Claim, FollowerId
from twofold.messages import Position
from twofold.read.projection import Table
from twofold.read.store import check_replaceable, held

_SQL = statements("twofold.backends.sqlite", "tables.sql")


def show(db: apsw.Connection, table: Table) -> None:
    """Let the projection's own name show this version, for readers with SQL. Inside a transaction.

    SQLite would keep views that depend on this one and no longer work. Raises: NameHeld when there would be one.
    """
    if (other := named_alike(db, table.name)) is not None:
        raise held(table.follows, table.name, f"the read store has {other}")
    triggers = [sql for _, sql in _named(db, "triggers_on", table.name)]  # a user's INSTEAD OF triggers
    recreating = [f"DROP VIEW IF EXISTS {quoted(table.name)}", table_sql(table).view, *triggers]
    broken = _broken_by(db, recreating, table.name)
    if broken is not None:
        way_out = "drop it, and recreate it once the name shows the new columns. This is retried automatically"
        raise held(table.follows, table.name, f"{broken}: {way_out}")


def drop_tables(db: apsw.Connection, follows: FollowerId) -> None:
    """Drop the tables of a version, inside a transaction. Raises: InvalidInput when a user's view reads from one."""
    gone = [f"DROP TABLE {quoted(name)}" for name in tables_of(db, follows)]
    broken = _broken_by(db, gone, follows.name)
    if broken is not None:
        raise InvalidInput(
            f"the table of {follows} cannot be dropped, because {broken}: drop that view first, and create it again "
            f"on the projection's public name"
        )


def named_alike(db: apsw.Connection, name: str) -> str | None:
    """The object that has a projection's name and is not ours, if there is one, and the way out."""
    row = db.execute(_SQL["named_alike"], (name,)).fetchone()
    ours = f'.* FROM "twofold_{name}_v[0-9]+"'
    if row is None or (row[0] == "view" and re.fullmatch(ours, row[1], re.DOTALL)):
        return None
    return f"a {row[0]} called {name!r} that twofold did not create: rename it, or the projection"


def replace(
    db: apsw.Connection,
    table: Table,
    claims: Sequence[Claim],
    built: FollowerId,
    at: Sequence[Position],
    rollups: Sequence[Table],
) -> None:
    """See `ReadStore.replace`. `rollups` were built with the table."""
    with _names_only(db), transaction(db):
        check_replaceable(read_checkpoints(db, table.follows), claims, read_checkpoints(db, built), at)
        _take_place(db, table, built)
        for rollup in rollups:
            _take_place(db, rollup.original(), rollup.follows)


def _take_place(db: apsw.Connection, table: Table, built: FollowerId) -> None:
    follows, old = table.follows, table_name(table.follows)
    users = _of_users(db, old)
    for gone in tables_of(db, follows):
        db.execute(f"DROP TABLE {quoted(gone)}")
    for trigger, _ in _named(db, "triggers_on", table_name(built)):
        db.execute(f"DROP TRIGGER {quoted(trigger)}")
    for new in tables_of(db, built):
        db.execute(f"ALTER TABLE {quoted(new)} RENAME TO {quoted(old + new.removeprefix(table_name(built)))}")
    for statement in [*table_sql(table).create(), *users]:
        db.execute(statement)
    _hand_over(db, follows, built)


def _hand_over(db: apsw.Connection, follows: FollowerId, built: FollowerId) -> None:
    """Give the checkpoints and parked keys of the built table to the old name."""
    renaming = (follows.name, follows.version, built.name)
    db.execute(_SQL["inherit"], renaming)
    for statement in ("forget_checkpoint", "forget_parked"):
        db.execute(_SQL[statement], (follows.name, follows.version))
    for statement in ("take_place", "hand_over_parked"):
        db.execute(_SQL[statement], renaming)
    db.execute(_SQL["forget_table"], (built.name, built.version))


@contextmanager
def _names_only(db: apsw.Connection) -> Iterator[None]:
    """Within this, views and triggers keep referring to a table's name when the table is renamed."""
    db.execute("PRAGMA legacy_alter_table = ON")
    try:
        yield
    finally:
        db.execute("PRAGMA legacy_alter_table = OFF")


def _of_users(db: apsw.Connection, name: str) -> list[str]:
    """Indexes and triggers that users created on one of our tables."""
    on_it = [*_named(db, "indexes_on", name), *_named(db, "triggers_on", name)]
    ours = re.compile(re.escape(name) + r"(_\d+|__.+)")
    return [sql for made, sql in on_it if not ours.fullmatch(plain(made))]


def _named(db: apsw.Connection, statement: str, table: str) -> list[tuple[str, str]]:
    return list[tuple[str, str]](db.execute(_SQL[statement], (table,)))


def _broken_by(db: apsw.Connection, statements_: list[str], but: str) -> str | None:
    """Run the statements. Returns which view of a user worked before and no longer does; `but` is our own view."""
    working = [name for name in _views(db, but) if _why_broken(db, name) is None]
    for statement in statements_:
        db.execute(statement)
    for name in working:
        if (why := _why_broken(db, name)) is not None:
            return f"view {name} would no longer work ({why})"
    return None


def _views(db: apsw.Connection, but: str) -> list[str]:
    return [name for (name,) in list[tuple[str]](db.execute(_SQL["views"], (but,)))]


def _why_broken(db: apsw.Connection, view: str) -> str | None:
    try:
        db.execute(f"SELECT 1 FROM {quoted(view)} LIMIT 0").fetchall()
    except apsw.SQLError as error:
        return str(error)
    return None
