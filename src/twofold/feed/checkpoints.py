"""The port for the checkpoints: how far each follower is, and which worker may move it.

Lease, fence, progress and exactly-once are one row. `epoch` counts the holders: every write for a checkpoint compares
it, so a holder that was paused and replaced cannot write when it wakes. Every heartbeat has a number of its own: a
claimant watches it on its own monotonic clock, so no clocks are compared between machines.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

import msgspec

from twofold.errors import LeaseLost
from twofold.failures import error_text, traceback_text
from twofold.messages import Position

FOLLOWER_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_BESIDE = "~"

ParkedKind = Literal["row", "stream"]


class FollowerId(msgspec.Struct, frozen=True):
    """A projection or a reactor, at a version, in one partition of the log.

    Partition 0 is the only one of an ordinary log, and the merged feed of a partitioned log. A table built beside that
    of a version has the name `name~generation`, which no projection can have.
    """

    name: str
    version: int = 1
    partition: int = 0

    def in_partition(self, number: int) -> FollowerId:
        """The same name and version, in this partition."""
        return self if number == self.partition else FollowerId(self.name, self.version, number)

    @property
    def whole(self) -> FollowerId:
        """The name and version alone, which is how tables are keyed: partition 0."""
        return self.in_partition(0)

    def beside(self, generation: str) -> FollowerId:
        """The table of this generation, built beside this one."""
        return FollowerId(f"{self.name}{_BESIDE}{generation}", self.version, self.partition)

    @property
    def builds(self) -> FollowerId | None:
        """The version whose table this one will replace; None if this is a version itself."""
        name, beside, _ = self.name.partition(_BESIDE)
        return FollowerId(name, self.version, self.partition) if beside else None

    @property
    def generation(self) -> str:
        """Of a table built beside a version: that which `beside` got; else empty."""
        return self.name.partition(_BESIDE)[2]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}" + (f", partition {self.partition}" if self.partition else "")


class Ownership(msgspec.Struct, frozen=True):
    """The App that a checkpoint belongs to, its former name, and the stored names of the events followed, sorted."""

    app: str
    formerly: str | None
    events: tuple[str, ...]


_OWNERSHIP = msgspec.json.Decoder(Ownership)


def ownership_from(text: str | None) -> Ownership | None:
    """The inverse of `ownership_text`."""
    return None if text is None else _OWNERSHIP.decode(text)


def ownership_text(ownership: Ownership | None) -> str | None:
    """The ownership as text; equal ones give equal texts."""
    return None if ownership is None else msgspec.json.encode(ownership).decode()


class Checkpoint(msgspec.Struct, frozen=True):
    """The row. `owner` is None after a clean stop; `wanted_by`: a less loaded worker that asked for it.

    `generation` is a random name of the contents of the table, renewed when rows change although the position stays:
    when something is unparked or folded again. A table that is cleared or built again has a new one.

    `heartbeat` gets a new number with each heartbeat and each `advance`, one that it never had before. A count would
    repeat numbers once a crash has lost the newest of them, so that a holder that is alive looked silent.

    `position` is always in the partition of `follower`.
    """

    follower: FollowerId
    log_id: str
    position: Position
    owner: str | None
    epoch: int
    heartbeat: int
    wanted_by: str | None = None
    generation: str = ""


class Claim(msgspec.Struct, frozen=True):
    """The right to move a checkpoint, as long as its epoch is current."""

    follower: FollowerId
    epoch: int


def lease_lost(claim: Claim, after: Position | None = None) -> LeaseLost:
    """The error for a checkpoint that another worker holds, or that is not at `after`."""
    place = "" if after is None else f" at {after}"
    return LeaseLost(claim.follower, f"is no longer held in epoch {claim.epoch}{place}")


def part_registered(follower: FollowerId, found: Iterable[Checkpoint], apart: Collection[int]) -> bool | None:
    """What `register_part` returns if these checkpoints are in the store; None if it has to create one first."""
    there = {checkpoint.follower.partition for checkpoint in found}
    if follower.partition in there:
        return True
    return None if there <= set(apart) else False


class Parked(msgspec.Struct, frozen=True):
    """A row, or a whole stream, that is parked because an event could not be handled.

    `key` is the row's key as JSON, `["1001"]`, or the stream, `order-1001`. `position` is that of the first parked
    event, which was tried `tries` times. The traceback is stored, but read only by `Checkpoints.traceback`.
    """

    kind: ParkedKind
    key: str
    position: Position
    error: str
    since: datetime
    tries: int = 1
    traceback: str = ""

    @property
    def error_type(self) -> str:
        """The type of the error, for logs: its text, like the key, may contain personal data."""
        return self.error.partition(":")[0]


def parked_by(
    error: BaseException, kind: ParkedKind, key: str, position: Position, since: datetime, tries: int = 1
) -> Parked:
    """The entry to store for an error."""
    return Parked(kind, key, position, error_text(error), since, tries, traceback_text(error))


def parked_again(
    was: Parked | None,
    error: BaseException,
    kind: ParkedKind,
    key: str,
    position: Position,
    now: datetime,
) -> Parked:
    """The entry after another failed try. `since` stays; `tries` grows while the same event fails."""
    tries = was.tries + 1 if was is not None and was.position == position else 1
    return parked_by(error, kind, key, position, now if was is None else was.since, tries)


class Checkpoints(Protocol):
    """The rows: a projection's in the read store, a reactor's with the log.

    Each partition of a follower has a row of its own. All methods except `all_partitions` concern the one partition.
    """

    async def register(self, follower: FollowerId, log_id: str, start: Position) -> None:
        """Create the checkpoint at `start` if there is none."""
        ...

    async def read(self, follower: FollowerId) -> Checkpoint | None:
        """The current row. Raises: Unavailable."""
        ...

    async def all_partitions(self, follower: FollowerId) -> Sequence[Checkpoint]:
        """The rows of all partitions of this name and version, in order of partition. Raises: Unavailable."""
        ...

    async def ownership(self, follower: FollowerId) -> Ownership | None:
        """The ownership; None if there is none yet, or no checkpoint. Raises: Unavailable."""
        ...

    async def assign(self, follower: FollowerId, seen: Ownership | None, now: Ownership) -> bool:
        """Store the ownership. False if it is no longer as it was `seen`, or there is no checkpoint."""
        ...

    async def claim(self, seen: Checkpoint, owner: str) -> Claim | None:
        """Claim the checkpoint as it was `seen`, with the next epoch. None if another worker was faster."""
        ...

    async def request_handover(self, seen: Checkpoint, asker: str) -> None:
        """Ask the holder, as it was `seen`, to hand the checkpoint over to `asker`."""
        ...

    async def beat(self, claim: Claim) -> str | None:
        """Send a heartbeat. Returns the worker that asked for the checkpoint, or None. Raises: LeaseLost."""
        ...

    async def advance(
        self,
        claim: Claim,
        after: Position,
        to: Position,
        parked: Sequence[Parked] = (),
        unparked: Sequence[Parked] = (),
    ) -> None:
        """Move from `after` to `to`, and park and unpark keys, in one transaction.

        `unparked` is removed before `parked` is added. Raises: LeaseLost.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Release the checkpoint, so that the next holder need not wait. Does nothing if it was taken over."""
        ...

    async def parked(self, follower: FollowerId) -> Sequence[Parked]:
        """What is parked in this partition, in order of position."""
        ...

    async def traceback(self, follower: FollowerId, one: Parked) -> str:
        """The traceback of the error as Python shows it; empty if it is not known, or no longer."""
        ...


@runtime_checkable
class SplitsCheckpoints(Protocol):
    """Checkpoints of followers whose partitions may split. A capability of `Checkpoints`.

    Those of projections have it, since a read store is not told what the log is. Those of reactors lie with the log.

    A follower never has checkpoints in two partitions that have events in common: both methods, and what replaces all
    checkpoints of a table, exclude each other.
    """

    async def register_part(self, follower: FollowerId, log_id: str, start: Position, apart: Collection[int]) -> bool:
        """Create the checkpoint at `start` if there is none, and return whether there is one now.

        It is not created if the follower has one in a partition other than those of `apart`, which are known to have no
        events in common with its own: an unknown partition may be a part of it.
        """
        ...

    async def split(self, claim: Claim, at: Position, parts: Mapping[int, Sequence[Parked]]) -> None:
        """Replace the checkpoint of a partition that has split by those of its parts, in one transaction.

        They are at the same offset, with the next epoch; one that exists already stays as it is. `parts` says which
        parked entries go to which part. Raises: LeaseLost if it is not `at` this place in the claim's epoch.
        """
        ...
