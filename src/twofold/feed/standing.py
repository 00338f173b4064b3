"""How far the followers of an App are, in any process, and waiting until they have handled enough."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import msgspec

from twofold.errors import InvalidInput, NotSettled
from twofold.feed.checkpoints import Checkpoint, FollowerId
from twofold.feed.feed import Feed
from twofold.feed.follow import Following
from twofold.feed.lease import LEASE_S
from twofold.feed.partitions import feeds
from twofold.messages import Position

LOOK_AGAIN_S = 0.25
LONGEST_WAIT_S = sys.float_info.max  # an int may be greater


class Standing(msgspec.Struct, frozen=True):
    """A follower compared with the head: how many events it is behind, and how many streams it still retries."""

    following: Following
    position: Position
    checkpoint: Checkpoint | None
    behind: int
    trying: int

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing left to do."""
        return self.behind == 0 and self.trying == 0


async def wait_until_idle(followings: Sequence[Following], log: Feed, timeout_s: float) -> None:
    """Return when every follower has handled everything up to the head, and what that caused.

    `followings` may change meanwhile, when a partition splits. A reactor's commands are appended before its checkpoint
    moves. So if all checkpoints have reached the heads, and these have not moved since, nothing is in progress. What is
    parked for good counts as handled; a stream whose reaction will be retried does not.

    Raises: InvalidInput, NotSettled, LogReplaced, Unavailable.
    """
    if not isinstance(timeout_s, int | float) or not 0 <= timeout_s <= LONGEST_WAIT_S:
        raise InvalidInput(f"timeout_s must be a number of seconds from 0, not {timeout_s!r:.80}")
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout_s
    while True:
        parts = list(feeds(log).values())
        heads = [await feed.head() for feed in parts]
        standings = [await _standing(following) for following in list(followings)]
        busy = [standing for standing in standings if not standing.is_idle]
        if not busy and [await feed.head() for feed in parts] == heads and parts == list(feeds(log).values()):
            return
        left_s = deadline - clock()
        if left_s <= 0:
            behind = {str(standing.following.follower_id): (standing.behind, standing.trying) for standing in busy}
            raise NotSettled(behind, timeout_s)
        if busy:
            await busy[0].following.follower.wait(busy[0].position, min(left_s, LOOK_AGAIN_S))


async def _standing(following: Following) -> Standing:
    checkpoints, follower = following.checkpoints, following.follower
    checkpoint = await checkpoints.read(follower.follows)
    position = checkpoint.position if checkpoint is not None else Position(following.feed.partition, 0)
    trying = sum(map(follower.will_retry, await checkpoints.parked(follower.follows)))
    return Standing(following, position, checkpoint, await following.feed.behind(position), trying)


class Pace:
    """Slows an import down while a working follower is more than `most_behind` events behind.

    `look_every` events may be appended between two checks. A follower that no process holds is ignored: it catches up
    when a worker is started.
    """

    def __init__(self, followings: Sequence[Following], most_behind: int, look_every: int) -> None:
        self._followings = followings
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
                counted = self._appended  # the look may miss what is appended during it
                slowest = await self._slowest()
                if slowest is None or slowest.behind + self._look_every <= self._most_behind:
                    self._appended -= counted
                else:
                    await slowest.following.follower.wait(slowest.position, LOOK_AGAIN_S)

    async def _slowest(self) -> Standing | None:
        followings = list(self._followings)  # those of a partition that splits meanwhile are replaced
        checkpoints = [await following.checkpoints.read(following.follower_id) for following in followings]
        standings = [
            Standing(following, checkpoint.position, checkpoint, await following.feed.behind(checkpoint.position), 0)
            for following, checkpoint in zip(followings, checkpoints, strict=True)
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
