"""Views on PostgreSQL: made by us, so that they have the columns of their row class and a known position."""

from __future__ import annotations

import re
from collections.abc import Sequence

import asyncpg

from twofold.backends.postgres.connection import DEFINITION, Database, brief_transaction
from twofold.backends.postgres.materialised import REFRESH_TIMEOUT_S, drop_relation
from twofold.backends.postgres.pool import Connection
from twofold.backends.postgres.swap import check_name, publish_view
from twofold.backends.postgres.tables import COLUMN_TYPES, INVOKER, table_name, table_sql
from twofold.backends.statements import quoted, statements
from twofold.errors import ConfigurationError
from twofold.feed.checkpoints import FollowerId
from twofold.messages import Position
from twofold.read.columns import Column
from twofold.read.projection import Table
from twofold.sql.view import ViewDefinition
from twofold.sql.views import StoredView

_SQL = statements("twofold.backends.postgres", "views.sql")
_LOCKS = statements("twofold.backends.postgres", "tables.sql")
_SHOWN_AS = statements("twofold.backends.postgres", "materialised.sql")["shown_as"]
_PLACE = re.compile(r"\{(\w+)\}")
_DOCUMENT = {"id", "data"}


class PostgresViews:
    """See `ViewStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def make(self, definition: ViewDefinition, log_id: str) -> None:
        """See `ViewStore.make`."""
        await self._database.run(lambda c: _make(c, definition, log_id))
        if definition.materialised:
            reached, now = await self.reached(definition)
            if reached.is_beginning and not now.is_beginning:
                await self.refresh(definition)

    async def stored(self) -> Sequence[StoredView]:
        """See `ViewStore.stored`."""
        return [_stored(*row) for row in await self._database.run(lambda c: c.fetch(_SQL["all"]))]

    async def show(self, definition: ViewDefinition) -> bool:
        """See `ViewStore.show`."""
        return await self._database.run(lambda c: publish_view(c, definition.table))

    async def reached(self, definition: ViewDefinition) -> tuple[Position, Position]:
        """See `ViewStore.reached`."""
        follows = definition.table.follows
        row = await self._database.run(lambda c: c.fetchrow(_SQL["reached"], follows.name, follows.version))
        if row is None:
            raise ConfigurationError(f"{follows} was dropped while it was in use: open the App again")
        return Position(0, row[0]), Position(0, row[1])

    async def refresh(self, definition: ViewDefinition) -> bool:
        """See `ViewStore.refresh`."""
        return await self._database.run_once(lambda c: _refresh(c, definition.table.follows))

    async def move(self, definition: ViewDefinition, after: Position, to: Position) -> None:
        """See `ViewStore.move`."""
        follows = definition.table.follows
        values = (follows.name, follows.version, after.offset, to.offset)
        await self._database.run(lambda c: c.execute(_SQL["move"], *values))


def _stored(
    name: str,
    version: int,
    live: bool,
    over_names: Sequence[str],
    over_versions: Sequence[int],
    position: int,
    age_s: float | None,
) -> StoredView:
    over = [FollowerId(*one) for one in zip(over_names, over_versions, strict=True)]
    return StoredView(FollowerId(name, version), live, over, Position(0, position), age_s)


async def _make(connection: Connection, definition: ViewDefinition, log_id: str) -> None:
    table = definition.table
    async with brief_transaction(connection):
        await connection.execute(_LOCKS["one_at_a_time"])
        known = await connection.fetchval(_SQL["known"], table.name, table.follows.version)
        if known is not None:
            if known != definition.fingerprint:
                raise ConfigurationError(
                    f"{_owner(table)} version {table.follows.version} has another definition in this database: "
                    f"raise its version"
                )
            return
        if not definition.over and await connection.fetchval(_SQL["log_id"]) != log_id:
            raise ConfigurationError(
                f"{_owner(table)} is over plain tables in another database than the log, so nothing tells how fresh "
                f"they are: list the projections that it is over"
            )
        await check_name(connection, table_sql(table))
        suffix = await _suffix(connection, definition)
        await _create(connection, definition, suffix)
        over = [each.name for each in definition.over], [each.version for each in definition.over]
        values = (table.name, table.follows.version, definition.fingerprint, suffix, *over, definition.materialised)
        await connection.execute(_SQL["add"], *values, log_id)


async def _suffix(connection: Connection, definition: ViewDefinition) -> str:
    """What follows the name of the view where it is created. Raises: ConfigurationError for SQL that is refused."""
    over = {each.name: table_name(each) for each in definition.over}
    sql = _PLACE.sub(lambda place: over.get(place[1], place[0]), definition.sql).strip().rstrip(";")
    rows = f"({sql}\n) v"  # a comment at the end of it ends with the line
    try:
        described = await connection.prepare(f"SELECT * FROM {rows}")
    except asyncpg.PostgresError as error:
        raise _refused(definition.table, error) from error
    names = {attribute.name for attribute in described.get_attributes()}
    columns = ", ".join(_selected(definition.table, names))
    invoker = INVOKER if definition.table.security_invoker else ""
    return f"{invoker} AS SELECT {columns} FROM {rows}"


def _selected(table: Table, names: set[str]) -> Sequence[str]:
    """The columns of the row class, from those of the same names, or from `data`. Raises: ConfigurationError."""
    wanted = [column.name for column in table.columns]
    if set(wanted) <= names:
        return [f"{_cast(column, f'v.{quoted(column.name)}')} AS {quoted(column.name)}" for column in table.columns]
    if names != _DOCUMENT or len(table.key) > 1:
        missing = ", ".join(name for name in wanted if name not in names)
        raise ConfigurationError(
            f"{_owner(table)}: its SQL selects {', '.join(sorted(names))}, without {missing}: select a column for each "
            f"field, or `id` and `data`, a JSON object with the other fields"
        )
    return [f"{_of_document(column, column.name in table.key)} AS {quoted(column.name)}" for column in table.columns]


def _of_document(column: Column, key: bool) -> str:
    name = "'" + column.name.replace("'", "''") + "'"
    member = "v.id" if key else f"(v.data::jsonb {'->' if column.kind == 'json' else '->>'} {name})"
    return _cast(column, member)


def _cast(column: Column, value: str) -> str:
    if column.kind == "json":
        return f"to_json({value})"
    collation = ' COLLATE "C"' if column.kind == "text" else ""
    return f"CAST({value} AS {COLUMN_TYPES[column.kind]}){collation}"


async def _create(connection: Connection, definition: ViewDefinition, suffix: str) -> None:
    table = definition.table
    name = table_name(table.follows)
    try:
        async with connection.transaction():
            await connection.execute(
                f"CREATE {_kind(definition.materialised)} {name}{suffix}", timeout=REFRESH_TIMEOUT_S
            )
            if definition.materialised:
                await connection.execute(_unique(table))
    except asyncpg.PostgresError as error:
        raise _refused(table, error) from error
    known = {f"{each.name}_v{each.version}" for each in definition.over}
    for relation, kind, ours, bare in await connection.fetch(_SQL["depends"], name):
        if kind in ("v", "m"):
            raise ConfigurationError(
                f"{_owner(table)} depends on the view {relation}, whose freshness is unknown: for the rows of a "
                f"projection list it in over= and write {{its_name}}; of any other view, use the query"
            )
        if ours and bare not in known:
            raise ConfigurationError(f"{_owner(table)} reads {relation}, which is of no projection in over=")


def _unique(table: Table) -> str:
    """What a concurrent refresh needs."""
    key = ", ".join(quoted(name) for name in table.key)
    return f"CREATE UNIQUE INDEX ON {table_name(table.follows)} ({key})"


def _kind(materialised: bool) -> str:
    return "MATERIALIZED VIEW" if materialised else "VIEW"


async def _refresh(connection: Connection, follows: FollowerId) -> bool:
    """The position is read in a statement before the refresh, which sees at least as much."""
    about = (follows.name, follows.version)
    async with connection.transaction():
        if not await connection.fetchval(_SQL["alone"], *about):
            return False
        _, now, log_id, refreshed_at = await connection.fetchrow(_SQL["reached"], *about)
        statement = f"REFRESH MATERIALIZED VIEW CONCURRENTLY {table_name(follows)}"
        await connection.execute(statement, timeout=REFRESH_TIMEOUT_S)
        await connection.execute(_SQL["refreshed"], *about, now, log_id, refreshed_at)
    return True


def _owner(table: Table) -> str:
    return f"view {table.name!r}"


def _refused(table: Table, error: asyncpg.PostgresError) -> Exception:
    """The error to raise: ConfigurationError if the server refuses the definition itself, so retrying does not help."""
    if (error.sqlstate or "").startswith((*DEFINITION, "22", "23")) and error.sqlstate != "42501":
        return ConfigurationError(f"{_owner(table)}: PostgreSQL refuses its SQL: {error}")
    return error


async def drop_view(connection: Connection, follows: FollowerId) -> bool:
    """Drop a view, and the public name if it shows it. Returns whether there was one.

    Raises: InvalidInput when a user's view or function depends on it.
    """
    forgotten = await connection.fetchrow(_SQL["forget"], follows.name, follows.version)
    if forgotten is None:
        return False
    materialised, live = forgotten
    owner = f"view {follows.name!r} version {follows.version}"
    if live and await connection.fetchval(_SHOWN_AS, follows.name, follows.version):
        await drop_relation(connection, f"VIEW public.{quoted(follows.name)}", owner)
    await drop_relation(connection, f"{_kind(materialised)} {table_name(follows)}", owner)
    return True
