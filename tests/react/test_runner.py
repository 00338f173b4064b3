"""A reactor's runner: where its partition may split, and what it retries, gives up and leaves to others."""

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest

from twofold import App
from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.errors import Closed, LeaseLost, LogReplaced, Rejected, Unavailable
from twofold.failures import mark_of_user_code
from twofold.feed import parking_limit
from twofold.feed.checkpoints import Claim, FollowerId, Parked
from twofold.feed.feed import FeedPage
from twofold.feed.parking_limit import MOST_PARKED, WITHIN_S
from twofold.messages import BEGINNING, Meta, Position, Recorded
from twofold.react.reactor import Reactor, To
from twofold.react.runner import PAUSES_S, Runner
from twofold.testing import virtual_time
from twofold.testing.conformance.bank import Deposit, Deposited, accounts, bank, deposited, forward, forwarding
from twofold.testing.conformance.checkpoints import claimed
from twofold.testing.conformance.material import appended
from twofold.testing.simulation.loop import SimulatedLoop


async def test_g7_who_held_a_partition_that_has_split_reacts_to_nothing_more() -> None:
    """What is parked has gone to the parts with their checkpoints: here its stream would seem to be in order."""
    log, asked = MemoryLog(Ambient()), list[Any]()

    async def carry_out(*command: Any) -> None:
        asked.append(command)

    await deposited(log, "a", 1, 2, to="b")
    checkpoints, follower = log.checkpoints, forwarding.follows
    await checkpoints.register(follower, log.log_id, BEGINNING)
    zombie = await claimed(checkpoints, follower)
    bad = Parked("stream", "account-a", Position(0, 1), "Error", Ambient().now())
    await checkpoints.advance(zombie, BEGINNING, Position(0, 1), [bad])
    runner = Runner(forwarding, log, checkpoints, carry_out, bank.codec, Ambient(), may_split=True)

    seen = await checkpoints.read(follower)
    assert seen is not None
    other = await checkpoints.claim(seen, "other")
    assert other is not None
    await checkpoints.split(other, Position(0, 1), {1: await checkpoints.parked(follower), 2: []})

    with pytest.raises(LeaseLost, match="no longer in epoch"):
        await runner.handle(zombie, Position(0, 1), await log.read(Position(0, 1), 10))
    assert asked == []


@pytest.mark.parametrize("after", ["read", "parked"])
async def test_g7_a_partition_that_splits_between_two_looks_lets_no_later_event_pass(after: str) -> None:
    """Of a stream that is parked: either it has been seen to be, or nothing is reacted to."""
    log, asked = MemoryLog(Ambient()), list[Any]()

    async def carry_out(decider: Any, id: str, command: Any, meta: Meta) -> None:
        asked.append(command.amount)

    await deposited(log, "a", 1, 2, to="b")
    checkpoints: Any = log.checkpoints
    claim = await holding(log)
    bad = Parked("stream", "account-a", Position(0, 1), "Error", Ambient().now())
    await checkpoints.advance(claim, BEGINNING, Position(0, 1), [bad])
    look = getattr(checkpoints, after)

    async def looked(follower: FollowerId) -> Any:
        setattr(checkpoints, after, look)
        found = await look(follower)
        other = await claimed(checkpoints, follower, "other")
        await checkpoints.split(other, Position(0, 1), {1: [bad], 2: []})
        return found

    setattr(checkpoints, after, looked)
    runner = Runner(forwarding, log, checkpoints, carry_out, bank.codec, Ambient(), may_split=True)
    with pytest.raises(LeaseLost):
        await runner.handle(claim, Position(0, 1), await log.read(Position(0, 1), 10))
    assert asked in ([], [1, 2])


class Target:
    """Where commands go. `error` is raised for a command until there is none, or for deposits of `bad` only."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.bad = error, frozenset[int]()
        self.done: Counter[str] = Counter()

    async def carry_out(self, decider: Any, id: str, command: Any, meta: Meta) -> None:
        if self.error is not None and (not self.bad or command.amount in self.bad):
            raise self.error.with_traceback(None)  # it is raised hundreds of times
        self.done[id] += 1

    def runner(self, log: MemoryLog) -> Runner:
        return Runner(forwarding, log, log.checkpoints, self.carry_out, bank.codec, Ambient())


async def holding(log: MemoryLog) -> Claim:
    await log.checkpoints.register(forwarding.follows, log.log_id, BEGINNING)
    return await claimed(log.checkpoints, forwarding.follows)


async def parked(log: MemoryLog) -> list[Parked]:
    return list(await log.checkpoints.parked(forwarding.follows))


def test_g7_a_stream_is_retried_on_time_although_only_events_come_that_nobody_reacts_to() -> None:
    async def main() -> None:
        log, target = MemoryLog(), Target(ValueError("away"))
        await deposited(log, "a", 1, to="b")
        claim, runner = await holding(log), target.runner(log)
        page = await log.read(BEGINNING, 10)
        await runner.handle(claim, BEGINNING, page)
        assert await parked(log)
        target.error = None
        await asyncio.sleep(PAUSES_S[0])
        await appended(log, "note-1", "unwanted")
        await runner.handle(claim, page.upto, FeedPage([], await log.head(), more=False))
        assert target.done == {"b": 1}
        assert not await parked(log)

    virtual_time.run(main())


def test_g7_each_stream_is_retried_at_its_own_time() -> None:
    """It does not wait for those that failed later."""

    async def main() -> None:
        log, target, at = MemoryLog(), Target(ValueError("away")), BEGINNING
        claim, runner = await holding(log), target.runner(log)
        for name in ("a", "c"):
            await deposited(log, name, 1, to=f"of {name}")
            page = await log.read(at, 10)
            await runner.handle(claim, at, page)
            at = page.upto
            await asyncio.sleep(PAUSES_S[0] / 2)
        target.error = None
        await runner.tend(claim, at)
        assert target.done == {"of a": 1}
        assert [one.key for one in await parked(log)] == ["account-c"]

    virtual_time.run(main())


def test_g7_an_event_that_comes_as_its_stream_is_retried_is_reacted_to_once() -> None:
    """It is in the page, and would be in the history that is read again."""

    async def main() -> None:
        log, target = MemoryLog(), Target(ValueError("away"))
        await deposited(log, "a", 1, 2, to="b")
        claim, runner = await holding(log), target.runner(log)
        page = await log.read(BEGINNING, 10)
        await runner.handle(claim, BEGINNING, page)
        target.error = None
        await asyncio.sleep(PAUSES_S[0])
        await deposited(log, "a", 4, 8, to="b")
        later = await log.read(page.upto, 10)
        await runner.handle(claim, page.upto, later)
        assert target.done == {"b": 4}
        assert not await parked(log)
        await runner.tend(claim, later.upto)
        assert target.done == {"b": 4}

    virtual_time.run(main())


@pytest.mark.parametrize("comes_later", [False, True])
def test_g7_the_next_event_of_a_stream_that_fails_gets_all_its_tries(comes_later: bool) -> None:
    """Those of the event before it do not count, but the stream has been parked since then.

    The event waits with the one before, or comes in a page just as that one is retried.
    """

    async def main() -> None:
        log, target = MemoryLog(), Target(ValueError("away"))
        await deposited(log, "a", *([1] if comes_later else [1, 2]), to="b")
        claim, runner = await holding(log), target.runner(log)
        page = await log.read(BEGINNING, 10)
        await runner.handle(claim, BEGINNING, page)
        [first] = await parked(log)
        upto = page.upto
        for tries, pause_s in enumerate(PAUSES_S[:3], 1):
            assert [one.tries for one in await parked(log)] == [tries]
            target.bad = frozenset({2} if tries == 3 else {1, 2})
            await asyncio.sleep(pause_s)
            if comes_later and tries == 3:
                await deposited(log, "a", 2, to="b")
                later = await log.read(upto, 10)
                await runner.handle(claim, upto, later)
                upto = later.upto
            else:
                await runner.tend(claim, upto)
        [second] = await parked(log)
        assert (second.position, second.tries, second.since) == (Position(0, 2), 1, first.since)
        assert target.done == {"b": 1}
        await asyncio.sleep(PAUSES_S[0])
        target.error = None
        await runner.tend(claim, upto)
        assert target.done == {"b": 2}

    virtual_time.run(main())


async def too_many_fail(log: MemoryLog, target: Target) -> tuple[Claim, Runner, FeedPage]:
    """One more stream than the limit of what may be given up; the page has been handled."""
    for number in range(MOST_PARKED + 1):
        await deposited(log, f"a{number}", 1, to="b")
    claim, runner = await holding(log), target.runner(log)
    page = await log.read(BEGINNING, 1_000)
    await runner.handle(claim, BEGINNING, page)
    return claim, runner, page


def test_g7_while_too_many_streams_fail_to_go_on_they_are_retried() -> None:
    """New events wait for that, and come one after another; then it goes on where it was."""

    async def main() -> None:
        log, target = MemoryLog(), Target(ValueError("away"))
        claim, runner, page = await too_many_fail(log, target)
        await deposited(log, "new", 1, to="c")
        news = await log.read(page.upto, 10)
        with pytest.raises(Unavailable, match="more than 100 streams are failing"):
            await runner.handle(claim, page.upto, news)
        target.error = None
        await asyncio.sleep(PAUSES_S[0])
        with pytest.raises(Unavailable):
            await runner.handle(claim, page.upto, news)
        assert target.done == {"b": MOST_PARKED + 1}
        await runner.handle(claim, page.upto, news)
        assert target.done == {"b": MOST_PARKED + 1, "c": 1}

    virtual_time.run(main())


def test_g7_any_number_of_streams_may_fail_for_a_moment() -> None:
    """Only what is given up counts to the limit that stops a reactor."""

    async def main() -> None:
        log, target = MemoryLog(), Target(ValueError("away"))
        claim, runner, page = await too_many_fail(log, target)
        assert len(await parked(log)) == MOST_PARKED + 1
        target.error = None
        await asyncio.sleep(PAUSES_S[0])
        await runner.tend(claim, page.upto)
        assert target.done == {"b": MOST_PARKED + 1}
        assert not await parked(log)

    virtual_time.run(main())


def test_g7_what_an_operator_has_to_decide_on_does_not_hold_up_new_events() -> None:
    """However much it has become in the course of time."""

    async def main() -> None:
        log, target, at = MemoryLog(), Target(Rejected("no")), BEGINNING
        claim, runner = await holding(log), target.runner(log)
        for day in range(2):
            for number in range(MOST_PARKED):
                await deposited(log, f"a{day}-{number}", 1, to="b")
            page = await log.read(at, 1_000)
            await runner.handle(claim, at, page)
            at = page.upto
            await asyncio.sleep(2 * WITHIN_S)
        target.error = None
        await deposited(log, "new", 1, to="b")
        await runner.handle(claim, at, await log.read(at, 10))
        assert target.done == {"b": 1}
        assert len(await parked(log)) == 2 * MOST_PARKED

    virtual_time.run(main())


@pytest.mark.parametrize("first", ["good", "bad"])
async def test_g7_what_the_store_cannot_do_now_comes_before_what_a_reaction_cannot(first: str) -> None:
    """Of the commands of one event: its stream is not parked for one that may be carried out the next time."""
    log = MemoryLog()

    def both(event: Deposited, recorded: Recorded) -> list[To]:
        return [To(accounts, id_, Deposit(1)) for id_ in sorted(("good", "bad"), key=first.__ne__)]

    async def carry_out(decider: Any, id: str, command: Any, meta: Meta) -> None:
        if id == "good":
            raise Unavailable("down")
        raise Rejected("no")

    await deposited(log, "a", 1)
    reactor = Reactor("forwarding", both, start="beginning")
    claim, runner = await holding(log), Runner(reactor, log, log.checkpoints, carry_out, bank.codec, Ambient())
    with pytest.raises(Unavailable):
        await runner.handle(claim, BEGINNING, await log.read(BEGINNING, 10))
    assert await parked(log) == []


async def test_g7_a_log_that_is_closed_while_its_reactor_acts_parks_nothing() -> None:
    """It says nothing about the reaction, which an operator would otherwise find among those that fail."""
    log, target = MemoryLog(), Target(Closed("the log"))
    await deposited(log, "a", 1, to="b")
    claim, runner = await holding(log), target.runner(log)
    with pytest.raises(Closed):
        await runner.handle(claim, BEGINNING, await log.read(BEGINNING, 10))
    assert await parked(log) == []


@pytest.mark.parametrize("error", [Unavailable, Closed, LogReplaced, TimeoutError])
@pytest.mark.parametrize("where", ["decide", "react"])
async def test_g7_what_user_code_raises_parks_its_stream_and_no_other(error: type[Exception], where: str) -> None:
    """Even an error of twofold's own, which from the store would make the whole reactor wait, or stop it."""
    log, done = MemoryLog(), list[str]()

    def react(event: Deposited, recorded: Recorded) -> list[To]:
        if where == "react" and event.to == "bad":
            raise error("no")
        return forward(event, recorded)

    async def carry_out(decider: Any, id: str, command: Any, meta: Meta) -> None:
        if id == "bad":
            own = error("no")
            mark_of_user_code(own)
            raise own
        done.append(id)

    for id_, to in (("a", "bad"), ("b", "good"), ("c", "bad")):
        await deposited(log, id_, 1, to=to)
    reactor = Reactor("forwarding", react, start="beginning")
    claim, runner = await holding(log), Runner(reactor, log, log.checkpoints, carry_out, bank.codec, Ambient())
    await runner.handle(claim, BEGINNING, await log.read(BEGINNING, 10))
    assert done == ["good"]
    assert [(one.key, one.error) for one in await parked(log)] == [
        (f"account-{id_}", f"{error.__name__}: {error('no')}") for id_ in "ac"
    ]


async def test_g7_what_could_not_be_stored_does_not_count_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is delivered again each time, and each failing event in it is given up once."""
    monkeypatch.setattr(parking_limit, "MOST_PARKED", 6)
    log, target = MemoryLog(), Target(Rejected("no"))
    for number in range(3):
        await deposited(log, f"a{number}", 1, to="b")
    claim, runner = await holding(log), target.runner(log)
    page = await log.read(BEGINNING, 1_000)
    checkpoints: Any = log.checkpoints
    advance = checkpoints.advance

    async def away(*_: Any) -> None:
        raise Unavailable("down")

    checkpoints.advance = away
    for _ in range(5):
        with pytest.raises(Unavailable):
            await runner.handle(claim, BEGINNING, page)
    checkpoints.advance = advance
    await runner.handle(claim, BEGINNING, page)
    assert len(await parked(log)) == 3


async def test_g7_two_operators_who_saw_the_same_retry_it_once() -> None:
    log, target = MemoryLog(), Target(Rejected("no"))
    await deposited(log, "a", 1, to="b")
    claim, runner = await holding(log), target.runner(log)
    await runner.handle(claim, BEGINNING, await log.read(BEGINNING, 10))
    seen = await parked(log)
    target.error = None
    first = await runner.retry(seen, "one")
    second = await runner.retry(seen, "another")
    assert (first.events, second.events) == (1, 0)
    assert target.done == {"b": 1}


async def test_all_that_follows_from_a_command_has_its_correlation_id_and_names_its_cause() -> None:
    """Also where a reaction causes the next one, and where it is carried out after a retry."""
    relay = {"b": "c", "c": "d"}

    def react(event: Deposited, recorded: Recorded) -> list[To]:
        target = event.to or relay.get(recorded.stream.id)
        return [To(accounts, target, Deposit(event.amount))] if target else []

    log, reactor = MemoryLog(), Reactor("forwarding", react, start="beginning")
    app = App("relay", deciders=[accounts], reactors=[reactor])
    async with app.open(log, read_store=MemoryReadStore()) as running:
        await running.execute(accounts, "a", Deposit(1, "b"), command_id="first", correlation_id="all", actor="ann")
        await running.execute(accounts, "x", Deposit(1, "b"), command_id="second")
        await running.settled(timeout_s=10)
        found = [one for name in "abcd" for one in await running.history(f"account-{name}")]
    assert [(one.id, one.correlation_id, one.causation_id) for one in found] == [
        ("account-a@1", "all", None),
        *[
            (f"account-{name}@{version}", {1: "all", 2: "second"}[version], f"account-{cause}@{at}")
            for name, causes in (("b", ["a@1", "x@1"]), ("c", ["b@1", "b@2"]), ("d", ["c@1", "c@2"]))
            for version, (cause, at) in enumerate((each.split("@") for each in causes), 1)
        ],
    ]
    assert {one.actor for one in found[1:]} == {"reactor forwarding"}


class Slow(MemoryLog):
    """A log that is read in several steps. `readers` are those that have begun, and not ended."""

    readers = 0

    def __init__(self) -> None:
        super().__init__()
        self.is_read = asyncio.Event()

    async def read(self, *args: Any) -> FeedPage:
        """As any, but later."""
        self.readers += 1
        self.is_read.set()
        try:
            for _ in range(4):
                await asyncio.sleep(0)
            return await super().read(*args)
        finally:
            self.readers -= 1


@pytest.mark.parametrize("seed", range(40))
def test_one_that_is_cancelled_stops_once_all_it_has_begun_has_stopped(seed: int) -> None:
    """Whichever of the streams it retries have begun by then: one that is being read cannot be closed from outside."""
    loop = SimulatedLoop(Random(seed))  # type: ignore[abstract]

    async def main() -> None:
        log, target = Slow(), Target(ValueError("away"))
        for name in "abcdefgh":
            await deposited(log, name, 1, to=f"of-{name}")
        claim, runner = await holding(log), target.runner(log)
        page = await log.read(BEGINNING, 10)
        await runner.handle(claim, BEGINNING, page)
        assert len(await parked(log)) == 8
        await asyncio.sleep(PAUSES_S[0])
        target.error = None
        log.is_read.clear()
        retrying = asyncio.ensure_future(runner.tend(claim, page.upto))
        await log.is_read.wait()
        retrying.cancel()
        await asyncio.wait([retrying])
        assert retrying.cancelled(), retrying
        assert log.readers == 0
        assert len(await parked(log)) == 8
        await asyncio.wait_for(runner.tend(claim, page.upto), 60)
        assert not await parked(log)

    loop.run_until_complete(main())
    assert loop.errors == []
    loop.close()
