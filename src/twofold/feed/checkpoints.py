"""The port to the checkpoints: how far each follower has come, and who may move it on.

Lease, fence, progress and exactly-once are one row. `epoch` counts the holders: every write for a checkpoint compares
it, so a holder that was paused and replaced cannot write when it wakes. `heartbeat` counts the signs of life: a taker
watches it on its own monotonic clock, so no clocks are compared between machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from twofold.failures import error_text, traceback_text
from twofold.messages import Position

_BESIDE = "~"


class FollowerId(msgspec.Struct, frozen=True):
    """Whose checkpoint it is: a projection or a reactor, at a version, in one partition of the log.

    Partition 0 is the only one of a log that has one, and the merged feed of a log that has several. A table that is
    built beside the one of a version has the name `name~generation`, which no projection can have.
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
        """The version that this one is built for, to take its table's place; None where it is a version itself."""
        name, beside, _ = self.name.partition(_BESIDE)
        return FollowerId(name, self.version, self.partition) if beside else None

    def __str__(self) -> str:
        return f"{self.name} v{self.version}" + (f", partition {self.partition}" if self.partition else "")


class Ownership(msgspec.Struct, frozen=True):
    """Whose a checkpoint is: the App, the name it had before, and the stored names of the events it follows, sorted."""

    app: str
    formerly: str | None
    events: tuple[str, ...]


_OWNERSHIP = msgspec.json.Decoder(Ownership)


def ownership_from(text: str | None) -> Ownership | None:
    """As `ownership_text` wrote it."""
    return None if text is None else _OWNERSHIP.decode(text)


def ownership_text(belongs: Ownership | None) -> str | None:
    """As one text, the same for the same."""
    return None if belongs is None else msgspec.json.encode(belongs).decode()


class Checkpoint(msgspec.Struct, frozen=True):
    """The row. `owner` is None after a clean stop; `wanted_by` is a worker that follows less and asked for it.

    `position` is always in the partition of `follower`.
    """

    follower: FollowerId
    log_id: str
    position: Position
    owner: str | None
    epoch: int
    heartbeat: int
    wanted_by: str | None = None


class Claim(msgspec.Struct, frozen=True):
    """The right to move a checkpoint on, as long as its epoch stands."""

    follower: FollowerId
    epoch: int


class Parked(msgspec.Struct, frozen=True):
    """What waits because an event could not be handled: one row, or a whole stream.

    `key` is the row's key as JSON, `["1001"]`, or the stream, `order-1001`. `position` is that of the first event
    that waits; it was tried `tries` times. The traceback is kept, and read only by `Checkpoints.traceback`.
    """

    kind: Literal["row", "stream"]
    key: str
    position: Position
    error: str
    since: datetime
    tries: int = 1
    traceback: str = ""


def parked_by(
    error: BaseException, kind: Literal["row", "stream"], key: str, position: Position, since: datetime, tries: int = 1
) -> Parked:
    """What is to be kept of an error that parks something."""
    return Parked(kind, key, position, error_text(error), since, tries, traceback_text(error))


def parked_again(
    was: Parked | None,
    error: BaseException,
    kind: Literal["row", "stream"],
    key: str,
    position: Position,
    now: datetime,
) -> Parked:
    """After another try: waiting since it did before; the tries are counted on while the same event is at fault."""
    tries = was.tries + 1 if was is not None and was.position == position else 1
    return parked_by(error, kind, key, position, now if was is None else was.since, tries)


class Checkpoints(Protocol):
    """The rows, kept beside what they count: a projection's in the read store, a reactor's with the log.

    Each partition of a follower has a row of its own. All methods but `of` concern that of the one named.
    """

    async def register(self, follower: FollowerId, log_id: str, start: Position) -> None:
        """Make the checkpoint at `start`, when there is none."""
        ...

    async def read(self, follower: FollowerId) -> Checkpoint | None:
        """As it is now. Raises: Unavailable."""
        ...

    async def of(self, follower: FollowerId) -> Sequence[Checkpoint]:
        """Those of all partitions of this name and version, in order of partition. Raises: Unavailable."""
        ...

    async def belongs(self, follower: FollowerId) -> Ownership | None:
        """Whose it is; None where that was never said, or there is no checkpoint. Raises: Unavailable."""
        ...

    async def assign(self, follower: FollowerId, seen: Ownership | None, now: Ownership) -> bool:
        """Say whose the checkpoint is. False when it no longer is as it was `seen`, or there is none."""
        ...

    async def claim(self, seen: Checkpoint, owner: str) -> Claim | None:
        """Take it over as it was `seen`, with the next epoch. None when somebody else was quicker."""
        ...

    async def ask(self, seen: Checkpoint, asker: str) -> None:
        """Let whoever holds it, as it was `seen`, know that `asker` would take it over."""
        ...

    async def beat(self, claim: Claim) -> str | None:
        """Give a sign of life. Answers who would take it over, if anybody. Raises: LeaseLost."""
        ...

    async def advance(
        self,
        claim: Claim,
        after: Position,
        to: Position,
        parked: Sequence[Parked] = (),
        unparked: Sequence[Parked] = (),
    ) -> None:
        """Move on from `after`, with what is to be parked and what waits no longer, in one transaction.

        What is taken out makes room for what is put in. Raises: LeaseLost.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Let go, so that the next one need not wait. Does nothing when it was already taken over."""
        ...

    async def parked(self, follower: FollowerId) -> Sequence[Parked]:
        """What waits in this partition, in order of position."""
        ...

    async def traceback(self, follower: FollowerId, one: Parked) -> str:
        """Where the error came from, as Python shows it; empty when it is not known (any more)."""
        ...
