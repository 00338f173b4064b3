"""Many histories: run them, shrink a failing one, and describe what happened in it."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from twofold.app import App
from twofold.errors import ConfigurationError
from twofold.react.reactor import To
from twofold.testing.simulation.given import Given, appends_of
from twofold.testing.simulation.history import History
from twofold.testing.simulation.invariants import check
from twofold.testing.simulation.loop import Stuck
from twofold.testing.simulation.plan import Plan, draw
from twofold.testing.simulation.scenario import Scenario
from twofold.testing.simulation.violations import ENGINE, WATCHERS, Violation

MOST_TRIES = 400
OTHER_SCHEDULES = 3
WHOLE_EVERY = 500  # histories: a collection of all garbage takes as long as three of them


class SimulationFailed(AssertionError):
    """A history in which a promise was broken; the message shows it, shrunk as far as possible.

    `seed` repeats it: `simulate(…, seed=SEED, runs=1)`. `violation` names the promise, `history` is what happened, line
    by line, and `steps` is how many of the drawn operations and faults are left.
    """

    def __init__(self, seed: int, violation: Violation, history: Sequence[str], steps: tuple[int, int]) -> None:
        super().__init__(seed, violation, history, steps)
        self.seed, self.violation, self.history, self.steps = seed, violation, history, steps

    def __str__(self) -> str:
        left, drawn = self.steps
        shown = f"The smallest history that shows it, {left} of {drawn} steps, of seed {self.seed}:"
        return "\n".join([str(self.violation), "", shown, "", *self.history])


@dataclass
class Simulated:
    """The number of histories, their first seed, and how often what happened in them: `counts["crashes"]`, …"""

    first_seed: int
    runs: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        happened = ", ".join(f"{number:,} {what}" for what, number in sorted(self.counts.items()) if number)
        return f"{self.runs:,} histories from seed {self.first_seed}: {happened}"


def simulate(
    app: App,
    commands: Callable[[Random], To] | Sequence[To],
    *,
    runs: int = 100,
    seed: int | None = None,
    always: Mapping[Any, Callable[[Any], bool]] | None = None,
    may_park: bool = False,
    given: Given = (),
    partitions: int | None = None,
) -> Simulated:
    """Run an App through histories with crashes, lost responses, pauses and the like, in virtual time.

    `commands` gets a random number generator and returns the next command that some client sends, or it is a list to
    draw from. After each history G1 to G11 are checked, and `always`: for a decider or a projection, what must be true
    for each of its states or rows. A fold or a reaction that raises is a failure, unless the App `may_park`.

    `given` is the log that each history starts with: events by stream, `{"show-hamlet": [Booked("ada", 9)]}`,
    or a list of pairs, `[("show-hamlet", Booked("ada", 9)), …]`, if the order between streams matters.

    `partitions` is the number of partitions of the log; by default most histories have one, some several.

    Seeds count up from `seed`; without one they are new each time. A history takes 10 to 50 ms.

    Raises: SimulationFailed, with the seed and the smallest history. ConfigurationError for commands, conditions or
    given events that do not belong to this App. RuntimeError inside a running event loop.
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("simulate() runs its own event loop: call it from a function that is not async")
    for of in always or {}:
        if of not in (*app.deciders, *app.projections):
            raise ConfigurationError(f"always: {of!r:.80} is neither a decider nor a projection of {app.name}")
    before = appends_of(given, app)
    scenario = Scenario(app, _checked(commands, app), always=always or {}, may_park=may_park, given=before)
    first = secrets.randbits(40) if seed is None else seed
    return run_histories([scenario], range(first, first + runs), partitions=partitions, splits=False)


def _checked(commands: Callable[[Random], To] | Sequence[To], app: App) -> Callable[[Random], To]:
    """Draw a command and check that it is one."""

    def draw_one(random: Random) -> To:
        to = commands(random) if callable(commands) else random.choice(commands)
        if not isinstance(to, To):
            raise ConfigurationError(f"commands: a command is sent as To(decider, id, command), not as {to!r:.80}")
        if to.decider not in app.deciders:
            raise ConfigurationError(f"commands: {to.decider!r:.80} is not a decider of {app.name}")
        to.decider.stream(to.id)
        return to

    return draw_one


def run_histories(
    scenarios: Sequence[Scenario], seeds: range, partitions: int | None = None, splits: bool | None = None
) -> Simulated:
    """Run one history of one of the scenarios per seed. `partitions` and `splits` are those of `draw`.

    Raises: SimulationFailed.
    """
    simulated = Simulated(seeds.start)
    with in_silence(), _collected_by_hand():
        for seed in seeds:
            plan = draw(scenarios[seed % len(scenarios)], seed, partitions=partitions, splits=splits)
            history = run(plan)
            simulated.runs += 1
            simulated.counts.update(history.counts)
            if history.violations:
                raise failure(seed, plan, worst(history.violations))
            del history
            gc.collect(1 if seed % WHOLE_EVERY else 2)
    return simulated


@contextmanager
def _collected_by_hand() -> Iterator[None]:
    """Collect no garbage within a history: that takes a fifth of the time. It leaves a few megabytes."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def run(plan: Plan, *, is_told: bool = False) -> History:
    """Run one history to its end; broken promises are in its `violations`."""
    history = History(plan, is_told=is_told)
    try:
        history.run()
        if all(violation.promise in (ENGINE, WATCHERS) for violation in history.violations):
            check(history)
    finally:
        try:
            history.close()
        except Stuck:
            history.broken(ENGINE, "a task was cancelled, but is still running")
    return history


def failure(seed: int, plan: Plan, violation: Violation) -> SimulationFailed:
    """The error for a plan that broke a promise, with the plan shrunk."""
    small = _smallest(plan, violation.promise)
    history = run(small, is_told=True)
    shown = worst(history.violations) if history.violations else violation
    return SimulationFailed(seed, shown, history.world.lines or [], (len(small.steps), len(plan.steps)))


def worst(violations: Sequence[Violation]) -> Violation:
    """The first broken promise to users. What watchers get, or an engine that does not rest, may be its consequence."""
    return min(violations, key=lambda violation: (violation.promise == ENGINE, violation.promise == WATCHERS))


def _smallest(plan: Plan, promise: str) -> Plan:
    """A plan that breaks the same promise and cannot be reduced further."""
    tries = MOST_TRIES
    shrunk = True
    while shrunk and tries > 0:
        shrunk = False
        for candidate in _candidates(plan):
            tries -= 1
            if tries <= 0:
                break
            if any(violation.promise == promise for violation in run(candidate).violations):
                plan, shrunk = candidate, True
                break
    return plan


def _candidates(plan: Plan) -> Iterator[Plan]:
    """Smaller plans. A smaller plan runs differently, so short ones are also tried with a few other schedules."""
    for smaller in plan.smaller():
        yield smaller
        if len(smaller.steps) <= 8:
            for number in range(1, OTHER_SCHEDULES):
                yield replace(smaller, schedule=f"{plan.schedule.partition('/')[0]}/{number}")


@contextmanager
def in_silence() -> Iterator[None]:
    """Silence the engine's logs of crashes and takeovers, which are normal here."""
    logger = logging.getLogger("twofold")
    before = logger.disabled, logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.disabled, logger.level = before
        logger.setLevel(before[1])
