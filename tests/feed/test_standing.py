"""The pace of an import, and waiting until everything is handled."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.feed.test_follow import Noting, holder
from twofold.backends.memory import MemoryLog
from twofold.errors import NotSettled
from twofold.feed import standing
from twofold.feed.checkpoints import Checkpoint, FollowerId, Parked
from twofold.feed.follow import Following
from twofold.feed.standing import Pace, wait_until_idle
from twofold.messages import BEGINNING, Position
from twofold.testing.conformance.material import appended


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
    await holder(log)
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


class Stuck(Noting):
    """A follower whose checkpoint does not move."""

    async def wait(self, after: Position, timeout_s: float) -> None:
        await asyncio.sleep(timeout_s)


async def test_an_import_waits_for_no_follower_whose_holder_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its checkpoint says that it is held, and nothing more comes from there."""
    monkeypatch.setattr(standing, "LEASE_S", 0.05)
    monkeypatch.setattr(standing, "LOOK_AGAIN_S", 0.01)
    log = MemoryLog()
    await holder(log)
    await appended(log, "note-1", *"abc")
    pace = Pace([Following(Stuck(log), log, log.checkpoints, "importer")], most_behind=2, look_every=1)
    async with asyncio.timeout(10):
        await pace.keep()


async def test_an_import_waits_again_for_a_holder_that_gives_signs_of_life_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was paused for longer than its lease, and nobody has taken over."""
    monkeypatch.setattr(standing, "LEASE_S", 0.05)
    monkeypatch.setattr(standing, "LOOK_AGAIN_S", 0.01)
    log = MemoryLog()
    claim = await holder(log)
    await appended(log, "note-1", *"abc")
    follower = Stuck(log)
    pace = Pace([Following(follower, log, log.checkpoints, "importer")], most_behind=2, look_every=1)
    async with asyncio.timeout(10):
        await pace.keep()
    await log.checkpoints.beat(claim)
    pace.count(1)
    looks = list[Position]()

    async def has_handled_them(after: Position, timeout_s: float) -> None:
        looks.append(after)
        await log.checkpoints.advance(claim, after, await log.head())

    follower.wait = has_handled_them  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        await pace.keep()
    assert looks == [BEGINNING]


async def test_an_import_waits_for_no_dead_holder_of_any_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process held the follower in both partitions, and did not claim them equally often."""
    monkeypatch.setattr(standing, "LEASE_S", 0.05)
    monkeypatch.setattr(standing, "LOOK_AGAIN_S", 0.01)
    followings = list[Following]()
    for partition in (1, 2):
        log = MemoryLog(partition=partition)
        follower = Stuck(log)
        follower.follows = follower.follows.in_partition(partition)
        followings.append(Following(follower, log, log.checkpoints, "importer"))
        await followings[-1].register()
        for _ in range(partition):
            assert await log.checkpoints.claim(await followings[-1].checkpoint(), "dead") is not None
        await appended(log, "note-1", *"abc")
    async with asyncio.timeout(10):
        await Pace(followings, most_behind=2, look_every=1).keep()


class Trying(Noting):
    """A follower that retries what is parked."""

    def will_retry(self, parked: Parked) -> bool:
        return True


@pytest.mark.parametrize("after", ["read", "parked"])
async def test_a_stream_that_fails_between_two_looks_is_waited_for(after: str) -> None:
    """Its event is handled, so the follower is at the head, but its reaction will be retried."""
    log = MemoryLog()
    claim = await holder(log)
    receipt = await appended(log, "note-1", "fails")
    bad = Parked("stream", "note-1", receipt.position, "Error", datetime.now(UTC))
    checkpoints: Any = log.checkpoints
    look = getattr(checkpoints, after)

    async def looked(follower: FollowerId) -> Any:
        setattr(checkpoints, after, look)
        found = await look(follower)
        await checkpoints.advance(claim, BEGINNING, receipt.position, [bad])
        return found

    setattr(checkpoints, after, looked)
    following = Following(Trying(log), log, checkpoints, "worker")
    with pytest.raises(NotSettled):
        await wait_until_idle([following], log, 0.1)
    await checkpoints.advance(claim, receipt.position, receipt.position, (), [bad])
    await wait_until_idle([following], log, 10)


class Slow(Noting):
    """A follower whose checkpoint may move while others are looked at."""

    def __init__(self, log: MemoryLog, name: str) -> None:
        super().__init__(log)
        self.follows = FollowerId(name)


async def test_what_one_follower_causes_while_the_others_are_looked_at_is_waited_for() -> None:
    """The first has handled everything; then the second handles its last event, which makes another one."""
    log = MemoryLog()
    await appended(log, "note-1", "cause")
    first, second = (Following(Slow(log, name), log, log.checkpoints, "worker") for name in ("first", "second"))
    for following in (first, second):
        await following.register()
    async for _ in first.catch_up():
        pass
    read, caused = log.checkpoints.read, list[str]()

    async def read_after_the_second_has_handled_all(follower: FollowerId) -> Checkpoint | None:
        if follower == second.follower_id and not caused:
            caused.append("effect")
            await appended(log, "note-1", *caused)
            async for _ in second.catch_up():
                pass
        return await read(follower)

    log.checkpoints.read = read_after_the_second_has_handled_all  # type: ignore[method-assign]
    with pytest.raises(NotSettled, match="first"):
        await wait_until_idle([first, second], log, 0.1)
    async for _ in first.catch_up():
        pass
    await wait_until_idle([first, second], log, 10)
