"""Moving names on PostgreSQL: the public name to a new version, and a version's table to the one built beside it.

A session that waits for a lock on a table or view also blocks its later readers, so none of this waits for long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

from twofold.backends.postgres.checkpoints import checkpoints_in
from twofold.backends.postgres.connection import LOCK_TIMEOUT_S, LOST, brief_transaction
from twofold.backends.postgres.materialised import dependents, drop_relation, make_beside, take_place
from twofold.backends.postgres.pool import Connection
from twofold.backends.postgres.tables import TableSql, table_name, table_sql
from twofold.backends.statements import quoted, statements
from twofold.errors import ConfigurationError, NameHeld
from twofold.feed.checkpoints import Checkpoint, Claim, FollowerId, lease_lost
from twofold.messages import Position
from twofold.read.projection import Table
from twofold.read.store import check_replaceable, has_come_as_far, held

INDEX_TIMEOUT_S = 3_600.0

_SQL = statements("twofold.backends.postgres", "tables.sql")
_BUSY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_RELATIONS = {"r": "table", "v": "view", "m": "materialized view", "S": "sequence", "f": "foreign table", "i": "index"}


async def make_indexes(connection: Connection, sql: TableSql) -> None:
    """Create missing indexes. A role without the right to create any can be used if all of them exist."""
    indexes = sql.indexes()
    there = {name for (name,) in await connection.fetch(_SQL["indexes"], list(indexes))}
    for name, statement in indexes.items():
        if name not in there:
            await connection.execute(statement, timeout=INDEX_TIMEOUT_S)


# ---- the public name


async def come_as_far(
    connection: Connection, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint]
) -> tuple[int, bool]:
    """The live version, 0 for none, and whether this one may take its place."""
    name, version = table.name, table.follows.version
    rows = [tuple(row) for row in await connection.fetch(_SQL["compared"], name, version)]
    live = rows[0][0] if rows else 0
    return live, live < version and _covers(table, live, [row[1:] for row in rows], covered, lost)


def _covers(
    table: Table, live: int, rows: Sequence[Any], covered: Sequence[Position], lost: Sequence[Checkpoint]
) -> bool:
    """See `has_come_as_far`. `rows` are checkpoints of both versions, each after its version."""

    def checkpoints_of(version: int) -> list[Checkpoint]:
        return checkpoints_in(FollowerId(table.name, version), [row[1:] for row in rows if row[0] == version])

    return has_come_as_far(checkpoints_of(table.follows.version), checkpoints_of(live), covered, lost)


class _MovedOn(Exception):
    """The live version has moved on since it was compared."""


async def publish(
    connection: Connection, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint]
) -> bool:
    """Compare again, one process at a time, and move the name.

    False also while another session's open transaction uses the old view. The checkpoints are locked last, so that
    commits wait only for the end of this transaction and not for readers of the view.
    """
    name, version = table.name, table.follows.version
    try:
        async with brief_transaction(connection, LOCK_TIMEOUT_S):
            await connection.execute(_SQL["one_at_a_time"])
            live, may = await come_as_far(connection, table, covered, lost)
            if may:
                await connection.execute(_SQL["make_live"], name, version)
                await _show(connection, table_sql(table))
                held_rows = await connection.fetch(_SQL["held"], name, live, version)
                if not _covers(table, live, [tuple(row) for row in held_rows], covered, lost):
                    raise _MovedOn
            return may or live >= version
    except (_MovedOn, *_BUSY):
        return False


async def publish_view(connection: Connection, table: Table) -> bool:
    """Move the name of a view to this version, if it is newer and what it is over has been published (G8).

    Returns whether this version, or a newer one, is now live. Raises: NameHeld.
    """
    about = (table.name, table.follows.version)
    live, may = await connection.fetchrow(_SQL["view_may_be_live"], *about)
    if live or not may:
        return bool(live)
    try:
        async with brief_transaction(connection, LOCK_TIMEOUT_S):
            await connection.execute(_SQL["one_at_a_time"])
            live, may = await connection.fetchrow(_SQL["view_may_be_live"], *about)
            if may and not live:
                await connection.execute(_SQL["make_view_live"], *about)
                await _show(connection, table_sql(table))
            return bool(may or live)
    except _BUSY:
        return False


async def show_first(connection: Connection, sql: TableSql) -> None:
    """Show the first version. If a right is missing, this is left for later: the App itself does not need the name.

    Raises: ConfigurationError when another relation has the name.
    """
    await check_name(connection, sql)
    try:
        async with connection.transaction():
            await _show(connection, sql)
    except NameHeld:
        await connection.execute(_SQL["hide"], sql.table.name, sql.table.follows.version)


async def _show(connection: Connection, sql: TableSql) -> None:
    """Let the projection's own name show this version, for readers with SQL. Raises: NameHeld."""
    if (other := await _named_alike(connection, sql)) is not None:
        raise held(sql.table.follows, sql.public_name, f"there is {other}")
    try:
        await _make_view(connection, sql)
    except (*LOST, *_BUSY):
        raise
    except asyncpg.PostgresError as error:
        raise held(sql.table.follows, sql.public_name, _way_out(error)) from error


async def _make_view(connection: Connection, sql: TableSql) -> None:
    try:
        async with connection.transaction():  # keeps grants on the view, and views that depend on it
            await connection.execute(sql.show("CREATE OR REPLACE VIEW"))
    except asyncpg.InvalidTableDefinitionError:  # other columns
        granted = await _grants(connection, sql.table, sql.public_name)
        await connection.execute(f"DROP VIEW {sql.public_name}")
        await connection.execute(sql.show("CREATE VIEW"))
        for grant in granted:
            await connection.execute(grant)
    await connection.execute(sql.describe())


async def check_name(connection: Connection, sql: TableSql) -> None:
    """Raises: ConfigurationError when another relation has the public name."""
    if (other := await _named_alike(connection, sql)) is not None:
        raise ConfigurationError(f"there is {other}")


async def _named_alike(connection: Connection, sql: TableSql) -> str | None:
    """The relation that has a projection's name and is not ours, if there is one, and the way out."""
    alike = await connection.fetchrow(_SQL["named_alike"], sql.table.name)
    if alike is None or (alike[0] == "v" and alike[1].startswith("twofold")):
        return None
    what = _RELATIONS.get(alike[0], "relation")
    return f"a {what} {sql.public_name} that twofold did not create: rename it, or the projection"


def _way_out(error: asyncpg.PostgresError) -> str:
    again = "This is retried automatically"
    if isinstance(error, asyncpg.DependentObjectsStillExistError):
        return (
            f"its columns have changed, so the view must be recreated, but {dependents(error)}. Drop what depends "
            f"on it, and recreate that once the name shows the new columns. {again}"
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return f"{error.args[0]}; docs/postgres-roles.md lists the GRANTs that a role needs. {again}"
    return f"{error.args[0]}. {again}"


async def _grants(connection: Connection, table: Table, name: str) -> list[str]:
    """Those on a relation that is made again under the same name, with the columns of this table."""
    there = {None, *(column.name for column in table.columns)}
    return [statement for statement, column in await connection.fetch(_SQL["grants"], name, name) if column in there]


# ---- a version's table


async def replace(
    connection: Connection,
    table: Table,
    claims: Sequence[Claim],
    built: FollowerId,
    at: Sequence[Position],
    rollups: Sequence[Table],
) -> bool:
    """See `ReadStore.replace`. Locks are taken in the same order as in commits and unparking.

    `rollups` were built with the table.
    """
    follows = table.follows
    replaced = {follows: built, **{one.original().follows: one.follows for one in rollups}}
    try:
        async with brief_transaction(connection, LOCK_TIMEOUT_S):
            await connection.execute(_SQL["one_at_a_time"])
            await connection.execute(f"LOCK TABLE {table_name(built)} IN ACCESS EXCLUSIVE MODE")  # nothing reads it
            views = await make_beside(connection, replaced)  # while readers and workers still use the old table
            await connection.execute(_SQL["forget_parked"], follows.name, follows.version)
            await connection.execute(_SQL["patience"], table_name(follows))
            await connection.execute(f"LOCK TABLE {table_name(follows)} IN ACCESS EXCLUSIVE MODE")
            old, new = await _both(connection, follows, built)
            check_replaceable(old, claims, new, at)
            for view in views:
                await take_place(connection, view)
            await _take_place(connection, table, built)
            for rollup in rollups:
                original = rollup.original()
                await connection.execute(_SQL["patience"], table_name(original.follows))
                await connection.execute(f"LOCK TABLE {table_name(original.follows)} IN ACCESS EXCLUSIVE MODE")
                await _take_place(connection, original, rollup.follows)
        return True
    except asyncpg.UndefinedTableError as error:  # it was dropped since, or has already taken over
        raise lease_lost(claims[0]) from error
    except _BUSY:
        return False


async def _take_place(connection: Connection, table: Table, built: FollowerId) -> None:
    await _hand_over(connection, table.follows, built)
    await _move_table(connection, table, built)
    await connection.execute(_SQL["forget_table"], built.name, built.version)


async def _both(
    connection: Connection, follows: FollowerId, built: FollowerId
) -> tuple[list[Checkpoint], list[Checkpoint]]:
    rows = [tuple(row) for row in await connection.fetch(_SQL["both"], follows.name, built.name, follows.version)]
    old, new = (checkpoints_in(table, [row[1:] for row in rows if row[0] == table.name]) for table in (follows, built))
    return old, new


async def _hand_over(connection: Connection, follows: FollowerId, built: FollowerId) -> None:
    """Give the checkpoints and parked keys of the built table to the old name."""
    renaming = (follows.name, follows.version, built.name)
    await connection.execute(_SQL["inherit"], *renaming)
    for statement in ("forget_checkpoint", "forget_parked"):
        await connection.execute(_SQL[statement], follows.name, follows.version)
    for statement in ("take_place", "hand_over_parked"):
        await connection.execute(_SQL[statement], *renaming)


async def _move_table(connection: Connection, table: Table, built: FollowerId) -> None:
    """Point the view at the new table, drop the old one, then give its names and grants to the new one."""
    sql, new = table_sql(table), table_name(built)
    granted = await _grants(connection, table, sql.name)
    policies = [statement for (statement,) in await connection.fetch(_SQL["policies"], sql.name, sql.name)]
    live = await connection.fetchval(_SQL["is_live"], table.name, table.follows.version)
    if live and await _named_alike(connection, sql) is None:
        await connection.execute(sql.show("CREATE OR REPLACE VIEW", new))
        await connection.execute(sql.describe())
    for name, version, definition, made in await connection.fetch(
        _SQL["views_over"], table.name, table.follows.version
    ):
        if not made:
            over_new = definition.replace(sql.name, new)
            await connection.execute(f"CREATE OR REPLACE VIEW {table_name(FollowerId(name, version))}{over_new}")
    await drop_table(connection, table.follows)
    await connection.execute(f"ALTER TABLE {new} RENAME TO {quoted(_bare(table.follows))}")
    for index in [*sql.indexes(), f"{_bare(table.follows)}_pkey"]:
        old = index.replace(table.name, built.name, 1)
        await connection.execute(f"ALTER INDEX IF EXISTS twofold.{quoted(old)} RENAME TO {quoted(index)}")
    for statement in [*policies, *granted]:  # in this order: nobody may read before the policies hold
        await connection.execute(statement)


async def drop_table(connection: Connection, follows: FollowerId) -> None:
    """Raises: InvalidInput when a user's view or function depends on it."""
    await drop_relation(connection, f"TABLE {table_name(follows)}", f"the table of {follows}")


def _bare(follows: FollowerId) -> str:
    return f"{follows.name}_v{follows.version}"
