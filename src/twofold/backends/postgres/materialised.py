"""Materialised views over tables that are replaced.

PostgreSQL cannot point one at another table, so each is made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import asyncpg
import msgspec

from twofold.backends.postgres.pool import Connection
from twofold.backends.postgres.tables import table_name
from twofold.backends.statements import quoted, statements
from twofold.errors import InvalidInput
from twofold.feed.checkpoints import FollowerId

REFRESH_TIMEOUT_S = 3_600.0

_SQL = statements("twofold.backends.postgres", "materialised.sql")
_GRANTS = statements("twofold.backends.postgres", "tables.sql")["grants"]


class Beside(msgspec.Struct, frozen=True):
    """A materialised view, and the name of the one that takes its place."""

    follows: FollowerId
    live: bool
    name: str


async def make_beside(connection: Connection, replaced: Mapping[FollowerId, FollowerId]) -> Sequence[Beside]:
    """Make those over any of these tables again, over the tables that replace them. It takes as long as a refresh.

    They are gone again if the transaction is rolled back. Until it ends the old ones are not refreshed: that would lock
    the tables.
    """
    names, versions = [one.name for one in replaced], [one.version for one in replaced]
    found, made = await connection.fetch(_SQL["over"], names, versions), []
    if found:
        await connection.execute(_SQL["patience"])
    for name, version, definition, live, indexes in found:
        await connection.execute(_SQL["alone"], name, version)
        over_new = reduce(
            lambda sql, one: sql.replace(table_name(one), table_name(replaced[one])), replaced, definition
        )
        beside = Beside(FollowerId(name, version), live, f"twofold.{quoted(f'{name}_v{version}~')}")
        await connection.execute(f"CREATE MATERIALIZED VIEW {beside.name}{over_new}", timeout=REFRESH_TIMEOUT_S)
        for index in indexes:
            await connection.execute(f"CREATE {index.replace('%s', beside.name, 1)}", timeout=REFRESH_TIMEOUT_S)
        for grant, _ in await connection.fetch(_GRANTS, table_name(beside.follows), beside.name):
            await connection.execute(grant)
        made.append(beside)
    return made


async def take_place(connection: Connection, beside: Beside) -> None:
    """Raises: InvalidInput if a user's database object depends on the old one."""
    follows, old = beside.follows, table_name(beside.follows)
    if beside.live and await connection.fetchval(_SQL["shown_as"], follows.name, follows.version):
        columns = await connection.fetchval(_SQL["columns"], beside.name)
        await connection.execute(
            f"CREATE OR REPLACE VIEW public.{quoted(follows.name)} AS SELECT {columns} FROM {beside.name}"
        )
    await drop_relation(connection, f"MATERIALIZED VIEW {old}", f"view {follows.name!r} version {follows.version}")
    bare = quoted(f"{follows.name}_v{follows.version}")
    await connection.execute(f"ALTER MATERIALIZED VIEW {beside.name} RENAME TO {bare}")
    await connection.execute(_SQL["outdate"], follows.name, follows.version)


async def drop_relation(connection: Connection, relation: str, owner: str) -> None:
    """Drop `relation`, its kind and its name. Raises: InvalidInput when a user's view or function depends on it."""
    try:
        await connection.execute(f"DROP {relation}")
    except asyncpg.DependentObjectsStillExistError as error:
        raise InvalidInput(
            f"{owner} cannot be dropped, because {dependents(error)}: drop that first, and create it again on the "
            f"public name of the read model"
        ) from error


def dependents(error: asyncpg.PostgresError) -> str:
    """What depends on what, in one line."""
    return "; ".join((error.detail or str(error)).splitlines())
