"""How far the followers of an App are, in any process, and waiting until they have handled enough."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from twofold.errors import NotSettled
from twofold.feed.checkpoints import Checkpoint, Checkpoints, FollowerId, Parked
from twofold.feed.feed import Feed
from twofold.feed.lease import LEASE_S
from twofold.messages import Position

LOOK_AGAIN_S = 0.25


class WatchedFollower(msgspec.Struct, frozen=True):
    """A follower as seen from outside.

    `passed` returns when its checkpoint may have moved beyond a position, or when the time is up. `comes_again`
    returns whether a parked entry will be retried automatically.
    """

    follows: FollowerId
    feed: Feed
    checkpoints: Checkpoints
    passed: Callable[[Position, float], Awaitable[None]]
    comes_again: Callable[[Parked], bool]


class Standing(msgspec.Struct, frozen=True):
    """A follower compared with the head: how many events it is behind, and how many streams it still retries."""

    followed: WatchedFollower
    position: Position
    checkpoint: Checkpoint | None
    behind: int
    trying: int

    @property
    def settled(self) -> bool:
        """Whether it has nothing left to do."""
        return self.behind == 0 and self.trying == 0


async def settled(followed: Sequence[WatchedFollower], feeds: Sequence[Feed], timeout_s: float) -> None:
    """Return when every follower has handled everything up to the head, and what that caused.

    `feeds` are those of the log's partitions. A reactor's commands are appended before its checkpoint moves. So if all
    checkpoints have reached the heads, and these have not moved since, nothing is in progress. What is parked for good
    counts as handled; a stream whose reaction will be retried does not.

    Raises: NotSettled, LogReplaced, Unavailable.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout_s
    while True:
        heads = [await feed.head() for feed in feeds]
        standings = [await _standing(follower) for follower in followed]
        unsettled = [standing for standing in standings if not standing.settled]
        if not unsettled and [await feed.head() for feed in feeds] == heads:
            return
        left_s = deadline - clock()
        if left_s <= 0:
            behind = {str(standing.followed.follows): (standing.behind, standing.trying) for standing in unsettled}
            raise NotSettled(behind, timeout_s)
        if unsettled:
            await unsettled[0].followed.passed(unsettled[0].position, min(left_s, LOOK_AGAIN_S))


async def _standing(followed: WatchedFollower) -> Standing:
    checkpoint = await followed.checkpoints.read(followed.follows)
    position = checkpoint.position if checkpoint is not None else Position(followed.feed.partition, 0)
    trying = sum(map(followed.comes_again, await followed.checkpoints.parked(followed.follows)))
    return Standing(followed, position, checkpoint, await followed.feed.behind(position), trying)


class Pace:
    """Slows an import down while a working follower is more than `most_behind` events behind.

    `look_every` events may be appended between two checks. A follower that no process holds is ignored: it catches up
    when a worker is started.
    """

    def __init__(self, followed: Sequence[WatchedFollower], most_behind: int, look_every: int) -> None:
        self._followed = followed
        self._most_behind, self._look_every = most_behind, look_every
        self._appended = look_every  # check before the first event, too
        self._turn = asyncio.Lock()
        self._beats: dict[FollowerId, tuple[tuple[int, int], float]] = {}

    def count(self, events: int) -> None:
        """Count events that were appended."""
        self._appended += events

    async def keep(self) -> None:
        """Return when more may be appended. Raises: LogReplaced, Unavailable."""
        if self._appended < self._look_every:
            return
        async with self._turn:
            while self._appended >= self._look_every:
                counted = self._appended  # what is appended during the look, it may have missed
                slowest = await self._slowest()
                if slowest is None or slowest.behind + self._look_every <= self._most_behind:
                    self._appended -= counted
                else:
                    await slowest.followed.passed(slowest.position, LOOK_AGAIN_S)

    async def _slowest(self) -> Standing | None:
        checkpoints = [await followed.checkpoints.read(followed.follows) for followed in self._followed]
        standings = [
            Standing(followed, checkpoint.position, checkpoint, await followed.feed.behind(checkpoint.position), 0)
            for followed, checkpoint in zip(self._followed, checkpoints, strict=True)
            if checkpoint is not None and self._is_held(checkpoint)
        ]
        return max(standings, key=lambda standing: standing.behind, default=None)

    def _is_held(self, checkpoint: Checkpoint) -> bool:
        """Whether its holder's heartbeat has changed within a lease, as seen from this process."""
        now, beat = asyncio.get_running_loop().time(), (checkpoint.epoch, checkpoint.heartbeat)
        seen, since = self._beats.get(checkpoint.follower, (None, now))
        if seen != beat:
            self._beats[checkpoint.follower] = beat, now
            since = now
        return checkpoint.owner is not None and now - since < LEASE_S
