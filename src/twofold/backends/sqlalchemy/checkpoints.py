"""Checkpoints of projections, and what is parked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from twofold.backends.sqlalchemy.database import Database
from twofold.backends.sqlalchemy.dialects import insert
from twofold.backends.sqlalchemy.schema import checkpoints, parked
from twofold.errors import LeaseLost
from twofold.feed.checkpoints import Belongs, Checkpoint, Claim, FollowerId, Parked, belongs_from, belongs_text
from twofold.messages import Position

_C = checkpoints.c
_BEAT = {_C.heartbeat: _C.heartbeat + 1}


class SqlCheckpoints:
    """See `Checkpoints`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, follower: FollowerId, log_id: str, start: Position) -> None:
        """See `Checkpoints.register`."""
        row = {"name": follower.name, "version": follower.version, "partition": start.partition, "log_id": log_id}
        row |= {"position": start.offset, "owner": None, "epoch": 0, "heartbeat": 0}
        inserting = insert(self._database.dialect, checkpoints, ())
        await self._database.alone(lambda c: c.execute(inserting, row))  # as durable as its table

    async def read(self, follower: FollowerId) -> Checkpoint | None:
        """See `Checkpoints.read`."""
        return await self._database.snapshot(lambda c: read_checkpoint(c, follower))

    async def belongs(self, follower: FollowerId) -> Belongs | None:
        """See `Checkpoints.belongs`."""
        asked = sa.select(_C.belongs).where(*of(checkpoints, follower))
        return belongs_from(await self._database.snapshot(lambda c: c.scalar(asked)))

    async def assign(self, follower: FollowerId, seen: Belongs | None, now: Belongs) -> bool:
        """See `Checkpoints.assign`."""
        as_seen = (*of(checkpoints, follower), _C.belongs.is_not_distinct_from(belongs_text(seen)))
        assigning = sa.update(checkpoints).where(*as_seen).values({_C.belongs: belongs_text(now)})
        return bool((await self._database.alone(lambda c: c.execute(assigning))).rowcount)  # as durable as its table

    async def claim(self, seen: Checkpoint, owner: str) -> Claim | None:
        """See `Checkpoints.claim`."""
        as_seen = (*of(checkpoints, seen.follower), _C.epoch == seen.epoch, _C.heartbeat == seen.heartbeat)
        taken = {_C.owner: owner, _C.epoch: _C.epoch + 1, _C.wanted_by: None, **_BEAT}
        claiming = sa.update(checkpoints).where(*as_seen).values(taken)
        claimed = await self._database.alone(lambda c: c.execute(claiming))  # on the disk: no epoch is given out twice
        return Claim(seen.follower, seen.epoch + 1) if claimed.rowcount else None

    async def ask(self, seen: Checkpoint, asker: str) -> None:
        """See `Checkpoints.ask`."""
        await self._changed((*of(checkpoints, seen.follower), _C.epoch == seen.epoch), {_C.wanted_by: asker})

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

    async def release(self, claim: Claim) -> None:
        """See `Checkpoints.release`."""
        await self._changed(_held(claim), {_C.owner: None})

    async def parked(self, follower: FollowerId) -> Sequence[Parked]:
        """See `Checkpoints.parked`."""
        return await self._database.snapshot(lambda c: read_parked(c, follower))

    async def traceback(self, follower: FollowerId, one: Parked) -> str:
        """See `Checkpoints.traceback`."""
        asked = sa.select(parked.c.traceback).where(*_this_one(follower, one))
        return await self._database.snapshot(lambda c: c.scalar(asked)) or ""

    async def _changed(self, where: Sequence[Any], values: dict[Any, Any]) -> bool:
        changed = await self._database.transaction(
            lambda c: c.execute(sa.update(checkpoints).where(*where).values(values))
        )
        return bool(changed.rowcount)


async def _beat(connection: AsyncConnection, claim: Claim) -> str | None:
    beaten = await connection.execute(sa.update(checkpoints).where(*_held(claim)).values(_BEAT))
    if not beaten.rowcount:
        raise LeaseLost(f"{claim.follower} is no longer held in epoch {claim.epoch}")
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
    """Inside a transaction: move the checkpoint, or refuse (G5). Raises: LeaseLost."""
    here = (*_held(claim), _C.partition == after.partition, _C.position == after.offset)
    moved = await connection.execute(sa.update(checkpoints).where(*here).values({_C.position: to.offset, **_BEAT}))
    if not moved.rowcount:
        raise LeaseLost(f"{claim.follower} is no longer held in epoch {claim.epoch} at {after}")
    for one in unparks:
        await connection.execute(sa.delete(parked).where(*_this_one(claim.follower, one)))
    if parks:
        rows = [_parked_row(claim.follower, one) for one in parks]
        await connection.execute(insert(connection.dialect.name, parked, ()), rows)


async def read_checkpoint(connection: AsyncConnection, follower: FollowerId) -> Checkpoint | None:
    """The row, in whatever transaction there is."""
    columns = (_C.log_id, _C.partition, _C.position, _C.owner, _C.epoch, _C.heartbeat, _C.wanted_by)
    row = (await connection.execute(sa.select(*columns).where(*of(checkpoints, follower)))).one_or_none()
    if row is None:
        return None
    log_id, partition, position, *lease = row
    return Checkpoint(follower, log_id, Position(partition, position), *lease)


async def read_parked(connection: AsyncConnection, follower: FollowerId) -> list[Parked]:
    """What waits, in whatever transaction there is."""
    p = parked.c
    columns = sa.select(p.kind, p.key, p.partition, p.position, p.error, p.since, p.tries)
    rows = await connection.execute(columns.where(*of(parked, follower)).order_by(p.position))
    return [
        Parked(kind, key, Position(*place), error, since, tries or 1) for kind, key, *place, error, since, tries in rows
    ]


def of(table: sa.Table, follower: FollowerId) -> tuple[Any, ...]:
    """Which rows are those of a follower."""
    return (table.c.name == follower.name, table.c.version == follower.version)


def _this_one(follower: FollowerId, one: Parked) -> tuple[Any, ...]:
    return (*of(parked, follower), parked.c.kind == one.kind, parked.c.key == one.key)


def _held(claim: Claim) -> tuple[Any, ...]:
    return (*of(checkpoints, claim.follower), _C.epoch == claim.epoch)


def _parked_row(follower: FollowerId, one: Parked) -> dict[str, Any]:
    place = {"partition": one.position.partition, "position": one.position.offset}
    what = {"kind": one.kind, "key": one.key, "error": one.error, "since": one.since.astimezone(UTC)}
    how = {"tries": one.tries, "traceback": one.traceback}
    return {"name": follower.name, "version": follower.version, **what, **how, **place}
