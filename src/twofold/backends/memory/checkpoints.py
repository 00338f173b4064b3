"""Checkpoints: one row per follower, which is also its lease and its fence."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from twofold.errors import LeaseLost
from twofold.feed.checkpoints import Checkpoint, Claim, FollowerId, Ownership, Parked
from twofold.messages import Position


class MemoryCheckpoints:
    """Checkpoints, leases and what is parked."""

    def __init__(self) -> None:
        self.rows: dict[FollowerId, Checkpoint] = {}
        self.owners: dict[FollowerId, Ownership] = {}
        self.waiting: dict[FollowerId, dict[tuple[str, str], Parked]] = defaultdict(dict)

    async def register(self, follower: FollowerId, log_id: str, start: Position) -> None:
        """See `Checkpoints.register`."""
        self.rows.setdefault(follower, Checkpoint(follower, log_id, start, None, 0, 0))

    async def read(self, follower: FollowerId) -> Checkpoint | None:
        """See `Checkpoints.read`."""
        return self.rows.get(follower)

    async def of(self, follower: FollowerId) -> Sequence[Checkpoint]:
        """See `Checkpoints.of`."""
        return self.parts(follower)

    def parts(self, follower: FollowerId) -> list[Checkpoint]:
        """The rows of all partitions of a name and version, in order."""
        its = [row for one, row in self.rows.items() if (one.name, one.version) == (follower.name, follower.version)]
        return sorted(its, key=lambda row: row.follower.partition)

    async def belongs(self, follower: FollowerId) -> Ownership | None:
        """See `Checkpoints.belongs`."""
        return self.owners.get(follower)

    async def assign(self, follower: FollowerId, seen: Ownership | None, now: Ownership) -> bool:
        """See `Checkpoints.assign`."""
        if follower not in self.rows or self.owners.get(follower) != seen:
            return False
        self.owners[follower] = now
        return True

    async def claim(self, seen: Checkpoint, owner: str) -> Claim | None:
        """See `Checkpoints.claim`."""
        now = self.rows.get(seen.follower)
        if now is None or (now.epoch, now.heartbeat) != (seen.epoch, seen.heartbeat):
            return None
        held = {"owner": owner, "epoch": now.epoch + 1, "heartbeat": now.heartbeat + 1, "wanted_by": None}
        self.rows[seen.follower] = replace(now, **held)
        return Claim(seen.follower, now.epoch + 1)

    async def ask(self, seen: Checkpoint, asker: str) -> None:
        """See `Checkpoints.ask`."""
        now = self.rows.get(seen.follower)
        if now is not None and now.epoch == seen.epoch:
            self.rows[seen.follower] = replace(now, wanted_by=asker)

    async def beat(self, claim: Claim) -> str | None:
        """See `Checkpoints.beat`."""
        now = self.held(claim)
        self.rows[claim.follower] = replace(now, heartbeat=now.heartbeat + 1)
        return now.wanted_by

    async def advance(
        self,
        claim: Claim,
        after: Position,
        to: Position,
        parked: Sequence[Parked] = (),
        unparked: Sequence[Parked] = (),
    ) -> None:
        """See `Checkpoints.advance`."""
        now = self.movable(claim, after)
        self.rows[claim.follower] = replace(now, position=to, heartbeat=now.heartbeat + 1)
        for one in unparked:
            self.waiting[claim.follower].pop((one.kind, one.key), None)
        for one in parked:
            self.waiting[claim.follower].setdefault((one.kind, one.key), one)

    async def release(self, claim: Claim) -> None:
        """See `Checkpoints.release`."""
        now = self.rows.get(claim.follower)
        if now is not None and now.epoch == claim.epoch:
            self.rows[claim.follower] = replace(now, owner=None)

    async def parked(self, follower: FollowerId) -> Sequence[Parked]:
        """See `Checkpoints.parked`."""
        return _in_order(self.waiting[follower].values())

    def all_parked(self, follower: FollowerId) -> Sequence[Parked]:
        """What waits in any partition."""
        return _in_order(
            one
            for other, its in self.waiting.items()
            if (other.name, other.version) == (follower.name, follower.version)
            for one in its.values()
        )

    def take_place(self, follower: FollowerId, built: FollowerId) -> None:
        """What was built takes over this one's name, in an epoch after all of its."""
        old, new = self.parts(follower), self.parts(built)
        waiting = [self.waiting[one.follower] for one in new]
        belongs = next((its for one in old if (its := self.owners.get(one.follower)) is not None), None)
        self.forget(follower)
        self.forget(built)
        lease = {"epoch": max(one.epoch for one in old) + 1, "heartbeat": max(one.heartbeat for one in old) + 1}
        for one, waits in zip(new, waiting, strict=True):
            name = follower.in_partition(one.follower.partition)
            self.rows[name] = replace(one, follower=name, owner=None, wanted_by=None, **lease)
            self.waiting[name] = waits
            if belongs is not None:
                self.owners[name] = belongs

    def forget(self, follower: FollowerId) -> None:
        """The rows of all partitions, and what waits in any."""
        for kept in (self.rows, self.owners, self.waiting):
            for one in [one for one in kept if (one.name, one.version) == (follower.name, follower.version)]:
                del kept[one]

    async def traceback(self, follower: FollowerId, one: Parked) -> str:
        """See `Checkpoints.traceback`."""
        found = self.waiting[follower].get((one.kind, one.key))
        return "" if found is None else found.traceback

    def held(self, claim: Claim) -> Checkpoint:
        """The row, if the claim still stands. Raises: LeaseLost."""
        now = self.rows.get(claim.follower)
        if now is None:
            raise LeaseLost(claim.follower, "has no checkpoint any more")
        if now.epoch != claim.epoch:
            raise LeaseLost(claim.follower, f"is held in epoch {now.epoch}, not {claim.epoch}")
        return now

    def movable(self, claim: Claim, after: Position) -> Checkpoint:
        """The row, if the claim still stands and it is at `after`. Raises: LeaseLost."""
        now = self.held(claim)
        if now.position != after:
            raise LeaseLost(claim.follower, f"is at {now.position}, not {after}")
        return now


def _in_order(parked: Iterable[Parked]) -> Sequence[Parked]:
    return sorted([replace(one, traceback="") for one in parked], key=lambda one: (one.position, one.kind, one.key))
