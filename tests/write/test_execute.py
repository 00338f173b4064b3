"""Execute: load, decide, append, and decide again after a conflict. On memory; conflicts are counted."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from threading import Lock
from typing import Any

import msgspec
import pytest

from twofold import Decider, InvalidEvent, InvalidInput, Rejected, VersionConflict
from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog
from twofold.codec import Codec
from twofold.errors import OutcomeUnknown, TwofoldError, Unavailable
from twofold.messages import BEGINNING, Append, Receipt, Stream
from twofold.testing import virtual_time
from twofold.write.execute import MAX_ATTEMPTS, Executor
from twofold.write.log import Loaded


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Added:
    amount: int


@dataclass(frozen=True)
class Total:
    value: int = 0


def decide(command: Add, total: Total) -> list[Added]:
    if command.amount < 0:
        raise Rejected("never less")
    return [Added(command.amount)] if command.amount else []


def evolve(total: Total, event: Added) -> Total:
    return Total(total.value + event.amount)


totals = Decider("total", Total(), decide, evolve)
documents = Decider("document", Total(), decide, evolve, stored="state")
codec = Codec([Added, Total], {})


class Busy(MemoryLog):
    """A log where another caller is faster: a number of times, its append comes first."""

    def __init__(self, interruptions: int, stream: str = "total-a") -> None:
        super().__init__()
        self.left, self.loads, self.commits, self.stream = interruptions, 0, 0, stream

    async def load(self, *arguments: Any, **options: Any) -> Loaded:
        self.loads += 1
        return await super().load(*arguments, **options)

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        self.commits += 1
        if self.left > 0:
            self.left -= 1
            event = codec.encode(Added(100) if self.stream == "total-a" else Total(100))
            first = msgspec.structs.replace(batch[0], events=[event], expected_version=None)
            meta = msgspec.structs.replace(first.meta, command_id=f"other {self.left}")
            await super().commit([msgspec.structs.replace(first, meta=meta)])
        return await super().commit(batch)


def executor(log: MemoryLog) -> Executor:
    async def append(one: Append) -> Receipt:
        [outcome] = await log.commit([one])
        if isinstance(outcome, TwofoldError):
            raise outcome
        return outcome

    return Executor(log, append, codec, Ambient(random=lambda: 0.5))


def test_it_decides_again_when_somebody_else_was_quicker() -> None:
    async def main() -> None:
        log = Busy(interruptions=3)
        done = await executor(log).execute(totals, "a", Add(1))
        assert (log.loads, log.commits) == (4, 4)
        assert (done.state, done.events, done.receipt.version) == (Total(301), (Added(1),), 4)

    virtual_time.run(main())


def test_it_gives_up_after_a_bounded_number_of_attempts() -> None:
    async def main() -> None:
        log = Busy(interruptions=10_000)
        with pytest.raises(VersionConflict):
            await executor(log).execute(totals, "a", Add(1))
        assert log.commits == MAX_ATTEMPTS

    virtual_time.run(main())


def test_the_pauses_between_attempts_grow_and_stay_small() -> None:
    async def main() -> list[float]:
        log, moments = Busy(interruptions=20), []
        load = log.load

        async def noted(*arguments: Any, **options: Any) -> Loaded:
            moments.append(asyncio.get_running_loop().time())
            return await load(*arguments, **options)

        log.load = noted  # type: ignore[method-assign]
        await executor(log).execute(totals, "a", Add(1))
        return [after - before for before, after in pairwise(moments)]

    pauses = virtual_time.run(main())
    assert [round(pause, 6) for pause in pauses] == sorted(round(pause, 6) for pause in pauses)
    assert 0 < pauses[0] < 0.01
    assert pauses[-1] == pytest.approx(0.05)  # half of the longest, because randomness is fixed at a half


@pytest.mark.parametrize("expected", [0, 1])
def test_who_expects_a_version_is_told_at_once(expected: int) -> None:
    """Without a second attempt. A stream that is to be new is not loaded: the append finds out."""

    async def main() -> None:
        log = Busy(interruptions=1)
        with pytest.raises(VersionConflict) as conflict:
            await executor(log).execute(totals, "a", Add(1), expected_version=expected)
        assert (conflict.value.expected, conflict.value.actual) == (expected, 1 - expected)
        assert (log.loads, log.commits) == (expected, 1 - expected)

    virtual_time.run(main())


@pytest.mark.parametrize("decider", [totals, documents], ids=["events", "state"])
def test_g2_the_version_that_is_expected_is_that_of_the_stream_whatever_is_remembered(
    decider: Decider[Add, Total, Any],
) -> None:
    """The process may remember an older version than the stream has, and expect any other one."""

    async def main() -> None:
        for remembered, there in ((seen, now) for now in range(4) for seen in range(now + 1)):
            for expected in range(6):
                log = MemoryLog()
                here, elsewhere = executor(log), executor(log)
                for number in range(there):
                    await (here if number < remembered else elsewhere).execute(decider, "a", Add(1))
                executing = here.execute(decider, "a", Add(1), expected_version=expected)
                if expected == there:
                    done = await executing
                    assert (done.receipt.version, done.state) == (there + 1, Total(there + 1))
                else:
                    with pytest.raises(VersionConflict) as conflict:
                        await executing
                    assert (conflict.value.expected, conflict.value.actual) == (expected, there)
                assert (await log.head()).offset == there + (expected == there)

    virtual_time.run(main())


def test_a_new_stream_is_not_loaded() -> None:
    """Its append shows whether it is new: if not, the command is decided again on what is there."""

    async def main() -> None:
        log = Busy(interruptions=0)
        execute = executor(log).execute
        first = await execute(totals, "a", Add(1), command_id="once", is_new=True)
        assert (log.loads, log.commits, first.state) == (0, 1, Total(1))
        other = executor(log).execute  # of a process that has not seen the stream
        again = await other(totals, "a", Add(1), command_id="once", is_new=True)
        assert (again.receipt.repeated, again.state, again.receipt.version) == (True, Total(1), 1)
        log.loads = log.commits = 0
        assert (await executor(log).execute(totals, "a", Add(2), is_new=True)).state == Total(3)
        assert (log.loads, log.commits) == (1, 2)

    virtual_time.run(main())


def test_what_a_new_stream_would_refuse_is_decided_on_what_is_there() -> None:
    """Also a command that was executed before returns its answer."""

    async def main() -> None:
        def spend(command: Add, total: Total) -> list[Added]:
            if total.value < command.amount:
                raise Rejected("not enough")
            return [Added(-command.amount)]

        spent = Decider("total", Total(), spend, evolve)
        log = Busy(interruptions=0)
        await executor(log).execute(totals, "a", Add(5))
        taken = await executor(log).execute(spent, "a", Add(5), command_id="taken", is_new=True)
        assert taken.state == Total(0)
        again = await executor(log).execute(spent, "a", Add(5), command_id="taken", is_new=True)
        assert (again.receipt.repeated, again.state) == (True, Total(0))
        with pytest.raises(Rejected):
            await executor(log).execute(spent, "b", Add(5), is_new=True)
        with pytest.raises(InvalidInput):
            await executor(log).execute(totals, "b\u200b", Add(5), is_new=True)

    virtual_time.run(main())


def test_g3_the_answer_of_a_command_id_comes_before_the_decision() -> None:
    """One lookup finds it; `decide` is not called, and the version does not matter."""

    async def main() -> None:
        log = Busy(interruptions=0)
        execute = executor(log).execute
        first = await execute(totals, "a", Add(5), command_id="once")
        await execute(totals, "a", Add(7))
        log.loads = log.commits = 0
        again = await execute(totals, "a", Add(-1), command_id="once", expected_version=77)
        assert again == replace(first, receipt=msgspec.structs.replace(first.receipt, repeated=True))
        assert (log.loads, log.commits) == (1, 0)

    virtual_time.run(main())


def test_g3_whoever_loses_the_race_with_himself_gets_the_winners_answer() -> None:
    """The same command id sent twice at once: both load before either appends."""

    async def main() -> None:
        log = Busy(interruptions=0)
        processes = [executor(log) for _ in range(5)]  # on one, they would wait for each other
        dones = await asyncio.gather(*(one.execute(totals, "a", Add(5), command_id="once") for one in processes))
        assert sorted(done.receipt.repeated for done in dones) == [False, True, True, True, True]
        assert {(done.state, done.events) for done in dones} == {(Total(5), (Added(5),))}
        assert log.commits == 5

    virtual_time.run(main())


def test_g1_a_stored_command_whose_answer_cannot_be_read_is_not_said_to_have_changed_nothing() -> None:
    """The commit returned a repetition because its first response was lost; then the store goes down."""

    class Forgetful(MemoryLog):
        async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
            await super().commit(batch)
            return await super().commit(batch)

        async def read_stream(self, *_: Any) -> Any:
            raise Unavailable("down")

    log = Forgetful()

    async def main() -> None:
        with pytest.raises(OutcomeUnknown) as raised:
            await executor(log).execute(totals, "a", Add(1))
        assert (await log.load(Stream("total", "a"), raised.value.command_id)).receipt is not None

    virtual_time.run(main())


def test_an_empty_decision_is_kept_only_where_it_can_be_asked_for_again() -> None:
    async def main() -> None:
        log = Busy(interruptions=0)
        execute = executor(log).execute
        unnamed = await execute(totals, "a", Add(0))
        assert (log.commits, unnamed.state, unnamed.events, unnamed.receipt.position) == (0, Total(), (), BEGINNING)
        await execute(totals, "a", Add(5))
        named = await execute(totals, "a", Add(0), command_id="nothing")
        assert (log.commits, named.state, named.receipt.version, named.receipt.events) == (2, Total(5), 1, 0)
        await execute(totals, "a", Add(5))
        again = await execute(totals, "a", Add(9), command_id="nothing")
        assert (again.state, again.events, again.receipt.version) == (Total(5), (), 1)

    virtual_time.run(main())


@pytest.mark.parametrize("decider", [totals, documents])
@pytest.mark.parametrize("command_id", [None, "nothing"])
def test_the_receipt_of_nothing_to_do_names_what_was_seen(
    decider: Decider[Add, Total, Any], command_id: str | None
) -> None:
    """Whether the state was cached, loaded, or partly both; others have appended to other streams since."""

    async def main() -> None:
        log = Busy(interruptions=0)
        here, elsewhere, new = (executor(log).execute for _ in range(3))
        for number, (appending, asking) in enumerate([(here, here), (elsewhere, here), (elsewhere, new)]):
            last = (await appending(decider, "a", Add(1))).receipt
            await elsewhere(decider, "b", Add(1))
            nothing = await asking(decider, "a", Add(0), command_id=command_id and f"{command_id} {number}")
            seen = nothing.receipt
            assert (seen.version, seen.events, seen.position) == (last.version, 0, last.position)

    virtual_time.run(main())


def test_a_state_that_is_ahead_of_its_stream_is_forgotten() -> None:
    """Recent states are cached; if the log has lost events, the conflict shows it, and the state is loaded again."""

    async def main() -> None:
        log = Busy(interruptions=0)
        execute = executor(log).execute
        for amount in (1, 2, 4):
            await execute(totals, "a", Add(amount))
        del log._streams["total-a"][1:]  # as after a failover to an older copy
        done = await execute(totals, "a", Add(8))
        assert (done.state, done.receipt.version) == (Total(9), 2)

    virtual_time.run(main())


@pytest.mark.parametrize("decider", [totals, documents])
def test_after_a_conflict_only_what_is_new_is_loaded(decider: Decider[Add, Total, Any]) -> None:
    """Otherwise a command on a stream that others write to would cost as much as the stream is long."""

    async def main() -> None:
        log = Busy(interruptions=0, stream=f"{decider.category}-a")
        execute = executor(log).execute
        for _ in range(40):
            await execute(decider, "a", Add(1))
        log.left = 3
        read: list[int] = []
        load = log.load

        async def noted(*arguments: Any, **options: Any) -> Loaded:
            loaded = await load(*arguments, **options)
            read.append(len(loaded.events))
            return loaded

        log.load = noted  # type: ignore[method-assign]
        done = await execute(decider, "a", Add(1), command_id="once")
        assert (done.receipt.version, read) == (44, [1, 1, 1])
        assert done.state == Total(341 if decider is totals else 101)
        assert await executor(log).load(decider, "a") == (done.state, 44)

    virtual_time.run(main())


def test_a_state_that_decide_or_evolve_changed_is_not_used_after_a_conflict() -> None:
    """Each attempt begins with the state as it was, whatever the one before did to it."""

    @dataclass
    class Basket:
        amounts: list[int]

    def put(command: Add, basket: Basket) -> list[Added]:
        basket.amounts.append(-1)
        return [Added(command.amount)]

    def changed(basket: Basket, event: Added) -> Basket:
        basket.amounts.append(event.amount)
        return basket

    async def main() -> None:
        log = Busy(interruptions=0)
        execute = executor(log).execute
        baskets = Decider("total", Basket([]), put, changed)
        await execute(baskets, "a", Add(1))
        log.left = 2
        done = await execute(baskets, "a", Add(2))
        assert done.state == Basket([1, 100, 100, 2])

    virtual_time.run(main())


def test_a_command_that_decide_changed_is_decided_again_as_it_was_sent() -> None:
    """After each conflict; and the caller may send it once more."""

    @dataclass
    class Spend:
        amounts: list[int]

    def spend(command: Spend, total: Total) -> list[Added]:
        return [Added(command.amounts.pop()) for _ in range(2)]

    async def main() -> None:
        spending, log, command = Decider("total", Total(), spend, evolve), Busy(interruptions=3), Spend([4, 2, 1])
        one = executor(log)
        for number in range(2):
            done = await one.execute(spending, "a", command, command_id=f"spend {number}")
            assert done.events == (Added(1), Added(2))
            log.left = 2
        assert command == Spend([4, 2, 1])

    virtual_time.run(main())


def test_a_state_that_cannot_be_copied_is_the_caller_s_alone() -> None:
    """What the caller does to it changes no later decision: such a state is not remembered."""

    @dataclass
    class Open:
        amounts: list[int]
        lock: Any = None

    def put(command: Add, state: Open) -> list[Added]:
        return [Added(command.amount + len(state.amounts))]

    def changed(state: Open, event: Added) -> Open:
        return Open([*state.amounts, event.amount], Lock())

    async def main() -> None:
        opens, one = Decider("total", Open([]), put, changed), executor(MemoryLog())
        for number in range(3):
            done = await one.execute(opens, "a", Add(10))
            state, version = await one.load(opens, "a")
            assert done.state.amounts == state.amounts == [10, 11, 12][: number + 1]
            assert version == number + 1
            for given in (done.state, state):
                given.amounts.clear()

    virtual_time.run(main())


def test_a_document_is_saved_whole_and_only_its_last_state_is_loaded() -> None:
    async def main() -> None:
        log = Busy(interruptions=2, stream="document-a")
        execute = executor(log).execute
        done = await execute(documents, "a", Add(1), command_id="once")
        assert (done.state, done.events, done.receipt.version) == (Total(101), (Total(101),), 3)
        await execute(documents, "a", Add(1))
        again = await execute(documents, "a", Add(1), command_id="once")
        assert (again.state, again.events, again.receipt.version) == (Total(101), (Total(101),), 3)
        assert await executor(log).load(documents, "a") == (Total(102), 4)
        history = await log.read_stream(Stream("document", "a"), 1, 10)
        assert [codec.decode(entry) for entry in history] == [Total(100), Total(100), Total(101), Total(102)]

    virtual_time.run(main())


@pytest.mark.parametrize("error", [Rejected("no"), KeyError("a bug"), Unavailable("down"), OutcomeUnknown("c", "why")])
def test_what_decide_or_the_store_raises_reaches_the_caller_once(error: Exception) -> None:
    asked = 0

    def refuse(command: Add, total: Total) -> list[Added]:
        nonlocal asked
        asked += 1
        raise error

    async def main() -> None:
        with pytest.raises(type(error)):
            await executor(MemoryLog()).execute(Decider("total", Total(), refuse, evolve), "a", Add(1))

    virtual_time.run(main())
    assert asked == 1


@pytest.mark.parametrize("name", ["command_id", "actor", "correlation_id", "causation_id"])
@pytest.mark.parametrize("value", ["", "x" * 201, "a\nb", 7])
def test_an_id_that_cannot_be_one_is_refused_by_name(name: str, value: Any) -> None:
    async def main() -> None:
        log = MemoryLog()
        with pytest.raises(InvalidInput, match=name):
            await executor(log).execute(totals, "a", Add(1), **{name: value})
        assert await log.head() == BEGINNING

    virtual_time.run(main())


def test_nothing_is_appended_of_a_decision_whose_last_event_cannot_be_stored() -> None:
    def bad(command: Add, total: Total) -> list[Added]:
        return [Added(1), Added("two")]  # type: ignore[arg-type]

    async def main() -> None:
        log = MemoryLog()
        with pytest.raises(InvalidEvent, match="Added"):
            await executor(log).execute(Decider("total", Total(), bad, evolve), "a", Add(1))
        assert await log.head() == BEGINNING

    virtual_time.run(main())


def test_callers_of_one_process_do_not_race_each_other() -> None:
    """Commands on one stream run one after another; on different streams they do not wait."""

    async def main() -> None:
        log, most, running = Busy(0), 0, 0

        async def append(one: Append) -> Receipt:
            nonlocal most, running
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            [outcome] = await log.commit([one])
            running -= 1
            assert isinstance(outcome, Receipt), outcome
            return outcome

        execute = Executor(log, append, codec, Ambient()).execute
        done = await asyncio.gather(*(execute(totals, f"{n % 4}", Add(1), command_id=f"id {n}") for n in range(40)))
        assert sorted(one.receipt.version for one in done) == sorted([*range(1, 11)] * 4)
        assert (log.commits, most) == (40, 4)

    virtual_time.run(main())
