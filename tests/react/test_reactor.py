"""A reactor: its commands, their ids, invalid reactors, and failures of the store."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from twofold import App, ConfigurationError, Decider, LogReplaced, Reactor, Recorded, To, Unavailable
from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.codec import Codec
from twofold.errors import OutcomeUnknown, VersionConflict
from twofold.feed.follow import Following
from twofold.messages import BEGINNING, Append, Meta, Stream
from twofold.react.runner import Runner
from twofold.testing import recorded, virtual_time
from twofold.testing.conformance.bank import eventually


@dataclass(frozen=True)
class Fill:
    amount: int


@dataclass(frozen=True)
class Ordered:
    items: tuple[str, ...]


@dataclass(frozen=True)
class Level:
    value: int = 0


def decide(command: Fill, level: Level) -> list[Ordered]:
    return []


def evolve(level: Level, event: Ordered) -> Level:
    return level


stock = Decider("stock", Level(), decide, evolve)


def react(event: Ordered, recorded: Recorded) -> list[To]:
    return [To(stock, item, Fill(index)) for index, item in enumerate(event.items)]


fulfilment = Reactor("fulfilment", react, start="beginning")


def test_each_command_has_an_id_of_its_own_that_never_changes() -> None:
    fact = recorded(Ordered(("a", "b", "a")), "order-1", 3)
    commands = fulfilment.commands(fact)
    assert [to for _, to in commands] == [To(stock, "a", Fill(0)), To(stock, "b", Fill(1)), To(stock, "a", Fill(2))]
    ids = [id_ for id_, _ in commands]
    assert len(set(ids)) == 3
    assert all(len(id_) == 32 for id_ in ids)
    assert [id_ for id_, _ in fulfilment.commands(fact)] == ids
    # Literal ids: a release that changed them would repeat everything that was done before it.
    assert ids[0] == "fc1c06b76011e668e5d598d5e37ebf18"


@pytest.mark.parametrize(
    "other", [("order-2", 3, "fulfilment"), ("order-1", 4, "fulfilment"), ("order-1", 3, "second")]
)
def test_the_id_is_made_from_reactor_stream_and_version(other: tuple[str, int, str]) -> None:
    stream, version, name = other
    first = fulfilment.commands(recorded(Ordered(("a",)), "order-1", 3))[0][0]
    second = Reactor(name, react, start="now").commands(recorded(Ordered(("a",)), stream, version))[0][0]
    assert first != second


def test_the_id_does_not_depend_on_where_or_when_it_was_recorded() -> None:
    ids = {fulfilment.commands(recorded(Ordered(("a",)), position=n, command_id=f"c{n}"))[0][0] for n in range(3)}
    assert len(ids) == 1


def test_whatever_is_no_command_is_refused() -> None:
    def wrong(event: Ordered, recorded: Recorded) -> Any:
        return [Fill(1)]

    with pytest.raises(TypeError, match="react must return a list of To"):
        Reactor("wrong", wrong, start="now").commands(recorded(Ordered(())))


def test_what_cannot_be_a_reactor_says_why() -> None:
    with pytest.raises(ConfigurationError, match="lower-case letters"):
        Reactor("Fulfil ment", react, start="now")
    with pytest.raises(ConfigurationError, match='"beginning" or "now", not \'later\''):
        Reactor("fulfilment", react, start="later")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"reactor 'fulfilment', react: .* must take 2 parameters"):
        Reactor("fulfilment", lambda event: [], start="now")  # type: ignore[arg-type, misc]
    with pytest.raises(TypeError, match="start"):
        Reactor("fulfilment", react)  # type: ignore[call-arg]


# ---- its runner


codec = Codec([Ordered], {})


async def ordered(log: MemoryLog, stream: str, *items: str) -> None:
    event = codec.encode(Ordered(items))
    await log.commit([Append(Stream("order", stream), [event], None, Meta(stream, stream))])


@pytest.mark.parametrize(
    "error", [Unavailable("down"), OutcomeUnknown("c", "gone"), VersionConflict(Stream("stock", "a"), 1, 2)]
)
def test_what_the_store_cannot_do_just_now_is_tried_again(error: Exception) -> None:
    """The follower reports the failure, parks nothing, and continues when it is over."""
    states = set()

    async def main() -> None:
        log = MemoryLog()
        await ordered(log, "1", "a", "b")
        await ordered(log, "2", "c")
        failures, done = [error] * 5, set[str]()

        async def execute(decider: Any, id: str, command: Any, meta: Meta) -> None:
            if failures:
                raise failures.pop()
            done.add(id)

        following = Following(
            Runner(fulfilment, log, log.checkpoints, execute, codec, Ambient()), log, log.checkpoints, "w"
        )
        following_task = asyncio.create_task(following.run())
        while (found := await log.checkpoints.read(fulfilment.follows)) is None or found.position < await log.head():
            states.add((following.state, following.error))
            await asyncio.sleep(0.01)
        following_task.cancel()
        assert done == {"a", "b", "c"}
        assert not await log.checkpoints.parked(fulfilment.follows)

    virtual_time.run(main())
    assert ("failing", f"{type(error).__name__}: {error}") in states


def test_g11_a_replaced_log_stops_it() -> None:
    async def main() -> None:
        log = MemoryLog()
        await ordered(log, "1", "a")

        async def execute(*_: Any, **__: Any) -> None:
            raise LogReplaced("shop.db was replaced")

        following = Following(
            Runner(fulfilment, log, log.checkpoints, execute, codec, Ambient()), log, log.checkpoints, "w"
        )
        await following.run()
        assert (following.state, following.error) == ("stopped", "shop.db was replaced")
        found = await log.checkpoints.read(fulfilment.follows)
        assert found is not None
        assert (found.position, found.owner) == (BEGINNING, None)

    virtual_time.run(main())


@pytest.mark.parametrize("instead", [None, ValueError("stopped"), Unavailable("stopped"), SystemExit(1)], ids=repr)
async def test_an_effect_that_swallows_its_cancellation_does_not_keep_the_app_from_stopping(
    instead: BaseException | None,
) -> None:
    """Or that raises something else instead, which is no failure: its stream is not parked."""
    begun = asyncio.Event()

    async def stubborn(event: Ordered, recorded: Recorded) -> None:
        assert not begun.is_set(), "it was tried again"
        begun.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            if instead is None:
                return
            raise instead from error

    orders = Decider("order", Level(), decide, evolve)
    app = App("shop", deciders=[orders], reactors=[Reactor("stubborn", stubborn, start="beginning")])
    log = MemoryLog()
    async with asyncio.timeout(10), app.open(log, read_store=MemoryReadStore()) as running:
        await running.append("order-1", [Ordered(())])
        await begun.wait()
    assert not await log.checkpoints.parked(app.reactors[0].follows)


def following_of(log: MemoryLog, execute: Any) -> Following:
    """A process with this reactor."""
    runner = Runner(fulfilment, log, log.checkpoints, execute, codec, Ambient())
    return Following(runner, log, log.checkpoints, "worker")


def test_g5_commands_to_one_stream_are_carried_out_in_order_also_when_one_fails() -> None:
    """A later one never comes before an earlier one that failed; those to other streams go on."""

    async def main() -> None:
        log, done = MemoryLog(), list[tuple[str, int]]()
        await ordered(log, "1", "a", "b", "a", "a")
        failures = {("a", 0): 2, ("a", 2): 1}

        async def execute(decider: Any, id: str, command: Fill, meta: Meta) -> None:
            await asyncio.sleep(0.01)
            if failures.get((id, command.amount), 0):
                failures[id, command.amount] -= 1
                raise Unavailable("down")
            done.append((id, command.amount))

        task = asyncio.create_task(following_of(log, execute).run())

        async def has_handled_all() -> bool:
            found = await log.checkpoints.read(fulfilment.follows)
            return found is not None and found.position == await log.head()

        await eventually(has_handled_all)
        task.cancel()
        amounts = [amount for item, amount in done if item == "a"]
        assert list(dict.fromkeys(amounts)) == [0, 2, 3], "as repeated ones take no effect again"
        assert ("b", 1) in done

    virtual_time.run(main())


def test_g7_what_a_worker_was_retrying_its_successor_retries_although_no_event_comes() -> None:
    async def main() -> None:
        log, done = MemoryLog(), list[str]()
        await ordered(log, "1", "a")

        async def fails(*_: Any) -> None:
            raise ValueError("not in this release")

        async def works(decider: Any, id: str, command: Fill, meta: Meta) -> None:
            done.append(id)

        async def is_parked() -> bool:
            return bool(await log.checkpoints.parked(fulfilment.follows))

        async def is_done() -> bool:
            return not await is_parked()

        first = asyncio.create_task(following_of(log, fails).run())
        await eventually(is_parked)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(following_of(log, works).run())
        await eventually(is_done)
        second.cancel()
        assert done == ["a"]

    virtual_time.run(main())
