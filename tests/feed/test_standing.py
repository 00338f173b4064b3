"""The pace of an import."""

import asyncio

from tests.feed.test_follow import ONE, Noting
from twofold.backends.memory import MemoryLog
from twofold.feed.follow import Following
from twofold.feed.standing import Pace
from twofold.messages import BEGINNING, Position


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


async def test_what_is_appended_during_a_look_counts_for_the_next() -> None:
    log = Busy()
    await log.checkpoints.register(ONE, log.log_id, BEGINNING)
    seen = await log.checkpoints.read(ONE)
    assert seen is not None
    await log.checkpoints.claim(seen, "worker")
    following = Following(Noting(log), log, log.checkpoints, "importer")
    log.pace = pace = Pace([following], most_behind=30, look_every=10)
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
