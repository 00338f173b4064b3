"""What a name shows on SQLite: the public name one version or the next, a version's table what was built beside it."""

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
    """Let the projection's own name show this version, for those who read with SQL. Inside a transaction.

    SQLite keeps views that depend on this one, even where they no longer work. Raises: NameHeld when that would happen.
    """
    if (other := named_alike(db, table.name)) is not None:
        raise held(table.follows, table.name, f"the read store has {other}")
    triggers = [sql for _, sql in _named(db, "triggers_on", table.name)]  # somebody's INSTEAD OF
    made_anew = [f"DROP VIEW IF EXISTS {quoted(table.name)}", table_sql(table).view, *triggers]
    broken = _broken_by(db, made_anew, table.name)
    if broken is not None:
        way_out = (
            "drop it, and make it again for the new columns once the name shows them. This is tried again by itself"
        )
        raise held(table.follows, table.name, f"{broken}: {way_out}")


def drop(db: apsw.Connection, follows: FollowerId) -> None:
    """The tables of a version. Inside a transaction. Raises: InvalidInput when somebody's view reads from one."""
    gone = [f"DROP TABLE {quoted(name)}" for name in tables_of(db, follows)]
    broken = _broken_by(db, gone, follows.name)
    if broken is not None:
        raise InvalidInput(
            f"the table of {follows} cannot go, because {broken}: drop it first, and let it read from the projection's "
            f"own name instead"
        )


def named_alike(db: apsw.Connection, name: str) -> str | None:
    """What has a projection's name and is not ours, and the way out."""
    found = db.execute(_SQL["named_alike"], (name,)).fetchone()
    ours = f'.* FROM "twofold_{name}_v[0-9]+"'
    if found is None or (found[0] == "view" and re.fullmatch(ours, found[1], re.DOTALL)):
        return None
    return f"a {found[0]} called {name!r} that is not ours: rename it, or the projection"


def replace(
    db: apsw.Connection, table: Table, claims: Sequence[Claim], built: FollowerId, at: Sequence[Position]
) -> None:
    """See `ReadStore.replace`."""
    follows, old = table.follows, table_name(table.follows)
    with _names_only(db), transaction(db):
        check_replaceable(read_checkpoints(db, follows), claims, read_checkpoints(db, built), at)
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
    """The checkpoints of what was built, and what is parked, become those of the old table."""
    renaming = (follows.name, follows.version, built.name)
    db.execute(_SQL["inherit"], renaming)
    for statement in ("forget_checkpoint", "forget_parked"):
        db.execute(_SQL[statement], (follows.name, follows.version))
    for statement in ("take_place", "hand_over_parked"):
        db.execute(_SQL[statement], renaming)
    db.execute(_SQL["forget_table"], (built.name, built.version))


@contextmanager
def _names_only(db: apsw.Connection) -> Iterator[None]:
    """Views and triggers go by the name of a table, and do not follow it when it is renamed."""
    db.execute("PRAGMA legacy_alter_table = ON")
    try:
        yield
    finally:
        db.execute("PRAGMA legacy_alter_table = OFF")


def _of_users(db: apsw.Connection, name: str) -> list[str]:
    """Indexes and triggers that somebody has made on a table of ours."""
    on_it = [*_named(db, "indexes_on", name), *_named(db, "triggers_on", name)]
    ours = re.compile(re.escape(name) + r"(_\d+|__.+)")
    return [sql for made, sql in on_it if not ours.fullmatch(plain(made))]


def _named(db: apsw.Connection, statement: str, table: str) -> list[tuple[str, str]]:
    return list[tuple[str, str]](db.execute(_SQL[statement], (table,)))


def _broken_by(db: apsw.Connection, statements_: list[str], but: str) -> str | None:
    """Do this, and tell which of somebody's views no longer works then, if it did before; `but` is ours."""
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
