"""The loop of all followers, on memory and in virtual time: leases and pauses end at exact moments."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import msgspec
import pytest

from twofold.backends.memory import MemoryLog
from twofold.errors import ConfigurationError, Contended, LeaseLost, LogReplaced, Unavailable
from twofold.feed.checkpoints import Checkpoint, Claim, FollowerId, Parked
from twofold.feed.feed import FeedPage
from twofold.feed.follow import LONGEST_PAUSE_S, Following, share
from twofold.feed.lease import CLAIM_POLL_S, LEASE_S, Lease, heartbeats, taken_over, taken_over_if_silent
from twofold.messages import BEGINNING, Position
from twofold.testing import virtual_time
from twofold.testing.conformance.material import appended, at, offsets

ONE = FollowerId("one")


class Noting:
    """A follower that notes the positions it gets, and can run a given action in between."""

    follows = ONE
    types = frozenset({"Noted"})
    largest_page = 4_096

    def __init__(self, log: MemoryLog, start: Literal["beginning", "now"] = "beginning") -> None:
        self.log, self.start = log, start
        self.seen: list[int] = []
        self.before: Callable[[], Awaitable[None]] | None = None

    async def handle(self, claim: Claim, after: Position, page: FeedPage) -> None:
        if self.before is not None:
            await self.before()
        await self.log.checkpoints.advance(claim, after, page.upto)
        self.seen += offsets(page.entries)

    async def flush(self) -> None:
        pass

    async def tend(self, claim: Claim, position: Position) -> None:
        pass

    async def wait(self, after: Position, timeout_s: float) -> None:
        """Its checkpoint may have moved."""

    def will_retry(self, parked: Parked) -> bool:
        return False


class Failing(Noting):
    """A follower that raises a number of times, and notes when it was called."""

    def __init__(self, log: MemoryLog, *errors: Exception) -> None:
        super().__init__(log)
        self.errors, self.asked_at = list(errors), list[float]()

    async def handle(self, claim: Claim, after: Position, page: FeedPage) -> None:
        self.asked_at.append(now())
        if self.errors:
            raise self.errors.pop(0)
        await super().handle(claim, after, page)


def now() -> float:
    return asyncio.get_running_loop().time()


def working(follower: Noting, owner: str = "worker") -> tuple[Following, asyncio.Task[None]]:
    following = Following(follower, follower.log, follower.log.checkpoints, owner)
    return following, asyncio.create_task(following.run())


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """In virtual time, where what never happens would be looked for without end."""
    pause_s = 0.001
    async with asyncio.timeout(1_000):
        while not condition():
            await asyncio.sleep(pause_s)
            pause_s = min(0.05, 1.01 * pause_s)


async def holder(log: MemoryLog) -> Claim:
    """A worker holds the checkpoint."""
    await log.checkpoints.register(ONE, log.log_id, BEGINNING)
    seen = await log.checkpoints.read(ONE)
    assert seen is not None
    claim = await log.checkpoints.claim(seen, "holder")
    assert claim is not None
    return claim


def test_it_follows_from_the_beginning_and_hears_what_comes() -> None:
    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", *range(200))
        follower = Noting(log)
        following, task = working(follower)
        await until(lambda: len(follower.seen) == 200)
        await appended(log, "note-1", "later")
        await until(lambda: len(follower.seen) == 201)
        assert now() < LEASE_S, "it was woken by the doorbell"
        assert follower.seen == list(range(1, 202))
        assert (following.state, following.error) == ("following", None)
        await stopped(task)
        found = await log.checkpoints.read(ONE)
        assert found is not None
        assert (found.position, found.owner) == (at(201), None)

    virtual_time.run(main())


def test_start_now_means_the_moment_it_was_registered() -> None:
    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "old")
        follower = Noting(log, start="now")
        following = Following(follower, log, log.checkpoints, "worker")
        await following.register()
        await appended(log, "note-1", "new")
        await following.register()
        task = asyncio.create_task(following.run())
        await until(lambda: follower.seen == [2])
        await stopped(task)

    virtual_time.run(main())


def test_g5_a_dead_holder_is_replaced_when_its_lease_has_run_out_and_not_before() -> None:
    async def main() -> None:
        log = MemoryLog()
        await holder(log)
        _, task = working(Noting(log), "taker")
        await asyncio.sleep(LEASE_S - CLAIM_POLL_S)
        found = await log.checkpoints.read(ONE)
        assert found is not None
        assert (found.owner, found.epoch) == ("holder", 1)
        await asyncio.sleep(2 * CLAIM_POLL_S)
        found = await log.checkpoints.read(ONE)
        assert found is not None
        assert (found.owner, found.epoch) == ("taker", 2)
        await stopped(task)

    virtual_time.run(main())


def test_g5_a_live_holder_is_never_replaced() -> None:
    async def main() -> None:
        log = MemoryLog()
        claim = await holder(log)
        following, task = working(Noting(log), "taker")
        for _ in range(50):
            await asyncio.sleep(LEASE_S * 0.9)
            await log.checkpoints.beat(claim)
        assert following.state == "waiting"
        await log.checkpoints.release(claim)
        await asyncio.sleep(2 * CLAIM_POLL_S)
        assert following.state == "following"
        await stopped(task)

    virtual_time.run(main())


def test_g5_a_holder_gives_signs_of_life_while_a_page_is_slow_and_while_nothing_comes() -> None:
    async def main() -> None:
        log = MemoryLog()
        slow = Noting(log)
        await appended(log, "note-1", "a")

        async def takes_long() -> None:
            await asyncio.sleep(LEASE_S * 20)

        slow.before = takes_long
        _, task = working(slow, "slow")
        await asyncio.sleep(0.1)
        other, other_task = working(Noting(log), "other")
        await until(lambda: slow.seen == [1])
        await asyncio.sleep(LEASE_S * 20)
        assert now() > LEASE_S * 40
        assert other.state == "waiting"
        await stopped(task)
        await stopped(other_task)

    virtual_time.run(main())


def test_g5_a_holder_goes_on_giving_signs_of_life_after_some_were_lost() -> None:
    """The store is down for one beat or several, but for less than a lease; no worker takes over."""

    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        beat, lost = log.checkpoints.beat, [False, True, False, True, True, False, True, False]

        async def unsteady(claim: Claim) -> str | None:
            lost.append(lost.pop(0))
            if lost[-1]:
                raise Unavailable("down")
            return await beat(claim)

        log.checkpoints.beat = unsteady  # type: ignore[method-assign]
        slow = Noting(log)

        async def takes_long() -> None:
            await asyncio.sleep(LEASE_S * 20)

        slow.before = takes_long
        _, task = working(slow, "slow")
        await asyncio.sleep(0.1)
        other, other_task = working(Noting(log), "other")
        await asyncio.sleep(LEASE_S * 21)
        assert (slow.seen, other.counts.claims) == ([1], 0)
        await stopped(task)
        await stopped(other_task)

    virtual_time.run(main())


def test_g5_a_lease_is_measured_with_a_clock_that_cannot_be_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wall clocks jump in both directions while it runs; the lease still lasts exactly as long as it should."""

    async def main() -> None:
        log = MemoryLog()
        wall = [1e9]
        monkeypatch.setattr("time.time", lambda: wall[0])
        await holder(log)
        other, task = working(Noting(log), "taker")
        for jump in (3600.0, -7200.0, 86_400.0, -1e6):
            await asyncio.sleep((LEASE_S - CLAIM_POLL_S) / 4)
            wall[0] += jump
            assert other.counts.claims == 0
        await asyncio.sleep(2 * CLAIM_POLL_S)
        assert other.counts.claims == 1
        await stopped(task)

    virtual_time.run(main())


@pytest.mark.parametrize("order", [("asks", "other"), ("other", "asks")], ids=" ".join)
def test_a_checkpoint_that_was_asked_for_goes_to_whoever_asked(order: tuple[str, str]) -> None:
    async def main() -> None:
        log = MemoryLog()
        claim = await holder(log)

        async def look() -> Checkpoint:
            found = await log.checkpoints.read(ONE)
            assert found is not None
            return found

        async def check(_: Checkpoint) -> None: ...

        await log.checkpoints.request_handover(await look(), "asks")
        waiting = [asyncio.create_task(Lease(log.checkpoints, ONE, owner).claim(look, check)) for owner in order]
        await asyncio.sleep(10 * CLAIM_POLL_S)
        await log.checkpoints.release(claim)
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert (await look()).owner == "asks"
        for task in waiting:
            await stopped(task)

    virtual_time.run(main())


def test_who_did_not_get_what_it_asked_for_asks_again() -> None:
    """Another process, which was quicker, got it."""

    async def main() -> None:
        log = MemoryLog()
        names = [FollowerId(name) for name in ("one", "two", "three", "four")]
        leases = [Lease(log.checkpoints, name, "joiner") for name in names]

        async def read(name: FollowerId) -> Checkpoint:
            found = await log.checkpoints.read(name)
            assert found is not None
            return found

        async def wanted() -> list[FollowerId]:
            await asyncio.sleep(3 * CLAIM_POLL_S)
            return [name for name in names if (await read(name)).wanted_by == "joiner"]

        async def check(_: Checkpoint) -> None: ...

        for name, lease in zip(names, leases, strict=True):
            await log.checkpoints.register(name, log.log_id, BEGINNING)
            assert await log.checkpoints.claim(await read(name), "holder") is not None
            lease.fellows = leases
        waiting = [
            asyncio.create_task(lease.claim(partial(read, name), check))
            for name, lease in zip(names, leases, strict=True)
        ]
        [first] = await wanted()
        assert await log.checkpoints.claim(await read(first), "other") is not None
        [second] = await wanted()
        assert second != first
        for task in waiting:
            await stopped(task)

    virtual_time.run(main())


def test_who_catches_up_in_a_call_says_that_it_follows() -> None:
    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        following = Following(Noting(log), log, log.checkpoints, "caller")
        assert following.state == "waiting"
        async with following.held():
            assert following.state == "following"

    virtual_time.run(main())


def test_g5_who_was_replaced_notices_and_waits_for_its_turn() -> None:
    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        follower = Noting(log)

        async def overtaken() -> None:
            follower.before = None
            seen = await log.checkpoints.read(ONE)
            assert seen is not None
            claim = await log.checkpoints.claim(seen, "other")
            assert claim is not None
            await log.checkpoints.advance(claim, BEGINNING, at(1))
            await log.checkpoints.release(claim)

        follower.before = overtaken
        following, task = working(follower)
        await appended(log, "note-1", "b")
        await until(lambda: follower.seen == [2])
        assert (following.state, following.counts.losses) == ("following", 1)
        await stopped(task)

    virtual_time.run(main())


def test_g5_who_was_replaced_says_that_it_waits_as_long_as_the_other_one_follows() -> None:
    """It has followed well until then, and asks for its share like any other that waits."""

    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        follower = Noting(log)
        following, task = working(follower)
        await until(lambda: following.state == "following")
        seen = await log.checkpoints.read(ONE)
        assert seen is not None
        claim = await log.checkpoints.claim(seen, "other")
        assert claim is not None
        async with heartbeats(log.checkpoints, claim):
            await appended(log, "note-1", "b")
            await until(lambda: following.counts.losses == 1)
            for _ in range(3):
                assert (following.state, following.error) == ("waiting", None)
                await asyncio.sleep(LEASE_S)
        await until(lambda: following.state == "following")
        await stopped(task)

    virtual_time.run(main())


class SlowToRead(MemoryLog):
    """A log that takes a second for a page."""

    async def read(self, *args: Any, **options: Any) -> FeedPage:
        await asyncio.sleep(1)
        return await super().read(*args, **options)


@pytest.mark.parametrize("ends", ["stopped", "failing"])
def test_a_page_that_is_read_ahead_is_given_up_with_the_one_before_it(ends: str) -> None:
    """Nothing reads from a store that may be closed by then."""

    async def main() -> None:
        log = SlowToRead()
        await appended(log, "note-1", *range(1_000))
        follower = Failing(log, *[ValueError("a bug")] if ends == "failing" else ())
        follower.before = partial(asyncio.sleep, 0.5)
        following, task = working(follower)
        await until(lambda: bool(follower.asked_at))
        if ends == "failing":
            await until(lambda: following.state == "failing")
        else:
            assert ahead()
            await stopped(task)
        assert not ahead()
        await stopped(task)

    def ahead() -> list[str]:
        return [name for task in asyncio.all_tasks() if "reads ahead" in (name := task.get_name())]

    virtual_time.run(main())


@pytest.mark.parametrize("error", [Unavailable("down"), ValueError("a bug")])
def test_errors_back_off_and_go_on(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        follower = Failing(log, *[error] * 12)
        following, task = working(follower)
        await until(lambda: following.state == "failing")
        assert following.error == f"{type(error).__name__}: {error}"
        await until(lambda: follower.seen == [1])
        assert (following.state, following.error) == ("following", None)
        pauses = [after - before for before, after in pairwise(follower.asked_at)]
        assert [round(pause, 6) for pause in pauses[:4]] == [0.05, 0.1, 0.2, 0.4]
        assert round(max(pauses), 6) == LONGEST_PAUSE_S
        follower.errors.append(error)
        await appended(log, "note-1", "b")
        await until(lambda: follower.seen == [1, 2])
        assert round(follower.asked_at[-1] - follower.asked_at[-2], 6) == 0.05, "it was well in between"
        await stopped(task)

    virtual_time.run(main())
    logged = [record for record in caplog.records if record.levelname == "ERROR" and str(error) in record.message]
    assert logged
    is_of_code = isinstance(error, ValueError)
    assert all((record.exc_info is not None) == is_of_code for record in logged), "a traceback only where it helps"


class Refusing(Noting):
    """A follower that handles a page, and learns only afterwards that it was not stored."""

    def __init__(self, log: MemoryLog, times: int) -> None:
        super().__init__(log)
        self.times, self.asked_at, self.states = times, list[float](), list[str]()
        self.following = Following(self, log, log.checkpoints, "worker")

    async def handle(self, claim: Claim, after: Position, page: FeedPage) -> None:
        self.asked_at.append(now())
        self.states.append(self.following.state)
        if len(self.asked_at) > self.times:
            await super().handle(claim, after, page)

    async def flush(self) -> None:
        if 0 < len(self.asked_at) <= self.times:
            raise Unavailable("not stored")


def test_a_page_that_was_handled_but_not_stored_is_a_failure_until_it_is_stored() -> None:
    """The pauses grow, and the state says so, although each try begins well."""

    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        follower = Refusing(log, 4)
        task = asyncio.create_task(follower.following.run())
        await until(lambda: follower.seen == [1])
        assert follower.states == ["following", *["failing"] * 4]
        pauses = [round(later - earlier, 6) for earlier, later in pairwise(follower.asked_at)]
        assert pauses == [0.05, 0.1, 0.2, 0.4]
        await until(lambda: follower.following.state == "following")
        await stopped(task)

    virtual_time.run(main())


@pytest.mark.parametrize("error", [LogReplaced("replaced"), ConfigurationError("wrong")])
def test_what_going_on_cannot_mend_stops_it(error: Exception) -> None:
    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        following, task = working(Failing(log, error))
        await asyncio.wait_for(task, 60)
        assert (following.state, following.error) == ("stopped", str(error))
        found = await log.checkpoints.read(ONE)
        assert found is not None
        assert found.owner is None, "another worker need not wait for the lease"

    virtual_time.run(main())


@pytest.mark.parametrize(("log_id", "position"), [("f" * 16, at(1)), (None, at(2))], ids=["foreign", "beyond the head"])
def test_g11_a_replaced_log_stops_it_before_anything_is_handled(log_id: str | None, position: Position) -> None:
    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        await log.checkpoints.register(ONE, log_id or log.log_id, position)
        follower = Noting(log)
        following, task = working(follower)
        await asyncio.wait_for(task, 60)
        assert following.state == "stopped"
        assert "twofold rebuild" in (following.error or "")
        assert follower.seen == []

    virtual_time.run(main())


def test_a_store_that_is_away_at_the_start_and_at_the_end_is_borne() -> None:
    """Claims, heartbeats and releases all fail: it keeps running, and it stops when asked."""

    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        follower = Noting(log)
        following, task = working(follower)
        checkpoints: Any = log.checkpoints
        real = checkpoints.read, checkpoints.beat, checkpoints.release

        async def away(*_: Any) -> None:
            raise Unavailable("down")

        checkpoints.read = away
        await until(lambda: following.state == "failing")
        checkpoints.read = real[0]
        await until(lambda: follower.seen == [1])
        checkpoints.beat = away
        await asyncio.sleep(LEASE_S * 2)
        assert following.state == "following"
        checkpoints.release = away
        await stopped(task)
        assert task.cancelled()

    virtual_time.run(main())


def test_who_is_stopped_while_claiming_lets_go_of_what_he_got() -> None:
    """Otherwise it would look held by a worker that is gone, for the length of a lease."""

    async def main() -> None:
        log = MemoryLog()
        checkpoints: Any = log.checkpoints
        claim, asked = checkpoints.claim, asyncio.Event()

        async def slow(*arguments: Any) -> Claim | None:
            asked.set()
            await asyncio.sleep(1)
            taken: Claim | None = await claim(*arguments)
            return taken

        checkpoints.claim = slow
        _, task = working(Noting(log))
        await asked.wait()
        await stopped(task)
        await asyncio.sleep(2)
        found = await log.checkpoints.read(ONE)
        assert found is not None
        assert found.owner is None

    virtual_time.run(main())


@pytest.mark.parametrize("while_it", ["settles", "releases"])
def test_who_is_stopped_while_letting_go_lets_go(while_it: str) -> None:
    """It was about to release because the store had failed: stopped in the middle of that, it must still release."""

    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        follower, asked = Failing(log, Unavailable("down")), asyncio.Event()
        checkpoints: Any = log.checkpoints
        release = checkpoints.release

        async def slowly(claim: Claim | None = None) -> None:
            asked.set()
            await asyncio.sleep(1)
            if claim is not None:
                await release(claim)

        if while_it == "settles":
            follower.flush = slowly  # type: ignore[method-assign]
        else:
            checkpoints.release = slowly
        _, task = working(follower)
        await asked.wait()
        await stopped(task)
        found = await log.checkpoints.read(ONE)
        assert found is not None
        assert (found.owner, found.epoch) == (None, 1)

    virtual_time.run(main())


def test_who_is_stopped_while_claiming_stops_although_the_store_goes_away() -> None:
    async def main() -> None:
        log = MemoryLog()
        checkpoints: Any = log.checkpoints
        asked = asyncio.Event()

        async def goes_away(*_: Any) -> None:
            asked.set()
            await asyncio.sleep(1)
            raise Unavailable("down")

        checkpoints.claim = goes_away
        _, task = working(Noting(log))
        await asked.wait()
        task.cancel()
        await asyncio.sleep(2)
        assert task.cancelled()

    virtual_time.run(main())


def test_who_is_stopped_while_he_leaves_gives_no_more_signs_of_life() -> None:
    """The log is down, so it releases while a page is still being committed, and is stopped just then."""

    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        settling = asyncio.Event()

        class Settling(Noting):
            async def flush(self) -> None:
                if self.errors:
                    settling.set()
                    await asyncio.sleep(1)

            async def handle(self, claim: Claim, after: Position, page: FeedPage) -> None:
                self.errors = True
                raise Unavailable("the log is away")

            errors = False

        _, task = working(Settling(log))
        await settling.wait()
        await stopped(task)
        left = await log.checkpoints.read(ONE)
        await asyncio.sleep(LEASE_S)
        assert left == await log.checkpoints.read(ONE)
        assert left is not None
        assert left.owner is None

    virtual_time.run(main())


def test_who_waits_for_events_notices_that_the_store_has_gone_back() -> None:
    """A crash loses what was not synced: position and rows. The feed delivers again, even without new events."""

    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a", "b")
        follower = Noting(log)
        following, task = working(follower)
        await until(lambda: follower.seen == [1, 2])
        rows = log.checkpoints.rows
        rows[ONE] = msgspec.structs.replace(rows[ONE], position=at(1))
        await until(lambda: follower.seen == [1, 2, 2])
        assert (following.state, rows[ONE].position) == ("following", at(2))
        await stopped(task)

    virtual_time.run(main())


def test_pages_grow_while_it_is_behind_and_are_small_at_the_head() -> None:
    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", *range(10_000))
        follower = Noting(log)
        sizes: list[int] = []
        handle = follower.handle

        async def noting(claim: Claim, after: Position, page: FeedPage) -> None:
            sizes.append(page.upto.offset - after.offset)
            await handle(claim, after, page)

        follower.handle = noting  # type: ignore[method-assign]
        _, task = working(follower)
        await until(lambda: len(follower.seen) == 10_000)
        assert sizes[0] < sizes[1] < sizes[2] < 10_000
        assert max(sizes) == sizes[-2]
        behind_again = len(sizes)
        await appended(log, "note-1", *range(1_000))
        await until(lambda: len(follower.seen) == 11_000)
        assert sizes[behind_again] == sizes[0], "what comes next is handled soon"
        await stopped(task)

    virtual_time.run(main())


def test_catching_up_ends_at_the_head_and_lets_go() -> None:
    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", *range(9_000))
        follower = Noting(log)
        following = Following(follower, log, log.checkpoints, "worker")
        positions = [position async for position in following.catch_up()]
        assert positions == sorted(positions)
        assert positions[-1] == at(9_000)
        assert follower.seen == list(range(1, 9_001))
        found = await log.checkpoints.read(ONE)
        assert found is not None
        assert (found.owner, found.position) == (None, at(9_000))

    virtual_time.run(main())


@pytest.mark.parametrize("pages", [1, 2])
def test_catching_up_is_stopped_after_a_page_and_goes_on_from_there(pages: int) -> None:
    """With the same hold on the checkpoint: what was handled is not handled again."""

    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", *range(9_000))
        follower = Noting(log)
        following = Following(follower, log, log.checkpoints, "worker")
        async with following.held() as held:
            async with aclosing(held.catch_up()) as positions:
                for _ in range(pages):
                    reached = await anext(positions)
            assert held.position == reached < at(9_000)
            rest = [position async for position in held.catch_up()]
        assert rest[0] > reached
        assert held.position == rest[-1] == at(9_000)
        assert follower.seen == list(range(1, 9_001))

    virtual_time.run(main())


def test_g5_who_gives_signs_of_life_keeps_what_is_looked_at_for_having_been_left() -> None:
    """A version, and a table that is built beside one, which may just have been begun."""

    async def main() -> None:
        log = MemoryLog()
        for follower in (ONE, ONE.beside("new")):
            await log.checkpoints.register(follower, log.log_id, BEGINNING)
            for beats in (1, 0):
                seen = await log.checkpoints.read(follower)
                assert seen is not None
                claim = await log.checkpoints.claim(seen, "holder")
                assert claim is not None
                if beats:
                    async with (
                        heartbeats(log.checkpoints, claim),
                        taken_over_if_silent(log.checkpoints, follower, "cleaner") as is_free,
                    ):
                        assert not is_free
                        assert await log.checkpoints.beat(claim) is None
                else:
                    async with taken_over_if_silent(log.checkpoints, follower, "cleaner") as is_free:
                        assert is_free

    virtual_time.run(main())


def test_g5_what_is_claimed_while_it_is_looked_at_for_having_been_left_stays_held() -> None:
    """A table beside a version: free at the first look, or not there yet, and then a builder goes on with it."""

    async def main() -> None:
        for registered in (True, False):
            log, beside = MemoryLog(), ONE.beside("new")

            async def goes_on(log: MemoryLog = log, beside: FollowerId = beside) -> Claim | None:
                await asyncio.sleep(LEASE_S / 2)
                await log.checkpoints.register(beside, log.log_id, BEGINNING)
                seen = await log.checkpoints.read(beside)
                assert seen is not None
                return await log.checkpoints.claim(seen, "builder")

            if registered:
                await log.checkpoints.register(beside, log.log_id, BEGINNING)
            building = asyncio.create_task(goes_on())
            async with taken_over_if_silent(log.checkpoints, beside, "cleaner") as is_free:
                assert not is_free
            claim = await building
            assert claim is not None
            assert await log.checkpoints.beat(claim) is None

    virtual_time.run(main())


class Process:
    """The followers of one process, on one log."""

    def __init__(self, log: MemoryLog, owner: str, names: list[str]) -> None:
        self.owner = owner
        self.followings = [Following(named(log, name), log, log.checkpoints, owner) for name in names]
        share(self.followings)
        self.tasks = [asyncio.create_task(following.run()) for following in self.followings]

    @property
    def follows(self) -> int:
        return sum(following.state == "following" for following in self.followings)

    async def stop(self) -> None:
        await asyncio.gather(*map(stopped, self.tasks))


def named(log: MemoryLog, name: str) -> Noting:
    follower = Noting(log)
    follower.follows = FollowerId(name)
    return follower


@pytest.mark.parametrize("followers", [2, 5, 12])
def test_a_process_that_joins_later_is_given_its_share(followers: int) -> None:
    async def main() -> None:
        log = MemoryLog()
        names = [f"follower_{n}" for n in range(followers)]
        processes = [Process(log, "first", names)]
        await until(lambda: processes[0].follows == followers)
        for owner in ("second", "third"):
            processes.append(Process(log, owner, names))
            began = now()
            await until(lambda: shared_out(processes, followers))
            assert now() - began < 2 * LEASE_S * followers
            taken = [following.counts.claims for process in processes for following in process.followings]
            await asyncio.sleep(10 * LEASE_S)
            assert shared_out(processes, followers)
            assert taken == [f.counts.claims for process in processes for f in process.followings], "and then all rest"
        for name in names:
            await appended(log, f"note-{name}", 1)
        await until(lambda: sum(len(f.follower.seen) for p in processes for f in p.followings) == followers**2)  # type: ignore[attr-defined]
        await processes.pop(0).stop()
        await until(lambda: shared_out(processes, followers))
        for process in processes:
            await process.stop()

    virtual_time.run(main())


def test_a_process_that_always_has_another_page_gives_one_that_joins_its_share() -> None:
    """It hands over between two pages, and need not have come to the head."""

    async def main() -> None:
        log = MemoryLog()
        names = ["one", "two", "three", "four"]
        busy = Process(log, "busy", names)

        async def takes_longer_than_until_the_next_event() -> None:
            await asyncio.sleep(1)

        async def write() -> None:
            while True:
                await appended(log, "note-1", "next")
                await asyncio.sleep(0.1)

        writing = asyncio.create_task(write())
        for following in busy.followings:
            following.follower.before = takes_longer_than_until_the_next_event  # type: ignore[attr-defined]
        await until(lambda: busy.follows == 4)
        joining = Process(log, "joining", names)
        await asyncio.sleep(10 * LEASE_S)
        assert (busy.follows, joining.follows) == (2, 2)
        for process in (busy, joining):
            await process.stop()
        await stopped(writing)

    virtual_time.run(main())


def shared_out(processes: list[Process], followers: int) -> bool:
    shares = [process.follows for process in processes]
    return sum(shares) == followers and max(shares) - min(shares) <= 1


def test_a_process_that_fails_does_not_ask_for_more() -> None:
    """A follower it would take over would only fail again."""

    async def main() -> None:
        log = MemoryLog()
        names = ["one", "two", "three", "four"]
        healthy = Process(log, "healthy", names)
        await until(lambda: healthy.follows == 4)
        failing = Process(log, "failing", names)
        for following in failing.followings:
            following.follower = Failing(log, *[Unavailable("no disk")] * 1_000)
            following.follower.follows = FollowerId(names[failing.followings.index(following)])
        events = 0
        while healthy.follows < 4 or not all(following.state == "failing" for following in failing.followings):
            await appended(log, "note-1", events)
            await asyncio.sleep(LEASE_S / 10)
            events += 1
        claims = [following.counts.claims for following in failing.followings]
        for n in range(200):
            await appended(log, "note-2", n)
            await asyncio.sleep(LEASE_S / 10)
        assert claims == [following.counts.claims for following in failing.followings]
        await until(lambda: sum(len(f.follower.seen) for f in healthy.followings) == 4 * (events + 200))  # type: ignore[attr-defined]
        await healthy.stop()
        await failing.stop()

    virtual_time.run(main())


def test_g7_an_operator_takes_a_checkpoint_over_from_a_worker_that_goes_on() -> None:
    """What it has seen is outdated when it claims: the worker has sent a heartbeat, or was replaced by another one."""

    async def main(times: int) -> None:
        log = MemoryLog()
        checkpoints, claims = log.checkpoints, [await holder(log)]
        claim = checkpoints.claim

        async def late(seen: Checkpoint, owner: str) -> Claim | None:
            nonlocal times
            if owner == "operator" and times:
                times -= 1
                await checkpoints.beat(claims[-1])
                if times % 2:
                    now = await checkpoints.read(ONE)
                    assert now is not None
                    other = await claim(now, f"worker {times}")
                    assert other is not None
                    claims.append(other)
            return await claim(seen, owner)

        checkpoints.claim = late  # type: ignore[method-assign]
        async with taken_over(checkpoints, ONE, "operator") as (taken, seen):
            assert (taken.epoch, seen.epoch) == (claims[-1].epoch + 1, claims[-1].epoch)
            with pytest.raises(LeaseLost):
                await checkpoints.beat(claims[-1])
        assert times == 0

    for times in range(5):
        virtual_time.run(main(times))


def test_g7_an_operator_who_loses_a_checkpoint_is_told_to_try_again() -> None:
    """It is no error of what the operator wanted to do."""

    async def main() -> None:
        log = MemoryLog()
        await holder(log)

        async def overtaken() -> None:
            async with taken_over(log.checkpoints, ONE, "operator") as (claim, now):
                seen = await log.checkpoints.read(ONE)
                assert seen is not None
                assert await log.checkpoints.claim(seen, "another") is not None
                await log.checkpoints.advance(claim, now.position, now.position)

        with pytest.raises(Contended, match="one v1: another worker took its checkpoint over meanwhile; try again"):
            await overtaken()
        kept = await log.checkpoints.read(ONE)
        assert kept is not None
        assert kept.owner == "another"

    virtual_time.run(main())


@pytest.mark.parametrize("upto", [at(3), None])
@pytest.mark.parametrize("beyond", [0, 3])
@pytest.mark.parametrize("fails", [False, True])
def test_whoever_catches_up_to_a_place_has_stored_the_last_page_by_then(
    upto: Position | None, beyond: int, fails: bool
) -> None:
    """Pages are stored while the next one is handled, and there may be none. If it fails, that is not hidden."""

    class Later(Noting):
        handled: tuple[Claim, Position, FeedPage] | None = None

        async def handle(self, claim: Claim, after: Position, page: FeedPage) -> None:
            await self.flush()
            self.handled = claim, after, page

        async def flush(self) -> None:
            if self.handled is not None:
                handled, self.handled = self.handled, None
                if fails and handled[2].upto >= at(3):
                    raise Unavailable("down")
                await super().handle(*handled)

    async def main() -> None:
        log = MemoryLog()
        follower = Later(log)
        follower.largest_page = 3
        following = Following(follower, log, log.checkpoints, "worker")
        await appended(log, "note-1", *range(3 + beyond))
        async with following.held() as held:
            catching_up = all_of_them(held.catch_up(upto))
            if fails:
                with pytest.raises(Unavailable, match="down"):
                    await catching_up
            else:
                assert await catching_up == [at(3), at(6)][: 1 if upto or not beyond else 2]
            seen = await log.checkpoints.read(ONE)
            assert seen is not None
            assert seen.position == (BEGINNING if fails else upto or await log.head())

    virtual_time.run(main())


async def all_of_them(positions: AsyncGenerator[Position, None]) -> list[Position]:
    async with aclosing(positions):
        return [position async for position in positions]


def test_whoever_catches_up_does_what_is_due_without_new_events() -> None:
    """Such as showing a version: once at the end, no matter whether there were any."""

    class Tending(Noting):
        tended: list[Position]

        async def tend(self, claim: Claim, position: Position) -> None:
            self.tended.append(position)

    async def main() -> None:
        log = MemoryLog()
        follower = Tending(log)
        following = Following(follower, log, log.checkpoints, "worker")
        for events in (3, 0, 1):
            follower.tended = []
            await appended(log, "note-1", *range(events))
            async with aclosing(following.catch_up()) as positions:
                async for _ in positions:
                    pass
            assert follower.tended == [await log.head()]

    virtual_time.run(main())


def test_who_follows_nothing_else_keeps_what_another_worker_asks_for() -> None:
    """As where two ask at once for two that it follows: it gives one away, and keeps the other."""

    async def main() -> None:
        log = MemoryLog()
        await appended(log, "note-1", "a")
        follower = Noting(log)
        following, task = working(follower)
        share([following])
        await until(lambda: follower.seen == [1])
        seen = await log.checkpoints.read(ONE)
        assert seen is not None
        await log.checkpoints.request_handover(seen, "another")
        for _ in range(4):
            await asyncio.sleep(LEASE_S / 2)
            await appended(log, "note-1", "b")
        await until(lambda: follower.seen == [1, 2, 3, 4, 5])
        assert (following.counts.claims, following.state) == (1, "following")
        await stopped(task)

    virtual_time.run(main())
