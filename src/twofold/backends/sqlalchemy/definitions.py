"""Creating, listing and dropping the tables of projections."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from twofold.backends.sqlalchemy.checkpoints import of, read_checkpoints
from twofold.backends.sqlalchemy.schema import checkpoints, new_generation, parked, tables
from twofold.backends.sqlalchemy.swap import drop_table, live_version, refuse_others
from twofold.backends.sqlalchemy.tables import TableSql, table_sql
from twofold.errors import InvalidInput
from twofold.feed.checkpoints import FollowerId
from twofold.read.store import StoredTable, check_columns, check_droppable


async def prepare(connection: AsyncConnection, sql: TableSql) -> None:
    """See `ReadStore.prepare`."""
    name, version = sql.table.name, sql.table.follows.version
    known = await connection.scalar(sa.select(tables.c.fingerprint).where(*of(tables, sql.table.follows)))
    if known is None:
        await connection.run_sync(sql.sql.create, checkfirst=True)
        first = sql.table.follows.builds is None and await live_version(connection, name) is None
        row = {"name": name, "version": version, "fingerprint": sql.table.fingerprint, "live": first}
        await connection.execute(sa.insert(tables), row)
        if first:
            await refuse_others(connection, name)
            await connection.execute(sa.CreateView(sql.select, name))
    else:
        check_columns(sql.table, known)


async def holds_whole_texts(connection: AsyncConnection, sql: TableSql) -> bool:
    """Whether an older twofold made its indexes, which hold whole texts and refuse long ones; they stay in use."""
    names = {index.name for index in table_sql(sql.table, connection.dialect.name, whole=True).sql.indexes}
    names -= {index.name for index in sql.sql.indexes}
    if not names:
        return False
    there = await connection.run_sync(lambda sync: sa.inspect(sync).get_indexes(sql.sql.name))
    return bool(names & {index["name"] for index in there})


async def stored_tables(connection: AsyncConnection) -> list[StoredTable]:
    """See `ReadStore.tables`."""
    t = tables.c
    everything = sa.select(t.name, t.version, t.fingerprint, t.live).order_by(t.name, t.version)
    known = [(FollowerId(name, version), *what) for name, version, *what in await connection.execute(everything)]
    return [StoredTable(name, mark, live, await read_checkpoints(connection, name)) for name, mark, live in known]


async def drop(connection: AsyncConnection, follows: FollowerId) -> None:
    """See `ReadStore.drop`."""
    stored = [table for table in await stored_tables(connection) if table.follows == follows]
    if not stored:
        raise InvalidInput(f"there is no table of {follows}: `twofold tables APP` lists those there are")
    check_droppable(stored[0])
    await drop_table(connection, follows)
    for table in (tables, checkpoints, parked):
        await connection.execute(sa.delete(table).where(*of(table, follows)))


async def clear(connection: AsyncConnection, sql: TableSql, log_id: str) -> None:
    """See `ReadStore.clear`."""
    follows = sql.table.follows
    mine = sa.update(checkpoints).where(*of(checkpoints, follows))  # first, so that the current holder waits here
    again = {"log_id": log_id, "position": 0, "owner": None, "epoch": checkpoints.c.epoch + 1}
    await connection.execute(mine.values(again))
    numbers = sa.select(checkpoints.c.partition).where(*of(checkpoints, follows))
    for [number] in list(await connection.execute(numbers)):
        await connection.execute(mine.where(checkpoints.c.partition == number).values(generation=new_generation()))
    await connection.execute(sa.delete(sql.sql))
    await connection.execute(sa.delete(parked).where(*of(parked, follows)))
