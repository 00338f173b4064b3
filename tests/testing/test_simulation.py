"""The simulator: that it is honest about crashes, that a seed gives the same history again, and that users' mistakes
are found and told."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from simulated import SCENARIOS
from simulated.notebook import note_something, notebook
from simulated.warehouse import (
    Order,
    Place,
    Placed,
    Receive,
    Received,
    Refused,
    Reserve,
    Reserved,
    Settle,
    Shelf,
    Stock,
    decide_order,
    evolve_order,
    evolve_stock,
    order_something,
    orders,
    shelves,
    stock,
    warehouse,
)
from twofold import App, ConfigurationError, Decider, Projection, Reactor, Recorded, To
from twofold.backends.partitioned import cuts, merged, proposing, runs
from twofold.testing.simulation import SimulationFailed, simulate
from twofold.testing.simulation.histories import run, run_histories
from twofold.testing.simulation.loop import SimulatedLoop, Stuck
from twofold.testing.simulation.plan import draw

pytestmark = pytest.mark.slow

SAMPLE = 2_000
MOST_SAMPLES = 3  # what happens in few histories may happen in none of one sample


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sample_of_histories_that_nobody_has_seen_keeps_every_promise(capsys: pytest.CaptureFixture[str]) -> None:
    counts, first = Counter[str](), Random().getrandbits(40)
    for begin in range(first, first + MOST_SAMPLES * SAMPLE, SAMPLE):
        simulated = run_histories(SCENARIOS, range(begin, begin + SAMPLE))
        with capsys.disabled():
            print(f"\n{simulated}")
        counts += simulated.counts
        never = [what for what in WHAT_HAPPENS if not counts[what]]
        if not never:
            break
    assert never == []


def test_cuts_that_take_few_events_keep_every_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that most of them end where one partition has more, and readers remember little."""
    for module in (proposing, merged):
        monkeypatch.setattr(module, "MOST_IN_CUT", 2)
    monkeypatch.setattr(cuts, "BLOCK", 2)
    monkeypatch.setattr(cuts, "MOST_KEPT", 4)
    monkeypatch.setattr(runs, "MOST_RUNS", 2)
    simulated = run_histories(SCENARIOS, range(1_000, 1_040), partitions=4)
    assert simulated.counts["cuts"] > 200


WHAT_HAPPENS = [
    *("commands done", "answered again", "batches of several", "reads answered", "pages", "events", "restarts"),
    *("crashes", "pauses", "takeovers", "leases stolen", "clean stops", "upgrades", "versions published", "rebuilds"),
    *("the log became unreachable", "the log crashed", "the read store became unreachable", "the read store crashed"),
    *("read store went back", "slow", "deaf", "clock jumps", "logs replaced", "keys parked", "streams parked"),
    *(f"append: {mishap}" for mishap in ("request lost", "answer lost", "late", "twice")),
    *(f"page: {mishap}" for mishap in ("request lost", "answer lost", "late", "twice")),
    *("tables replaced", "verified", "tried again", "unparked", "cures", "given up", "pages refused", "tables dropped"),
    *("told Rejected", "told VersionConflict", "told OutcomeUnknown", "told Unavailable", "told Unanswered"),
    *("told ReadModelBehind", "told RowParked", "told InvalidToken"),
    *("histories of several partitions", "cuts", "versions published across"),
    "a partition crashed or became unreachable",
    "requests beside parts that are held up",
    "watchers told",
    "watchers resumable",
    "watchers began again",
    *("partitions split", "partitions split into", "checkpoints split"),
]


# ---- the scheduler


def _loop(seed: int = 1) -> SimulatedLoop:
    return SimulatedLoop(Random(seed), most_steps=10_000)  # type: ignore[abstract]


def test_nothing_of_a_crashed_process_runs_any_more() -> None:
    """No `finally`, no `except`, no clean-up: as if its power had been cut between two steps."""
    seen: list[str] = []
    loop = _loop()

    async def work() -> None:
        try:
            async with asyncio.timeout(5):
                seen.append("begun")
                await asyncio.sleep(10)
        except TimeoutError:
            seen.append("timed out")
        finally:
            seen.append("cleaned up")

    async def main() -> None:
        process = loop.process("one")
        loop.create_task(work(), context=process.context)
        await asyncio.sleep(1)
        process.crash()
        await asyncio.sleep(100)

    loop.run_until_complete(main())
    assert seen == ["begun"]
    loop.close()
    assert seen == ["begun", "cleaned up"]  # only now that nobody looks


def test_what_a_process_starts_crashes_with_it() -> None:
    seen: list[str] = []
    loop = _loop()

    async def child() -> None:
        await asyncio.sleep(2)
        seen.append("child")

    async def parent() -> None:
        task = asyncio.create_task(child())
        asyncio.get_running_loop().call_later(2, seen.append, "timer")
        await task

    async def main() -> None:
        process = loop.process("one")
        loop.create_task(parent(), context=process.context)
        await asyncio.sleep(1)
        process.crash()
        await asyncio.sleep(10)

    loop.run_until_complete(main())
    assert seen == []
    loop.close()


def test_a_paused_process_goes_on_as_if_nothing_had_been() -> None:
    seen: list[float] = []
    loop = _loop()

    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            seen.append(loop.time())

    async def main() -> None:
        process = loop.process("one")
        loop.create_task(work(), context=process.context)
        await asyncio.sleep(1.5)
        process.pause()
        await asyncio.sleep(8.5)
        loop.resume(process)
        await asyncio.sleep(5)

    loop.run_until_complete(main())
    loop.close()
    assert seen == [1.0, 10.0, 11.0]


def test_a_crash_can_fall_on_every_step() -> None:
    """Whatever the number of steps: exactly that many are taken."""
    for steps in range(6):
        loop, seen = _loop(), list[int]()

        async def work(seen: list[int] = seen) -> None:
            for number in itertools.count():
                seen.append(number)
                await asyncio.sleep(0.1)

        async def main(loop: SimulatedLoop = loop, work: Any = work, steps: int = steps) -> None:
            process = loop.process("one")
            process.after_steps(steps, process.crash)
            loop.create_task(work(), context=process.context)
            await asyncio.sleep(10)

        loop.run_until_complete(main())
        loop.close()
        assert len(seen) == (steps + 1) // 2, "waking up is a step, and so is going on"


def test_what_is_ready_together_is_taken_in_any_order() -> None:
    def order(seed: int) -> str:
        loop, seen = _loop(seed), list[str]()

        async def work(name: str) -> None:
            seen.append(name)

        async def main() -> None:
            await asyncio.gather(*(work(name) for name in "abc"))

        loop.run_until_complete(main())
        loop.close()
        return "".join(seen)

    assert {order(seed) for seed in range(100)} == set(map("".join, itertools.permutations("abc")))


def test_waiting_for_nothing_and_never_resting_are_told() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    async def spins() -> None:
        asyncio.get_running_loop().call_soon(again := lambda: asyncio.get_running_loop().call_soon(again))
        await asyncio.Event().wait()

    for work, match in ((waits, "nothing is left"), (spins, "no end after")):
        loop = _loop()
        with pytest.raises(Stuck, match=match):
            loop.run_until_complete(work())
        loop.close()


# ---- seeds


def test_a_seed_gives_the_same_history_again() -> None:
    for seed in range(30):
        plan = draw(SCENARIOS[seed % len(SCENARIOS)], seed, splits=None)
        first, second = run(plan, is_told=True), run(plan, is_told=True)
        assert first.world.lines == second.world.lines != []
        assert first.loop.steps == second.loop.steps


def test_a_seed_gives_the_same_history_in_another_program() -> None:
    """Whatever order its sets are in."""

    def counts(hash_seed: str) -> Any:
        command = [
            sys.executable,
            "-P",
            "-m",
            "simulated",
            "--histories",
            "60",
            "--seed",
            "7",
            "--json",
        ]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=120)
        return {**json.loads(done.stdout), "seconds": 0}

    first = counts("1")
    assert first == counts("2")
    assert (first["histories"], first["violations"]) == (60, 0)


# ---- mistakes of users


def failing(app: App, runs: int = 200, **more: Any) -> SimulationFailed:
    with pytest.raises(SimulationFailed) as failed:
        simulate(app, order_something, seed=1, runs=runs, **more)
    return failed.value


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_who_interrupts_it_is_told_how_far_it_came(jobs: str) -> None:
    command = [sys.executable, "-m", "simulated", "--histories", "1000000", "--jobs", jobs]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as simulating:
        assert simulating.stdout is not None
        simulating.stdout.readline()  # it has begun
        simulating.send_signal(signal.SIGINT)
        said, complained = simulating.communicate(timeout=60)
    assert said.splitlines()[-1].endswith("no violation, then interrupted")
    assert (simulating.returncode, complained) == (130, "")


def test_a_fold_that_keeps_something_outside_of_its_row() -> None:
    numbers = Counter[str]()

    def fold(row: Shelf, event: Received, recorded: Recorded) -> Shelf:
        numbers[row.product] += 1
        return replace(row, changes=numbers[row.product])

    failed = failing(replace(warehouse, projections=[Projection("shelf", Shelf, fold)], reactors=[]))
    assert failed.violation.promise in ("G5", "G9")
    assert "shelf" in str(failed)


def test_a_reactor_that_answers_something_else_the_next_time() -> None:
    ids = itertools.count()

    def react(event: Placed, recorded: Recorded) -> list[To]:
        return [To(stock, f"p{next(ids)}", Receive(1))]

    failed = failing(replace(warehouse, reactors=[Reactor("restock", react, start="beginning")]))
    assert "reactor restock has passed order-" in str(failed.violation)


def _generous(command: Receive | Reserve, state: Stock) -> list[Received | Reserved | Refused]:
    match command:
        case Receive(quantity):
            return [Received(quantity)]
        case Reserve(order, quantity):
            return [Reserved(order, quantity)]


def test_a_decider_that_lets_stock_go_negative() -> None:
    generous = Decider("stock", Stock(), _generous, evolve_stock)

    def reserve(event: Placed, recorded: Recorded) -> list[To]:
        return [To(generous, event.product, Reserve(recorded.stream.id, event.quantity))]

    app = App("generous", deciders=[generous, orders], reactors=[Reactor("reserve", reserve, start="beginning")])

    def place(random: Random) -> To:
        return To(orders, f"o{random.randrange(5)}", Place("p1", 2))

    with pytest.raises(SimulationFailed, match=r"always: stock-p1 at version 1 is Stock\(available=-2\)"):
        simulate(app, place, seed=1, always={generous: lambda state: state.available >= 0})
    assert simulate(app, place, seed=1, runs=20).runs == 20, "nobody has said that it must not"


def test_a_row_that_must_never_be() -> None:
    failed = failing(warehouse, always={shelves: lambda shelf: shelf.available < 3})
    assert "of shelf at 0:" in str(failed.violation)


def test_a_decider_that_is_not_the_same_each_time() -> None:
    days = itertools.cycle((1, 2))

    def decide(command: Place | Settle, order: Order) -> list[Any]:
        return [replace(event, quantity=next(days)) for event in decide_order(command, order)]

    fickle = Decider("order", Order(), decide, evolve_order)
    with pytest.raises(SimulationFailed) as failed:
        simulate(App("fickle", deciders=[fickle]), [To(fickle, "o1", Place("p1", 1))], seed=1)
    assert failed.value.violation.promise == "G2"


def test_a_decider_that_breaks_down() -> None:
    def decide(command: Place, order: Order) -> list[Placed]:
        raise KeyError(command.product)

    broken = Decider("order", Order(), decide, evolve_order)
    with pytest.raises(SimulationFailed, match=r"the App: Place\(.*raised KeyError\('p1'\)"):
        simulate(App("broken", deciders=[broken]), [To(broken, "o1", Place("p1", 1))], seed=1)


def test_what_raises_fails_unless_it_may_park() -> None:
    with pytest.raises(SimulationFailed, match=r"the App: .* parked"):
        simulate(notebook, note_something, seed=1)
    simulated = simulate(notebook, note_something, seed=1, runs=50, may_park=True)
    assert simulated.counts["keys parked"] > 0
    assert simulated.counts["streams parked"] > 0
    assert "50 histories from seed 1: " in str(simulated)


def test_an_effect_happens_at_least_once_whatever_crashes() -> None:
    """Each event that is recorded, of each history, has reached the printer, at some of which it was out of paper."""
    printed, tries = Counter[str](), itertools.count(1)

    async def print_label(event: Received, recorded: Recorded) -> None:
        await asyncio.sleep(0.02)
        if next(tries) % 7 == 0:
            raise OSError("out of paper")
        printed[recorded.id] += 1

    app = replace(warehouse, projections=[], reactors=[Reactor("labels", print_label, start="beginning")])
    simulated = simulate(app, order_something, seed=1, runs=100)
    assert simulated.counts["crashes"] > 5
    assert sum(printed.values()) > 100
    with pytest.raises(SimulationFailed, match=r"reactor labels parked stock-p\d at 0:1: OSError: out of paper"):
        simulate(replace(app, reactors=[Reactor("labels", _never, start="beginning")]), order_something, seed=1)


async def _never(event: Received, recorded: Recorded) -> None:
    raise OSError("out of paper")


def test_commands_that_a_coroutine_answers_are_carried_out() -> None:
    """They are looked for after each page, as those of plain functions are."""

    async def order_more(event: Placed, recorded: Recorded) -> list[To]:
        return [To(stock, event.product, Receive(1))]

    app = replace(warehouse, reactors=[Reactor("more", order_more, start="beginning")])
    assert simulate(app, order_something, seed=1, runs=50).runs == 50


# ---- what a failure says


def test_a_failure_tells_its_seed_and_a_small_history() -> None:
    failed = failing(warehouse, always={shelves: lambda shelf: shelf.available < 3})
    left, drawn = failed.steps
    assert left <= 3 < drawn
    assert f"{left} of {drawn} steps, of seed {failed.seed}" in str(failed)
    assert any("Receive(quantity=3)" in line for line in failed.history)
    with pytest.raises(SimulationFailed) as again:
        simulate(warehouse, order_something, seed=failed.seed, runs=1, always={shelves: lambda s: s.available < 3})
    assert again.value.history == failed.history


@pytest.mark.parametrize(
    ("commands", "always", "says"),
    [
        ([("order", "1")], None, r"To\(decider, id, command\), not as \('order', '1'\)"),
        (
            [To(Decider("order", Order(), decide_order, evolve_order), "1", Place("p", 1))],
            None,
            "not a decider of warehouse",
        ),
        ([To(orders, "1", Place("p", 1))], {"stock": bool}, "always: 'stock' is neither a decider nor a projection"),
    ],
)
def test_what_is_not_of_the_app_is_refused(commands: Any, always: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        simulate(warehouse, commands, always=always, runs=1)


async def test_it_runs_a_loop_of_its_own() -> None:
    with pytest.raises(RuntimeError, match="from a function that is not async"):
        simulate(warehouse, order_something, runs=1)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """The engine's log is as it was, whatever became of the simulation."""
    before = logging.getLogger("twofold").level
    yield
    assert logging.getLogger("twofold").level == before


def test_a_generator_that_is_left_behind_never_runs_again() -> None:
    """Whenever it is collected: what its `finally` did would depend on that, and reach into another history."""
    done: list[str] = []

    async def pages() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            done.append("its finally ran")

    async def main() -> int:
        return await anext(pages())

    assert SimulatedLoop(Random(1)).run_until_complete(main()) == 1  # type: ignore[abstract]
    gc.collect()
    assert done == []
