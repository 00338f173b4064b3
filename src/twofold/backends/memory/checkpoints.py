"""Checkpoints: one row for each follower and partition, which is also its lease and its fence."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count

from msgspec.structs import replace

from twofold.errors import LeaseLost
from twofold.feed.checkpoints import Checkpoint, Claim, FollowerId, Ownership, Parked, part_registered
from twofold.messages import Position

_GENERATIONS = count(1)
_HEARTBEATS = count(1)  # of all checkpoints of this process, so that none is repeated


class MemoryCheckpoints:
    """See `Checkpoints`."""

    def __init__(self) -> None:
        self.rows: dict[FollowerId, Checkpoint] = {}
        self.owners: dict[FollowerId, Ownership] = {}
        self.waiting: dict[FollowerId, dict[tuple[str, str], Parked]] = defaultdict(dict)

    async def register(self, follower: FollowerId, log_id: str, start: Position) -> None:
        """See `Checkpoints.register`."""
        self.rows.setdefault(follower, Checkpoint(follower, log_id, start, None, 0, 0, generation=new_generation()))

    async def read(self, follower: FollowerId) -> Checkpoint | None:
        """See `Checkpoints.read`."""
        return self.rows.get(follower)

    async def all_partitions(self, follower: FollowerId) -> Sequence[Checkpoint]:
        """See `Checkpoints.all_partitions`."""
        return self.parts(follower)

    def parts(self, follower: FollowerId) -> list[Checkpoint]:
        """The checkpoints of all partitions of a name and version, in order."""
        rows = [row for name, row in self.rows.items() if _same_table(name, follower)]
        return sorted(rows, key=lambda row: row.follower.partition)

    async def ownership(self, follower: FollowerId) -> Ownership | None:
        """See `Checkpoints.ownership`."""
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
        self.rows[seen.follower] = replace(now, owner=owner, epoch=now.epoch + 1, wanted_by=None)
        return Claim(seen.follower, now.epoch + 1)

    async def request_handover(self, seen: Checkpoint, asker: str) -> None:
        """See `Checkpoints.request_handover`."""
        now = self.rows.get(seen.follower)
        if now is not None and now.epoch == seen.epoch:
            self.rows[seen.follower] = replace(now, wanted_by=asker)

    async def beat(self, claim: Claim) -> str | None:
        """See `Checkpoints.beat`."""
        now = self.held(claim)
        self.rows[claim.follower] = replace(now, heartbeat=next(_HEARTBEATS))
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
        generation = new_generation() if unparked or to == after else now.generation
        self.rows[claim.follower] = replace(now, position=to, heartbeat=next(_HEARTBEATS), generation=generation)
        for entry in unparked:
            self.waiting[claim.follower].pop((entry.kind, entry.key), None)
        for entry in parked:
            self.waiting[claim.follower].setdefault((entry.kind, entry.key), entry)

    async def register_part(self, follower: FollowerId, log_id: str, start: Position, apart: Collection[int]) -> bool:
        """See `SplitsCheckpoints.register_part`."""
        registered = part_registered(follower, self.parts(follower), apart)
        if registered is None:
            await self.register(follower, log_id, start)
        return registered is not False

    async def split(self, claim: Claim, at: Position, parts: Mapping[int, Sequence[Parked]]) -> None:
        """See `SplitsCheckpoints.split`."""
        now = self.movable(claim, at)
        for number, entries in parts.items():
            name = claim.follower.in_partition(number)
            place = Position(number, at.offset)
            part = replace(now, follower=name, position=place, owner=None, epoch=now.epoch + 1, wanted_by=None)
            self.rows.setdefault(name, part)
            if claim.follower in self.owners:
                self.owners.setdefault(name, self.owners[claim.follower])
            for entry in entries:
                kept = self.waiting[claim.follower][entry.kind, entry.key]
                moved = replace(kept, position=Position(number, kept.position.offset))
                self.waiting[name].setdefault((entry.kind, entry.key), moved)
        for table in (self.rows, self.owners, self.waiting):
            table.pop(claim.follower, None)

    def level(self, rollup: FollowerId, claim: Claim) -> None:
        """Move the checkpoint of a rollup to where that of its source is, if it has one yet."""
        now, name = self.rows[claim.follower], rollup.in_partition(claim.follower.partition)
        if name not in self.rows:
            return
        place = {"log_id": now.log_id, "position": now.position, "generation": now.generation}
        self.rows[name] = replace(self.rows[name], **place)

    async def release(self, claim: Claim) -> None:
        """See `Checkpoints.release`."""
        now = self.rows.get(claim.follower)
        if now is not None and now.epoch == claim.epoch:
            self.rows[claim.follower] = replace(now, owner=None)

    async def parked(self, follower: FollowerId) -> Sequence[Parked]:
        """See `Checkpoints.parked`."""
        return _in_order(self.waiting[follower].values())

    def all_parked(self, follower: FollowerId) -> Sequence[Parked]:
        """The parked keys of all partitions, in order."""
        return _in_order(
            entry for name, entries in self.waiting.items() if _same_table(name, follower) for entry in entries.values()
        )

    def take_place(self, follower: FollowerId, built: FollowerId) -> None:
        """Give this name to the built table's checkpoints and parked keys, in an epoch after all of its own."""
        old, new = self.parts(follower), self.parts(built)
        parked = [self.waiting[row.follower] for row in new]
        belongs = next((owner for row in old if (owner := self.owners.get(row.follower)) is not None), None)
        self.forget(follower)
        self.forget(built)
        epoch = max((row.epoch for row in old), default=0) + 1
        for row, entries in zip(new, parked, strict=True):
            name = follower.in_partition(row.follower.partition)
            self.rows[name] = replace(row, follower=name, owner=None, wanted_by=None, epoch=epoch)
            self.waiting[name] = entries
            if belongs is not None:
                self.owners[name] = belongs

    def forget(self, follower: FollowerId) -> None:
        """Delete the checkpoints and parked keys of all partitions."""
        for kept in (self.rows, self.owners, self.waiting):
            for name in [name for name in kept if _same_table(name, follower)]:
                del kept[name]

    async def traceback(self, follower: FollowerId, one: Parked) -> str:
        """See `Checkpoints.traceback`."""
        entry = self.waiting[follower].get((one.kind, one.key))
        return "" if entry is None else entry.traceback

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


def new_generation() -> str:
    """A name that no other contents of a table has had in this process, which memory does not outlive."""
    return str(next(_GENERATIONS))


def _in_order(parked: Iterable[Parked]) -> Sequence[Parked]:
    entries = [replace(entry, traceback="") for entry in parked]
    return sorted(entries, key=lambda entry: (entry.position, entry.kind, entry.key))


def _same_table(one: FollowerId, other: FollowerId) -> bool:
    return (one.name, one.version) == (other.name, other.version)
