"""Moving names: the public name to a new version, and a version's table to the one built beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from twofold.backends.sqlalchemy.checkpoints import of, read_checkpoints
from twofold.backends.sqlalchemy.schema import checkpoints, parked, tables
from twofold.backends.sqlalchemy.tables import TableSql, table_name
from twofold.errors import ConfigurationError, InvalidInput
from twofold.feed.checkpoints import Checkpoint, Claim, FollowerId
from twofold.messages import Position
from twofold.read.store import check_replaceable, has_come_as_far, held


async def live_version(connection: AsyncConnection, name: str) -> int | None:
    """The version that the public name shows, if any."""
    version: int | None = await connection.scalar(
        sa.select(tables.c.version).where(tables.c.name == name, tables.c.live)
    )
    return version


async def refuse_others(connection: AsyncConnection, name: str) -> None:
    """Raises: ConfigurationError when the public name, which a view for readers with SQL gets, is taken."""
    if await connection.run_sync(lambda sync: sa.inspect(sync).has_table(name)):
        raise ConfigurationError(
            f"the read store has a table or view called {name!r} that twofold did not create: rename it, or the "
            f"projection"
        )


class MovedOn(Exception):
    """The live version has moved on since it was compared: roll back."""


async def publish(
    connection: AsyncConnection, sql: TableSql, covered: Sequence[Position], lost: Sequence[Checkpoint]
) -> bool:
    """See `ReadStore.publish`. Raises: MovedOn, and then nothing may be committed.

    The checkpoints are locked last, so that commits wait only for the end of this transaction and not for readers of
    the view.
    """
    follows = sql.table.follows
    live = await live_version(connection, follows.name)
    if live is None or live >= follows.version:
        return live is not None
    if not await _come_as_far(connection, follows, live, covered, lost):
        return False
    versions = sa.update(tables).where(tables.c.name == follows.name)
    await connection.execute(versions.values(live=tables.c.version == follows.version))
    try:
        await _show(connection, sql)
    except SQLAlchemyError as error:
        why = f"its view cannot be replaced: {_said(error)}. Drop what depends on it; this is retried automatically"
        raise held(follows, follows.name, why) from error
    if not await _come_as_far(connection, follows, live, covered, lost, lock=True):
        raise MovedOn
    return True


async def _come_as_far(
    connection: AsyncConnection,
    follows: FollowerId,
    live: int,
    covered: Sequence[Position],
    lost: Sequence[Checkpoint],
    *,
    lock: bool = False,
) -> bool:
    mine = await read_checkpoints(connection, follows, lock=lock)
    those_of_live = await read_checkpoints(connection, FollowerId(follows.name, live), lock=lock)
    return has_come_as_far(mine, those_of_live, covered, lost)


async def _show(connection: AsyncConnection, sql: TableSql) -> None:
    if not await _shown_in_place(connection, sql):
        view = sa.CreateView(sql.select, sql.table.name)
        await connection.execute(sa.schema.DropView(view.table))
        await connection.execute(view)


async def _shown_in_place(connection: AsyncConnection, sql: TableSql) -> bool:
    """Replace the view, keeping grants and dependent views. False if its columns or the database do not allow that."""
    if connection.dialect.name != "postgresql":
        return False
    try:
        async with connection.begin_nested():
            await connection.execute(sa.CreateView(sql.select, sql.table.name, or_replace=True))
    except SQLAlchemyError:
        return False
    return True


async def replace(
    connection: AsyncConnection, sql: TableSql, claims: Sequence[Claim], built: FollowerId, at: Sequence[Position]
) -> None:
    """See `ReadStore.replace`."""
    old = await read_checkpoints(connection, sql.table.follows, lock=True)
    new = await read_checkpoints(connection, built, lock=True)
    check_replaceable(old, claims, new, at)
    await take_place(connection, sql, built, old)


async def take_place(connection: AsyncConnection, sql: TableSql, built: FollowerId, old: Sequence[Checkpoint]) -> None:
    """Give a table's names to the one built beside it, and its checkpoints, which were `old`."""
    follows = sql.table.follows
    if connection.dialect.name == "postgresql" and await live_version(connection, follows.name) == follows.version:
        shown = sa.select(*sql.sql.to_metadata(sa.MetaData(), name=table_name(built)).columns)
        await connection.execute(sa.CreateView(shown, follows.name, or_replace=True))
    await drop_table(connection, follows)
    await _rename(connection, table_name(built), table_name(follows))
    await _hand_over(connection, follows, built, old)
    await connection.execute(sa.delete(tables).where(*of(tables, built)))


async def _hand_over(
    connection: AsyncConnection, follows: FollowerId, built: FollowerId, old: Sequence[Checkpoint]
) -> None:
    """Give the checkpoints and parked keys of the built table to the old name, in an epoch after all of its own."""
    belongs = await connection.scalar(sa.select(sa.func.max(checkpoints.c.belongs)).where(*of(checkpoints, follows)))
    named: dict[str, Any] = {"name": follows.name}
    epoch = max(row.epoch for row in old) + 1
    inherited = {**named, "epoch": epoch, "owner": None, "wanted_by": None, "belongs": belongs}
    for table, values in ((checkpoints, inherited), (parked, named)):
        await connection.execute(sa.delete(table).where(*of(table, follows)))
        await connection.execute(sa.update(table).where(*of(table, built)).values(values))


async def _rename(connection: AsyncConnection, old: str, new: str) -> None:
    quote = connection.dialect.identifier_preparer.quote
    rename = sa.text(f"ALTER TABLE {quote(old)} RENAME TO {quote(new)}")
    if connection.dialect.name != "sqlite":
        await connection.execute(rename)
        return
    await connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")  # views keep referring to the name
    try:
        await connection.execute(rename)
    finally:
        await connection.exec_driver_sql("PRAGMA legacy_alter_table = OFF")


async def drop_table(connection: AsyncConnection, follows: FollowerId) -> None:
    """Raises: InvalidInput when a user's view or function depends on it."""
    try:
        await connection.execute(sa.schema.DropTable(sa.Table(table_name(follows), sa.MetaData())))
    except SQLAlchemyError as error:
        raise InvalidInput(
            f"the table of {follows} cannot be dropped: {_said(error)}. Drop what depends on it first, and create it "
            f"again on the projection's public name"
        ) from error


def _said(error: SQLAlchemyError) -> str:
    """The database's error message, without its hint."""
    reason = getattr(error, "orig", None)
    detail = getattr(getattr(reason, "__cause__", None), "detail", None)
    return "; ".join(str(detail).splitlines()) if detail else str(reason or error).partition("\nHINT")[0]
