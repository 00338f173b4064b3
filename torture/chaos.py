"""What is hit next. The plan depends on the seed alone; its effect depends on what happens to be running."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from torture.aim import (
    AFTER_ADVANCE,
    AFTER_APPEND,
    AFTER_CUT,
    AFTER_PUBLISHING,
    AFTER_ROWS,
    BEFORE_ADVANCE,
    BEFORE_APPEND,
    BEFORE_CUT,
    BEFORE_PUBLISHING,
    BEFORE_ROWS,
    Strike,
)
from torture.crew import Crew
from torture.ground import Fault, Ground
from torture.member import Role
from torture.mutations import MUTATIONS
from torture.parts import has_cuts
from twofold.feed.lease import LEASE_S

SHORTEST_S, LONGEST_S = 0.3, 2.8
KILL, GROUND = 0.55, 0.2  # the rest are pauses
AIMED_KILLS, AIMED_PAUSES = 0.5, 0.8
SHOWN = 0.6  # with a mutation: the share of faults that make it show

KILLED: tuple[Role, ...] = ("worker",) * 5 + ("appender",) * 4 + ("reader", "mender")
PAUSED: tuple[Role, ...] = ("worker",) * 4 + ("appender", "mender")  # a worker can wake up as a zombie
TO_DIE: dict[Role, tuple[str, ...]] = {
    "appender": (BEFORE_APPEND, AFTER_APPEND),
    "worker": (
        BEFORE_ROWS,
        AFTER_ROWS,
        BEFORE_PUBLISHING,
        AFTER_PUBLISHING,
        BEFORE_ADVANCE,
        AFTER_ADVANCE,
        BEFORE_APPEND,
        AFTER_APPEND,
    ),
    "mender": (BEFORE_ROWS, AFTER_ROWS),
}
TO_PAUSE: dict[Role, tuple[str, ...]] = {
    "worker": (BEFORE_ROWS, BEFORE_ROWS, BEFORE_ADVANCE, BEFORE_APPEND),
    "mender": (BEFORE_ROWS,),
}


@dataclass(frozen=True)
class Blow:
    """One fault, `after_s` after the previous one: to the ground, or to a process of a role."""

    after_s: float
    what: Fault | Strike
    role: Role = "worker"
    number: int = 0


def plan(seed: str, faults: tuple[Fault, ...], mutation: str | None = None, *, cuts: bool = False) -> Iterator[Blow]:
    """Without end. `cuts`: there are several partitions, and workers may be struck as they make a cut."""
    to_die = {**TO_DIE, "worker": (*TO_DIE["worker"], *((BEFORE_CUT, AFTER_CUT) * cuts))}
    chance = Random(f"{seed}|chaos")  # noqa: S311
    if "fill the disk" in faults:  # a requested small disk gets full in any run, however short
        yield Blow(LONGEST_S, "fill the disk")
    while True:
        after_s, number, lot = chance.uniform(SHORTEST_S, LONGEST_S), chance.randrange(1_000), chance.random()
        if mutation is not None and chance.random() < SHOWN:
            yield Blow(after_s, MUTATIONS[mutation].strike, "worker", number)
        elif lot < KILL or (lot < KILL + GROUND and not faults):
            role = chance.choice(KILLED)
            yield Blow(after_s, Strike(_place(chance, to_die.get(role, ()), AIMED_KILLS), "SIGKILL"), role, number)
        elif lot < KILL + GROUND:
            yield Blow(after_s, chance.choice(faults))
        else:
            role = chance.choice(PAUSED)
            pause_s = LEASE_S + chance.uniform(1, 4) if role in TO_PAUSE else chance.uniform(0.5, LEASE_S)
            place = _place(chance, TO_PAUSE.get(role, ()), AIMED_PAUSES)
            yield Blow(after_s, Strike(place, "SIGSTOP", pause_s), role, number)


def _place(chance: Random, places: Sequence[str], aimed: float) -> str:
    return chance.choice(places) if places and chance.random() < aimed else ""


class Chaos:
    """Carries out the plan. `faults` counts faults of the ground, which come one at a time."""

    def __init__(self, crew: Crew, ground: Ground, seed: str, mutation: str | None) -> None:
        self._crew, self._ground = crew, ground
        self._plan = plan(seed, ground.faults, mutation, cuts=has_cuts(ground.url))
        self._chance = Random(f"{seed}|ground")  # noqa: S311
        self.faults: Counter[Fault] = Counter()

    async def rage(self) -> None:
        """Run until cancelled; the store may be left in the state of the last fault."""
        shaking: asyncio.Task[None] | None = None
        try:
            for blow in self._plan:
                await asyncio.sleep(blow.after_s)
                if isinstance(blow.what, Strike):
                    await self._crew.strike(blow.role, blow.number, blow.what)
                elif shaking is None or shaking.done():
                    if shaking is not None:
                        shaking.result()
                    shaking = asyncio.create_task(self._shake(blow.what))
        finally:
            if shaking is not None:
                shaking.cancel()
                await asyncio.gather(shaking, return_exceptions=True)

    async def _shake(self, fault: Fault) -> None:
        self.faults[fault] += await self._ground.strike(fault, self._chance)
