"""Checkpoints on PostgreSQL: lease, fence and progress in one row, with the parked keys beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from twofold.backends.postgres.commit import ADVANCE, FollowerKind, Move, commit
from twofold.backends.postgres.connection import Database
from twofold.backends.statements import statements
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
from twofold.feed.doorbell import Reached
from twofold.feed.feed import another_log
from twofold.messages import Position

_SQL = statements("twofold.backends.postgres", "checkpoints.sql")
_ALONE = statements("twofold.backends.postgres", "tables.sql")["one_at_a_time"]


class PostgresCheckpoints:
    """See `Checkpoints`. Those of one kind; a database that holds both log and rows has both kinds in one table.

    Beside a log, `log_id` returns the id it had when it was opened. If it has another id by now, nothing changes, and
    reads raise LogReplaced.
    """

    def __init__(self, database: Database, kind: FollowerKind, log_id: Callable[[], str | None] = lambda: None) -> None:
        self._database, self._kind, self._log_id = database, kind, log_id
        self.reached = Reached()

    async def register(self, follower: FollowerId, log_id: str, start: Position) -> None:
        """See `Checkpoints.register`."""
        if await self.read(follower) is None:
            values = (*self._of(follower), log_id, start.offset, self._log_id())
            await self._database.run(lambda c: c.execute(_SQL["register"], *values))

    async def read(self, follower: FollowerId) -> Checkpoint | None:
        """See `Checkpoints.read`."""
        reached = self.reached
        before = reached.places
        rows = await self._looked("read", *self._of(follower))
        checkpoint = next(iter(checkpoints_in(follower, rows)), None)
        reached.looked(before, follower, checkpoint.position if checkpoint else Position(follower.partition, 0))
        return checkpoint

    async def all_partitions(self, follower: FollowerId) -> Sequence[Checkpoint]:
        """See `Checkpoints.all_partitions`."""
        return checkpoints_in(
            follower, await self._looked("all_partitions", self._kind, follower.name, follower.version)
        )

    async def ownership(self, follower: FollowerId) -> Ownership | None:
        """See `Checkpoints.ownership`."""
        row, *_ = await self._looked("ownership", *self._of(follower))
        return ownership_from(row[0])

    async def assign(self, follower: FollowerId, seen: Ownership | None, now: Ownership) -> bool:
        """See `Checkpoints.assign`."""
        values = (*self._of(follower), ownership_text(seen), ownership_text(now), self._log_id())
        return bool(await self._database.run_once(lambda c: c.fetchval(_SQL["assign"], *values)))

    async def claim(self, seen: Checkpoint, owner: str) -> Claim | None:
        """See `Checkpoints.claim`."""
        values = (*self._of(seen.follower), seen.epoch, seen.heartbeat, owner, self._log_id())
        epoch = await self._database.run_once(lambda c: c.fetchval(_SQL["claim"], *values))
        return None if epoch is None else Claim(seen.follower, epoch)

    async def request_handover(self, seen: Checkpoint, asker: str) -> None:
        """See `Checkpoints.request_handover`."""
        values = (*self._of(seen.follower), seen.epoch, asker, self._log_id())
        await self._database.run(lambda c: c.execute(_SQL["request_handover"], *values))

    async def beat(self, claim: Claim) -> str | None:
        """See `Checkpoints.beat`."""
        values = (*self._of(claim.follower), claim.epoch, self._log_id())
        row = await self._database.run(lambda c: c.fetchrow(_SQL["beat"], *values))
        if row is None:
            raise lease_lost(claim)
        wanted_by: str | None = row[0]
        return wanted_by

    async def advance(
        self,
        claim: Claim,
        after: Position,
        to: Position,
        parked: Sequence[Parked] = (),
        unparked: Sequence[Parked] = (),
    ) -> None:
        """See `Checkpoints.advance`."""
        move = Move(self._kind, claim, after, to, parked, unparked, self._log_id())
        await self._database.run_once(lambda c: commit(c, ADVANCE, move))

    async def split(self, claim: Claim, at: Position, parts: Mapping[int, Sequence[Parked]]) -> None:
        """See `SplitsCheckpoints.split`."""
        await self._database.run_once(lambda c: self._split(c, claim, at, parts))

    async def register_part(self, follower: FollowerId, log_id: str, start: Position, apart: Collection[int]) -> bool:
        """See `SplitsCheckpoints.register_part`."""
        registered: bool = await self._database.run(lambda c: self._register_part(c, follower, log_id, start, apart))
        return registered

    async def _register_part(
        self, connection: Any, follower: FollowerId, log_id: str, start: Position, apart: Collection[int]
    ) -> bool:
        async with connection.transaction():
            await connection.execute(_ALONE)
            values = self._kind, follower.name, follower.version, self._log_id()
            rows = self._checked(await connection.fetch(_SQL["all_partitions"], *values))
            registered = part_registered(follower, checkpoints_in(follower, rows), apart)
            if registered is None:
                await connection.execute(_SQL["register"], *self._of(follower), log_id, start.offset, self._log_id())
        return registered is not False

    async def _split(self, connection: Any, claim: Claim, at: Position, parts: Mapping[int, Sequence[Parked]]) -> None:
        whose = self._of(claim.follower)
        async with connection.transaction():
            await connection.execute(_ALONE)
            await commit(connection, ADVANCE, Move(self._kind, claim, at, at, (), (), self._log_id()))
            for number, entries in parts.items():
                await connection.execute(_SQL["add_part"], *whose, number)
                for entry in entries:
                    await connection.execute(_SQL["move_parked"], *whose, number, entry.kind, entry.key)
            await connection.execute(_SQL["remove"], *whose)

    async def release(self, claim: Claim) -> None:
        """See `Checkpoints.release`."""
        values = (*self._of(claim.follower), claim.epoch, self._log_id())
        await self._database.run(lambda c: c.execute(_SQL["release"], *values))

    async def parked(self, follower: FollowerId) -> Sequence[Parked]:
        """See `Checkpoints.parked`."""
        rows = await self._looked("parked", *self._of(follower))
        return [
            Parked(what, key, Position(*place), error, since, tries)
            for what, key, *place, error, since, tries in rows
            if what is not None
        ]

    async def traceback(self, follower: FollowerId, one: Parked) -> str:
        """See `Checkpoints.traceback`."""
        row, *_ = await self._looked("traceback", *self._of(follower), one.kind, one.key)
        return row[0] or ""

    async def _looked(self, statement: str, *values: Any) -> Sequence[Any]:
        """The rows of a look-up, at least one. Raises: LogReplaced."""
        log_id = self._log_id()
        return self._checked(await self._database.run(lambda c: c.fetch(_SQL[statement], *values, log_id)))

    def _checked(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Raises: LogReplaced if there are none."""
        if not rows:
            raise another_log(self._database.address, str(self._log_id()))
        return rows

    def _of(self, follower: FollowerId) -> tuple[str, str, int, int]:
        return (self._kind, follower.name, follower.version, follower.partition)


def checkpoints_in(follower: FollowerId, rows: Sequence[Any]) -> list[Checkpoint]:
    """The checkpoints in rows of `read` or `of`."""
    return [
        Checkpoint(follower.in_partition(partition), log_id, Position(partition, offset), *lease)
        for partition, log_id, offset, *lease in rows
        if partition is not None
    ]
