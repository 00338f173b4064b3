"""A plan of one history, drawn from a seed. Any part of a plan is a plan too, so a failing one can be shrunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from twofold.app import App
from twofold.errors import ConfigurationError
from twofold.testing.simulation.actions import Action, Dice, Disturbing
from twofold.testing.simulation.clients import AppendTwo, Execute, Load, Read, Verify
from twofold.testing.simulation.faults import FAULTS, Fault
from twofold.testing.simulation.faults.splits import Split
from twofold.testing.simulation.faults.stores import Deaf, GoAway, Slow
from twofold.testing.simulation.knowledge import After, Expects
from twofold.testing.simulation.operators import Deploy, Discard, Operators, Retry
from twofold.testing.simulation.parts import LogBecomes
from twofold.testing.simulation.scenario import Scenario

PARTITIONS = (1, 1, 1, 1, 4)
RANGES = (2, 2, 3)
SPLITTING = 0.1  # of the histories, where partitions may: such a history takes four times as long
SOON_S = 0.03
STARTED_S = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """A step and its time."""

    at_s: float
    does: Action

    @property
    def words(self) -> str:
        """The line in the history."""
        number = getattr(self.does, "number", None)
        return f"client {number}: {self.does}" if number is not None else str(self.does)


@dataclass(frozen=True)
class Plan:
    """One history before it runs. `schedule` is the seed of everything drawn during the run."""

    scenario: Scenario
    schedule: str
    processes: int
    steps: Sequence[Step]
    syncs_tables_only: bool = False
    log_becomes: LogBecomes | None = None
    refuses: bool = False
    partitions: int = 1
    splits: bool = False
    reads_merged: bool = False
    watchers: int = 0

    @property
    def app(self) -> App:
        """The App."""
        return self.scenario.observed.app

    @property
    def cures(self) -> bool:
        """Whether corrected code is deployed in this history."""
        return any(isinstance(step.does, Deploy) for step in self.steps)

    @property
    def gives_up(self) -> bool:
        """Whether events are discarded in this history: then one position is seen in more than one way."""
        return any(isinstance(step.does, Discard) for step in self.steps)

    @property
    def is_calm(self) -> bool:
        """Whether nothing goes wrong, and no process ends or is delayed."""
        return not any(isinstance(step.does, Disturbing) for step in self.steps)

    @property
    def held_up(self) -> frozenset[str]:
        """The parts of a log to which something happens, where nothing else goes wrong. All others go on."""
        faults = [step for step in self.steps if isinstance(step.does, Disturbing)]
        of_parts = [step for step in faults if isinstance(step.does, GoAway | Slow | Deaf)]
        names = {getattr(step.does, "store", "the log") for step in of_parts}
        at_the_start = any(step.at_s < STARTED_S for step in faults)  # a process needs all of them to start
        only_parts = len(of_parts) == len(faults) and not names & {"the log", "the read store"}
        return frozenset(names) if only_parts and not (at_the_start or self.splits) else frozenset()

    @property
    def read_store_crashes(self) -> bool:
        """Whether the read store must remember the state that a crash would restore."""
        return any(isinstance(step.does, GoAway) and step.does.crash for step in self.steps)

    def smaller(self) -> Iterator[Plan]:
        """Smaller plans: without halves, then quarters, … then single steps, then processes."""
        size = max(1, len(self.steps) // 2)
        while True:
            for start in range(0, len(self.steps), size):
                yield replace(self, steps=[*self.steps[:start], *self.steps[start + size :]])
            if size == 1:
                break
            size //= 2
        if self.processes > 1:
            yield replace(self, processes=self.processes - 1)
        if self.splits:
            yield replace(self, splits=False, steps=[step for step in self.steps if not isinstance(step.does, Split)])
        elif self.partitions > 1:
            yield replace(self, partitions=1)
        if self.log_becomes is not None:
            yield replace(self, log_becomes=None)
        if self.watchers:
            yield replace(self, watchers=self.watchers - 1)


def draw(
    scenario: Scenario,
    seed: int,
    among: Sequence[Fault] = (),
    partitions: int | None = None,
    splits: bool | None = False,
) -> Plan:
    """The plan of a seed. Faults are drawn `among` these, if any are given, and the number of partitions unless it is
    given. With `splits` partitions split; None draws whether they do, unless the number of partitions is given.

    Raises: ConfigurationError for splits of a log that begins with one partition.
    """
    random = Random(f"partitions {seed}")
    drawn = random.choice(PARTITIONS)
    if splits is None:
        splits = partitions is None and random.random() < SPLITTING
    if partitions is None:
        partitions = random.choice(RANGES) if splits else drawn
    if splits and partitions == 1:
        raise ConfigurationError("a log that splits is simulated with 2 partitions or more at the beginning, not 1")
    return _Drawing(scenario, seed, among, partitions, splits).plan()


class _Drawing:
    """Draws one plan."""

    def __init__(self, scenario: Scenario, seed: int, among: Sequence[Fault], partitions: int, splits: bool) -> None:
        self.scenario, self.seed, self.among, self.is_split = scenario, seed, among, splits
        self.random = Random(f"plan {seed}")
        self.more = Random(f"operators {seed}")  # separate, so that everything else drawn stays the same
        self.dice = Dice(self.random, scenario.app, self.random.choices((1, 2, 3), (4, 4, 2))[0], partitions)
        self.span_s = self.random.choice((0.2, 1.0, 3.0, 8.0))
        self.sent: list[Any] = []
        self.ids = 0
        self.number = 0

    def plan(self) -> Plan:
        """Operations and faults, ordered by time."""
        random = self.random
        happens: list[Any] = [self.operation() for _ in range(random.randint(5, 25))]
        happens += self.faults()
        if self.scenario.may_park and random.random() < 0.3:
            happens += [self.retry() for _ in range(random.randint(1, 3))]
            happens += [Deploy()] if self.scenario.cure is not None and random.random() < 0.6 else []
        times = [random.random() * self.span_s for _ in happens]
        happening = [*zip(times, happens, strict=True), *self.operators()]
        happening += self.splits([at_s for at_s, _ in happening]) if self.is_split else []
        steps = sorted((Step(at_s, does) for at_s, does in happening), key=lambda s: s.at_s)
        return Plan(
            self.scenario,
            f"schedule {self.seed}",
            self.dice.processes,
            steps,
            syncs_tables_only=random.random() < 0.3,
            log_becomes=self.log_becomes(),
            refuses=self.scenario.refuses is not None and self.more.random() < 0.5,
            partitions=self.dice.partitions,
            splits=self.is_split,
            reads_merged=self.more.random() < 0.5,
            watchers=self.watchers(),
        )

    def log_becomes(self) -> LogBecomes | None:
        """What replaces the log at the end; a container that splits is not replaced."""
        drawn: LogBecomes | None = None
        if self.random.random() < 0.05:
            drawn = self.random.choice(("an older copy", "another log"))
        return None if self.is_split else drawn

    def splits(self, times: Sequence[float]) -> list[tuple[float, Split]]:
        """A few splits, most of them right after something else has begun."""
        random = Random(f"splits {self.seed}")  # separate, as above
        dice = replace(self.dice, random=random)
        moments = [
            random.choice(times) + random.random() * SOON_S if random.random() < 0.7 else random.random() * self.span_s
            for _ in range(random.choices((1, 2, 4), (5, 4, 1))[0])
        ]
        return [(at_s, Split.drawn(dice)) for at_s in moments]

    def watchers(self) -> int:
        """How many clients watch a read model."""
        random = Random(f"watchers {self.seed}")  # separate, as above
        return random.choices((0, 1, 3), (6, 3, 2))[0] if self.scenario.app.folded else 0

    def operators(self) -> list[tuple[float, Any]]:
        """In some histories several operators act at once, in a few even at two moments."""
        times = self.more.choices((0, 1, 2), (6, 3, 1))[0]
        dice = replace(self.dice, random=self.more)
        operators = Operators(dice, self.scenario.may_park, self.scenario.cure is not None)
        moments = [operators.at_once(self.span_s, self.number + 10 * (n + 1)) for n in range(times)]
        return [step for steps in moments for step in steps]

    def faults(self) -> list[Any]:
        """A few faults of a few kinds: histories vary more that way than with a little of everything."""
        among = self.among or list(FAULTS.values())
        kinds = self.random.choices(among, [fault.weight for fault in among], k=self.random.randint(1, 4))
        return [self.random.choice(kinds).drawn(self.dice) for _ in range(self.random.choice((0, 1, 2, 3, 4, 6)))]

    # ---- what clients do

    def operation(self) -> Any:
        """Draw one client operation."""
        self.number += 1
        draw = self.random.random()
        if draw < 0.6 or not self.sent:
            return self.execute()
        if draw < 0.7:
            return replace(self.random.choice(self.sent), number=self.number, at=self.dice.place())
        if draw < 0.78 and self.scenario.appends is not None:
            return self.append_two()
        if draw < 0.93 and self.scenario.app.folded:
            return self.read()
        if draw < 0.96 and self.scenario.app.folded:
            return Verify(self.random.choice(self.scenario.app.folded).name, self.dice.place(), self.number)
        return Load(self.random.random(), self.dice.place(), self.number)

    def execute(self) -> Execute:
        """A command; most have an id and are repeated while their outcome is unknown."""
        random = self.random
        command_id = self.command_id() if random.random() < 0.8 else None
        expects = random.choices(_EXPECTS, (12, 3, 1, 1))[0]
        made = Execute(
            self.scenario.commands(random),
            self.dice.place(),
            self.number,
            command_id,
            expects,
            tries=random.randint(1, 6),
            cancelled_after_s=random.random() * 0.02 if random.random() < 0.05 else None,
        )
        self.sent += [made] if command_id else []
        return made

    def append_two(self) -> AppendTwo:
        """Two appends in direct succession."""
        assert self.scenario.appends is not None
        stream, events = self.scenario.appends(self.random)
        ids = (self.command_id(), self.command_id() if self.random.random() < 0.8 else f"id-{self.ids}")
        expects = self.random.choices(_EXPECTS, (6, 3, 1, 1))[0]
        made = AppendTwo(stream, events, self.dice.place(), self.number, ids, expects)
        self.sent.append(made)
        return made

    def read(self) -> Read:
        """Read one row or all."""
        random = self.random
        projection = random.choice(self.scenario.app.folded).name
        after = random.choices(_AFTER, (4, 10, 1, 1))[0]
        wait_s = random.choice((0.0, 0.05, 5.0, 5.0, 30.0))
        pick = random.random() if random.random() < 0.6 else None
        return Read(projection, pick, after, wait_s, self.dice.place(), self.number)

    def retry(self) -> Retry:
        """Retry parked events."""
        self.number += 1
        app = self.scenario.app
        names = [*(one.name for one in app.folded), *(one.name for one in app.reactors)]
        name = self.random.choice(names)
        return Retry(name, self.dice.place(), self.number)

    def command_id(self) -> str:
        """A new one."""
        self.ids += 1
        return f"id-{self.ids}"


_EXPECTS: Sequence[Expects] = ("any version", "the last known version", "an older version", "a later version")
_AFTER: Sequence[After] = ("no token", "the newest token", "a token of another log", "a token beyond the end")
