"""The pace of an import."""

import asyncio

from twofold.backends.memory import MemoryLog
from twofold.feed.checkpoints import FollowerId
from twofold.feed.standing import Pace, WatchedFollower
from twofold.messages import BEGINNING, Position

FOLLOWER = FollowerId("rows")


class Busy(MemoryLog):
    """Events are appended elsewhere while it is asked how far a follower is behind."""

    def __init__(self) -> None:
        super().__init__()
        self.pace: Pace | None = None
        self.meanwhile = 0
        self.looks = 0

    async def behind(self, after: Position) -> int:
        self.looks += 1
        if self.pace is not None:
            self.pace.count(self.meanwhile)
        return 0


async def at_once(after: Position, timeout_s: float) -> None:
    """Its checkpoint has moved."""


async def test_what_is_appended_during_a_look_counts_for_the_next() -> None:
    log = Busy()
    await log.checkpoints.register(FOLLOWER, log.log_id, BEGINNING)
    seen = await log.checkpoints.read(FOLLOWER)
    assert seen is not None
    await log.checkpoints.claim(seen, "worker")
    followed = WatchedFollower(FOLLOWER, log, log.checkpoints, at_once, lambda parked: False)
    log.pace = pace = Pace([followed], most_behind=30, look_every=10)
    log.meanwhile = 8
    async with asyncio.timeout(10):
        await pace.keep()
        assert log.looks == 1
        await pace.keep()
        assert log.looks == 1, "only 8 so far"
        log.meanwhile = 0
        pace.count(2)
        await pace.keep()
        assert log.looks == 2
