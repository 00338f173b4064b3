"""Checkpoints of reactors, each stored with the events it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twofold.backends.partitioned.waiting import all_of
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId, Ownership, Parked
from twofold.messages import Position


class RoutedCheckpoints:
    """See `Checkpoints`. Those of partition p are stored with part p, those of the merged feed (0) with the cuts."""

    def __init__(self, stores: Mapping[int, Checkpoints]) -> None:
        self._stores = stores

    def _of(self, follower: FollowerId) -> Checkpoints:
        return self._stores[follower.partition]

    async def register(self, follower: FollowerId, log_id: str, start: Position) -> None:
        """See `Checkpoints.register`."""
        await self._of(follower).register(follower, log_id, start)

    async def read(self, follower: FollowerId) -> Checkpoint | None:
        """See `Checkpoints.read`."""
        return await self._of(follower).read(follower)

    async def all_partitions(self, follower: FollowerId) -> Sequence[Checkpoint]:
        """See `Checkpoints.all_partitions`."""
        by_store = await all_of(store.all_partitions(follower) for store in self._stores.values())
        checkpoints = [checkpoint for stored in by_store for checkpoint in stored]
        return sorted(checkpoints, key=lambda checkpoint: checkpoint.follower.partition)

    async def ownership(self, follower: FollowerId) -> Ownership | None:
        """See `Checkpoints.ownership`."""
        return await self._of(follower).ownership(follower)

    async def assign(self, follower: FollowerId, seen: Ownership | None, now: Ownership) -> bool:
        """See `Checkpoints.assign`."""
        return await self._of(follower).assign(follower, seen, now)

    async def claim(self, seen: Checkpoint, owner: str) -> Claim | None:
        """See `Checkpoints.claim`."""
        return await self._of(seen.follower).claim(seen, owner)

    async def request_handover(self, seen: Checkpoint, asker: str) -> None:
        """See `Checkpoints.request_handover`."""
        await self._of(seen.follower).request_handover(seen, asker)

    async def beat(self, claim: Claim) -> str | None:
        """See `Checkpoints.beat`."""
        return await self._of(claim.follower).beat(claim)

    async def advance(
        self,
        claim: Claim,
        after: Position,
        to: Position,
        parked: Sequence[Parked] = (),
        unparked: Sequence[Parked] = (),
    ) -> None:
        """See `Checkpoints.advance`."""
        await self._of(claim.follower).advance(claim, after, to, parked, unparked)

    async def release(self, claim: Claim) -> None:
        """See `Checkpoints.release`."""
        await self._of(claim.follower).release(claim)

    async def parked(self, follower: FollowerId) -> Sequence[Parked]:
        """See `Checkpoints.parked`."""
        return await self._of(follower).parked(follower)

    async def traceback(self, follower: FollowerId, one: Parked) -> str:
        """See `Checkpoints.traceback`."""
        return await self._of(follower).traceback(follower, one)
