"""Creating, listing and dropping the tables of projections on PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from itertools import groupby
from typing import Any

import asyncpg
import msgspec

from twofold.backends.postgres.checkpoints import checkpoints_in
from twofold.backends.postgres.connection import DEFINITION, LOCK_TIMEOUT_S, MISSING, brief_transaction
from twofold.backends.postgres.pool import Connection
from twofold.backends.postgres.swap import drop_table, make_indexes, show_first
from twofold.backends.postgres.tables import table_name, table_sql
from twofold.backends.postgres.views import drop_view
from twofold.backends.statements import statements
from twofold.errors import InvalidInput
from twofold.feed.checkpoints import FollowerId
from twofold.read.projection import Table
from twofold.read.store import StoredTable, check_columns, check_droppable, refused_definition

_SQL = statements("twofold.backends.postgres", "tables.sql")


async def defining(making: Awaitable[None], table: Table) -> None:
    """Raises: ConfigurationError when the server refuses the definition itself, so that retrying does not help."""
    try:
        await making
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "").startswith(DEFINITION) and error.sqlstate not in ("42501", *MISSING):
            raise refused_definition(table, "PostgreSQL", error) from error
        raise


async def is_there(connection: Connection, table: Table) -> bool:
    """Whether the table exists. Raises: ConfigurationError when it has other columns."""
    name, version = table.name, table.follows.version
    known = await connection.fetchval(_SQL["fingerprint"], name, version)
    if known is not None:
        check_columns(table, known)
    return known is not None


async def holds_whole_texts(connection: Connection, table: Table) -> bool:
    """Whether an older twofold made its indexes, which hold whole texts and refuse long ones; they stay in use."""
    names = table_sql(table, whole=True).indexes().keys() - table_sql(table).indexes().keys()
    return bool(names and await connection.fetch(_SQL["indexes"], list(names)))


async def make(connection: Connection, table: Table) -> None:
    """See `ReadStore.prepare`."""
    sql = table_sql(table)
    async with brief_transaction(connection):
        await connection.execute(_SQL["one_at_a_time"])
        if await is_there(connection, table):  # another process was faster
            return
        await connection.execute(sql.create())
        first = table.follows.builds is None
        rollup = None if table.declared is None else msgspec.json.encode(table).decode()
        added = (table.name, table.follows.version, table.fingerprint, first, rollup)
        if await connection.fetchval(_SQL["added"], *added):
            await make_indexes(connection, sql)
            await show_first(connection, sql)


async def stored_tables(connection: Connection) -> list[StoredTable]:
    """See `ReadStore.tables`."""
    stored = [tuple(row) for row in await connection.fetch(_SQL["all"])]
    return [
        StoredTable(follows, fingerprint, live, checkpoints_in(follows, [row[4:] for row in rows]))
        for (name, version, fingerprint, live), rows in groupby(stored, key=lambda row: row[:4])
        for follows in [FollowerId(name, version)]
    ]


async def rollups(connection: Connection) -> list[Table]:
    """See `ReadStore.rollups`."""
    return [msgspec.json.decode(text, type=Table) for (text,) in await connection.fetch(_SQL["rollups"])]


async def drop(connection: Connection, follows: FollowerId) -> None:
    """See `ReadStore.drop`."""
    async with brief_transaction(connection, LOCK_TIMEOUT_S):
        await connection.execute(_SQL["one_at_a_time"])
        if await drop_view(connection, follows):
            return
        stored = [table for table in await stored_tables(connection) if table.follows == follows]
        if not stored:
            raise InvalidInput(f"there is no table of {follows}: `twofold tables APP` lists those there are")
        check_droppable(stored[0])
        check_unread(follows, await connection.fetch(_SQL["views_over"], follows.name, follows.version))
        await drop_table(connection, follows)
        for statement in ("forget_table", "forget_checkpoint", "forget_parked"):
            await connection.execute(_SQL[statement], follows.name, follows.version)


def check_unread(follows: FollowerId, views: Sequence[Any]) -> None:
    """Raises: InvalidInput if there are views over it."""
    if views:
        names = " and ".join(f"{name}:{version}" for name, version, *_ in views)
        each = ", then ".join(f"`twofold tables APP --drop {name}:{version}`" for name, version, *_ in views)
        raise InvalidInput(f"the table of {follows} cannot be dropped, because the view {names} reads it: first {each}")


async def clear(connection: Connection, table: Table, log_id: str) -> None:
    """See `ReadStore.clear`."""
    name, version = table.name, table.follows.version
    async with brief_transaction(connection):
        await connection.execute(
            _SQL["begin_again"], name, version, log_id
        )  # first, so that the current holder waits here
        await connection.execute(f"DELETE FROM {table_name(table.follows)}")
        await connection.execute(_SQL["forget_parked"], name, version)
