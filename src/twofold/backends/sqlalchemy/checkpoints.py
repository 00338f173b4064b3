"""Checkpoints of projections, and parked keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from twofold.backends.sqlalchemy.database import Database
from twofold.backends.sqlalchemy.dialects import insert
from twofold.backends.sqlalchemy.schema import checkpoints, new_generation, new_heartbeat, parked
from twofold.feed.checkpoints import (
    Checkpoint,
    Claim,
    FollowerId,
    Ownership,
    Parked,
    lease_lost,
    ownership_from,
    ownership_text,
    part_registered,
)
from twofold.messages import Position

_C = checkpoints.c


class SqlCheckpoints:
    """See `Checkpoints`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, follower: FollowerId, log_id: str, start: Position) -> None:
        """See `Checkpoints.register`."""
        await self._database.alone(lambda c: self._register(c, follower, log_id, start))  # durable like its table

    async def _register(self, connection: AsyncConnection, follower: FollowerId, log_id: str, start: Position) -> None:
        row = {"name": follower.name, "version": follower.version, "partition": follower.partition, "log_id": log_id}
        row |= {"position": start.offset, "owner": None, "epoch": 0, "heartbeat": 0, "generation": new_generation()}
        await connection.execute(insert(self._database.dialect, checkpoints, ()), row)

    async def read(self, follower: FollowerId) -> Checkpoint | None:
        """See `Checkpoints.read`."""
        rows = await self._database.snapshot(lambda c: _read(c, here(checkpoints, follower)))
        return rows[0] if rows else None

    async def all_partitions(self, follower: FollowerId) -> Sequence[Checkpoint]:
        """See `Checkpoints.all_partitions`."""
        return await self._database.snapshot(lambda c: read_checkpoints(c, follower))

    async def ownership(self, follower: FollowerId) -> Ownership | None:
        """See `Checkpoints.ownership`."""
        selected = sa.select(_C.belongs).where(*here(checkpoints, follower))
        return ownership_from(await self._database.snapshot(lambda c: c.scalar(selected)))

    async def assign(self, follower: FollowerId, seen: Ownership | None, now: Ownership) -> bool:
        """See `Checkpoints.assign`."""
        as_seen = (*here(checkpoints, follower), _C.belongs.is_not_distinct_from(ownership_text(seen)))
        assigning = sa.update(checkpoints).where(*as_seen).values({_C.belongs: ownership_text(now)})
        return bool((await self._database.alone(lambda c: c.execute(assigning))).rowcount)  # durable like its table

    async def claim(self, seen: Checkpoint, owner: str) -> Claim | None:
        """See `Checkpoints.claim`."""
        as_seen = (*here(checkpoints, seen.follower), _C.epoch == seen.epoch, _C.heartbeat == seen.heartbeat)
        taken = {_C.owner: owner, _C.epoch: _C.epoch + 1, _C.wanted_by: None}
        claiming = sa.update(checkpoints).where(*as_seen).values(taken)
        # on disk, so that no epoch is assigned twice
        claimed = await self._database.alone(lambda c: c.execute(claiming))
        return Claim(seen.follower, seen.epoch + 1) if claimed.rowcount else None

    async def request_handover(self, seen: Checkpoint, asker: str) -> None:
        """See `Checkpoints.request_handover`."""
        await self._changed((*here(checkpoints, seen.follower), _C.epoch == seen.epoch), {_C.wanted_by: asker})

    async def beat(self, claim: Claim) -> str | None:
        """See `Checkpoints.beat`."""
        return await self._database.transaction(lambda c: _beat(c, claim))

    async def advance(
        self,
        claim: Claim,
        after: Position,
        to: Position,
        parked: Sequence[Parked] = (),
        unparked: Sequence[Parked] = (),
    ) -> None:
        """See `Checkpoints.advance`."""
        await self._database.transaction(lambda c: move(c, claim, after, to, parked, unparked))

    async def register_part(self, follower: FollowerId, log_id: str, start: Position, apart: Collection[int]) -> bool:
        """See `SplitsCheckpoints.register_part`."""
        return await self._database.alone(lambda c: self._register_part(c, follower, log_id, start, apart))

    async def _register_part(
        self, connection: AsyncConnection, follower: FollowerId, log_id: str, start: Position, apart: Collection[int]
    ) -> bool:
        registered = part_registered(follower, await read_checkpoints(connection, follower), apart)
        if registered is None:
            await self._register(connection, follower, log_id, start)
        return registered is not False

    async def split(self, claim: Claim, at: Position, parts: Mapping[int, Sequence[Parked]]) -> None:
        """See `SplitsCheckpoints.split`."""
        await self._database.alone(lambda c: _split(c, claim, at, parts))

    async def release(self, claim: Claim) -> None:
        """See `Checkpoints.release`."""
        await self._changed(_held(claim), {_C.owner: None})

    async def parked(self, follower: FollowerId) -> Sequence[Parked]:
        """See `Checkpoints.parked`."""
        return await self._database.snapshot(lambda c: _parked(c, here(parked, follower)))

    async def traceback(self, follower: FollowerId, one: Parked) -> str:
        """See `Checkpoints.traceback`."""
        selected = sa.select(parked.c.traceback).where(*_this_entry(follower, one))
        return await self._database.snapshot(lambda c: c.scalar(selected)) or ""

    async def _changed(self, where: Sequence[Any], values: dict[Any, Any]) -> bool:
        changed = await self._database.transaction(
            lambda c: c.execute(sa.update(checkpoints).where(*where).values(values))
        )
        return bool(changed.rowcount)


async def _beat(connection: AsyncConnection, claim: Claim) -> str | None:
    beaten = await connection.execute(sa.update(checkpoints).where(*_held(claim)).values(heartbeat=new_heartbeat()))
    if not beaten.rowcount:
        raise lease_lost(claim)
    wanted_by: str | None = await connection.scalar(sa.select(_C.wanted_by).where(*_held(claim)))
    return wanted_by


async def move(
    connection: AsyncConnection,
    claim: Claim,
    after: Position,
    to: Position,
    parks: Sequence[Parked],
    unparks: Sequence[Parked],
) -> None:
    """Move the checkpoint (G5), inside a transaction. Raises: LeaseLost."""
    standing = (*_held(claim), _C.partition == after.partition, _C.position == after.offset)
    renewed = {_C.generation: new_generation()} if unparks or to == after else {}
    moving = (
        sa.update(checkpoints)
        .where(*standing)
        .values({_C.position: to.offset, _C.heartbeat: new_heartbeat(), **renewed})
    )
    moved = await connection.execute(moving)
    if not moved.rowcount:
        raise lease_lost(claim, after)
    for entry in unparks:
        await connection.execute(sa.delete(parked).where(*_this_entry(claim.follower, entry)))
    if parks:
        rows = [_parked_row(claim.follower, entry) for entry in parks]
        await connection.execute(insert(connection.dialect.name, parked, ()), rows)


async def _split(
    connection: AsyncConnection, claim: Claim, at: Position, parts: Mapping[int, Sequence[Parked]]
) -> None:
    await move(connection, claim, at, at, (), ())
    row = (await connection.execute(sa.select(checkpoints).where(*_held(claim)))).mappings().one()
    for number, entries in parts.items():
        part = {**row, "partition": number, "owner": None, "epoch": row["epoch"] + 1, "wanted_by": None}
        await connection.execute(insert(connection.dialect.name, checkpoints, ()), [part])
        for entry in entries:
            where = _this_entry(claim.follower, entry)
            await connection.execute(sa.update(parked).where(*where).values(partition=number))
    await connection.execute(sa.delete(checkpoints).where(*here(checkpoints, claim.follower)))


async def level(connection: AsyncConnection, rollup: FollowerId, claim: Claim) -> None:
    """Move the checkpoint of a rollup to where that of its source is, inside a transaction."""
    [source] = await _read(connection, here(checkpoints, claim.follower))
    place = {_C.log_id: source.log_id, _C.position: source.position.offset, _C.generation: source.generation}
    its = here(checkpoints, rollup.in_partition(claim.follower.partition))
    await connection.execute(sa.update(checkpoints).where(*its).values(place))


async def read_checkpoints(
    connection: AsyncConnection, follower: FollowerId, *, lock: bool = False
) -> list[Checkpoint]:
    """The checkpoints of all partitions, within the current transaction. `lock`: they do not change until its end."""
    return await _read(connection, of(checkpoints, follower), lock=lock)


async def _read(connection: AsyncConnection, which: Sequence[Any], *, lock: bool = False) -> list[Checkpoint]:
    what = (
        _C.partition,
        _C.log_id,
        _C.position,
        _C.owner,
        _C.epoch,
        _C.heartbeat,
        _C.wanted_by,
        sa.func.coalesce(_C.generation, ""),
    )
    selected = sa.select(_C.name, _C.version, *what).where(*which).order_by(_C.partition)
    return [
        Checkpoint(FollowerId(name, version, partition), log_id, Position(partition, offset), *lease)
        for name, version, partition, log_id, offset, *lease in await connection.execute(
            selected.with_for_update() if lock else selected
        )
    ]


async def read_all_parked(connection: AsyncConnection, follower: FollowerId) -> list[Parked]:
    """The parked keys of all partitions, within the current transaction."""
    return await _parked(connection, of(parked, follower))


async def _parked(connection: AsyncConnection, which: Sequence[Any]) -> list[Parked]:
    p = parked.c
    columns = sa.select(p.kind, p.key, p.partition, p.position, p.error, p.since, p.tries)
    rows = await connection.execute(columns.where(*which).order_by(p.partition, p.position, p.kind, p.key))
    return [
        Parked(kind, key, Position(*place), error, since, tries or 1) for kind, key, *place, error, since, tries in rows
    ]


def of(table: sa.Table, follower: FollowerId) -> tuple[Any, ...]:
    """The condition for rows of a name and version."""
    return (table.c.name == follower.name, table.c.version == follower.version)


def here(table: sa.Table, follower: FollowerId) -> tuple[Any, ...]:
    """The condition for rows of a name, version and partition."""
    return (*of(table, follower), table.c.partition == follower.partition)


def _this_entry(follower: FollowerId, entry: Parked) -> tuple[Any, ...]:
    return (*here(parked, follower), parked.c.kind == entry.kind, parked.c.key == entry.key)


def _held(claim: Claim) -> tuple[Any, ...]:
    return (*here(checkpoints, claim.follower), _C.epoch == claim.epoch)


def _parked_row(follower: FollowerId, entry: Parked) -> dict[str, Any]:
    place = {"partition": entry.position.partition, "position": entry.position.offset}
    what = {"kind": entry.kind, "key": entry.key, "error": entry.error, "since": entry.since.astimezone(UTC)}
    how = {"tries": entry.tries, "traceback": entry.traceback}
    return {"name": follower.name, "version": follower.version, **what, **how, **place}
