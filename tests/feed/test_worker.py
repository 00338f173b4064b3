"""A follower's task: whatever ends it is reported, and the task restarts, unless the follower has stopped."""

import asyncio
import logging
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest

from tests.feed.test_follow import Failing, Noting, until
from twofold import App, Decider, LogReplaced, Projection, Recorded, operate
from twofold.backends.memory import MemoryLog
from twofold.errors import LeaseLost
from twofold.feed.follow import SHORTEST_PAUSE_S, Following
from twofold.feed.worker import Worker
from twofold.telemetry import metrics
from twofold.testing import virtual_time
from twofold.testing.conformance.material import appended
from twofold.web.health import Readiness


@dataclass(frozen=True)
class Noted:
    text: str


@dataclass(frozen=True)
class Note:
    id: str
    count: int = 0


def write(command: Noted, state: int) -> list[Noted]:
    return [command]


def written(state: int, event: Noted) -> int:
    return state + 1


notes = Decider("note", 0, write, written)


async def cancelled() -> None:
    """A follower that cancels the task it runs in."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


def test_a_task_that_was_cancelled_is_noticed_and_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        log = MemoryLog()
        follower = Noting(log)
        following = Following(follower, log, log.checkpoints, "worker")
        await appended(log, "note-1", "a")
        follower.before = cancelled
        worker = Worker(following)
        await until(lambda: following.state == "failing")
        assert following.error == "CancelledError: its task was cancelled"
        assert following.counts.failures == 1
        assert "CancelledError: its task was cancelled; next try in 0.05 s" in caplog.text
        found = await log.checkpoints.read(follower.follows)
        assert found is not None
        assert found.owner is None, "it was let go"
        follower.before = None
        await until(lambda: follower.seen == [1])
        await until(lambda: following.state == "following")
        assert following.error is None
        await worker.stop()
        assert following.counts.failures == 1

    with caplog.at_level(logging.ERROR):
        virtual_time.run(main())


def test_each_time_the_pause_is_longer() -> None:
    async def main() -> None:
        log = MemoryLog()
        follower = Noting(log)
        await appended(log, "note-1", "a")
        at = list[float]()

        async def again() -> None:
            at.append(asyncio.get_running_loop().time())
            await cancelled()

        follower.before = again
        worker = Worker(Following(follower, log, log.checkpoints, "worker"))
        await until(lambda: len(at) == 4)
        await worker.stop()
        pauses = [later - sooner for sooner, later in pairwise(at)]
        assert all(pause >= SHORTEST_PAUSE_S * 2**number for number, pause in enumerate(pauses))

    virtual_time.run(main())


def test_one_that_has_stopped_by_itself_is_left_alone_and_so_is_one_that_was_told_to() -> None:
    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        follower = Failing(log, LogReplaced("another"), LogReplaced("another"))
        following = Following(follower, log, log.checkpoints, "worker")
        worker = Worker(following)
        await until(lambda: following.state == "stopped")
        await asyncio.sleep(60)
        assert (following.state, following.error, len(follower.asked_at)) == ("stopped", "another", 1)
        await worker.stop()

        follower.errors.clear()
        follower.before = cancelled
        worker = Worker(following)
        await until(lambda: following.state == "failing")
        await worker.stop()  # while it pauses before the next try, which would succeed
        follower.before = None
        await asyncio.sleep(60)
        assert following.state == "failing"
        assert follower.seen == []

    virtual_time.run(main())


def test_status_readiness_and_metrics_say_so() -> None:
    cancels = True

    def fold(row: Note, event: Noted, recorded: Recorded) -> Note:
        if cancels:
            asyncio.current_task().cancel()  # type: ignore[union-attr]
        return replace(row, count=row.count + 1)

    async def main() -> None:
        nonlocal cancels
        rows = Projection("rows", Note, fold)
        async with App("notes", deciders=[notes], projections=[rows]).open("memory:") as running:
            done = await running.execute(notes, "1", Noted("a"))
            following = running.followers[0]
            await until(lambda: following.state == "failing")
            [status] = await operate.status(running)
            assert (status.state, status.error) == ("failing", "CancelledError: its task was cancelled")
            assert await Readiness(running).reasons() == [
                "projection rows v1 failing (CancelledError): /status says why"
            ]
            labels = '{follower="rows",version="1",kind="projection"}'
            told = await metrics(running)
            assert f"twofold_follower_failing{labels} 1\n" in told
            assert f"twofold_lease_held{labels} 0\n" in told
            assert f"twofold_follower_failures_total{labels} {following.counts.failures}\n" in told
            cancels = False
            assert await running.get(rows, "1", after=done.receipt, wait_s=30) == Note("1", 1)
            await until(lambda: following.state == "following")
            assert f"twofold_follower_failing{labels} 0\n" in await metrics(running)

    virtual_time.run(main())


@pytest.mark.parametrize("error", [RuntimeError("it was in use"), LeaseLost(Noting.follows, "is gone")])
def test_an_error_while_it_stops_does_not_keep_it_running(error: Exception) -> None:
    async def main() -> None:
        log = MemoryLog()
        follower = Noting(log)
        await appended(log, "note-1", "a")

        async def breaks() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                raise error

        follower.before = breaks
        worker = Worker(Following(follower, log, log.checkpoints, "worker"))
        await asyncio.sleep(1)
        follower.before = None
        async with asyncio.timeout(1):
            await worker.stop()
        await asyncio.sleep(60)
        assert follower.seen == []
        found = await log.checkpoints.read(follower.follows)
        assert found is not None
        assert found.owner is None

    virtual_time.run(main())


def test_one_whose_cancellation_an_error_has_replaced_is_begun_again_unless_it_was_to_stop() -> None:
    """Code that cancels all tasks, and a follower whose work fails on the way out."""

    async def main() -> None:
        log = MemoryLog()
        follower = Noting(log)
        await appended(log, "note-1", "a")

        async def breaks() -> None:
            try:
                await cancelled()
            finally:
                raise RuntimeError("it was in use")

        follower.before = breaks
        worker = Worker(Following(follower, log, log.checkpoints, "worker"))
        await asyncio.sleep(1)
        follower.before = None
        await asyncio.sleep(60)
        assert follower.seen == [1]
        await worker.stop()

    virtual_time.run(main())
