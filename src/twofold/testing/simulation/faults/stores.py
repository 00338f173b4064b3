"""What goes wrong between the processes and the stores: slow, deaf, unreachable or crashed stores, lost requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from twofold.testing.simulation.actions import Dice, Disturbing
from twofold.testing.simulation.remote import Kind, Mishap
from twofold.testing.simulation.storage import Store
from twofold.testing.simulation.world import World

TIMES = (1, 1, 2, 6)
MISHAPS: Sequence[Mishap] = ("request lost", "answer lost", "answer lost", "late", "twice")
REQUESTS: Sequence[tuple[Store, Kind]] = (
    ("the log", "append"),
    ("the log", "append"),
    ("the read store", "page"),
    ("the read store", "page"),
    ("the log", "page"),
    ("the log", "claim"),
    ("the read store", "claim"),
    ("the log", "look"),
    ("the read store", "look"),
)


@dataclass(frozen=True, slots=True)
class Slow(Disturbing):
    """A store is slow."""

    store: Store
    times: float
    for_s: float

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """Slower by one to three orders of magnitude."""
        return cls(dice.store(), dice.random.choice((10.0, 100.0, 1_000.0)), dice.random.random() * 4)

    def __str__(self) -> str:
        return f"{self.store} is {self.times:.0f} times slower for {self.for_s:.3f} s"

    async def happen(self, world: World) -> None:
        """For a while."""
        links = world.storage.links(self.store)
        world.counts["slow"] += 1
        for link in links:
            link.slowness = self.times
        await asyncio.sleep(self.for_s)
        for link in links:
            link.slowness = 1.0


@dataclass(frozen=True, slots=True)
class Deaf(Disturbing):
    """The doorbell of a store does not ring."""

    store: Store
    for_s: float

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """For up to 6 s."""
        return cls(dice.store(), dice.random.random() * 6)

    def __str__(self) -> str:
        return f"the doorbell of {self.store} does not ring for {self.for_s:.3f} s"

    async def happen(self, world: World) -> None:
        """For a while."""
        links = world.storage.links(self.store)
        world.counts["deaf"] += 1
        for link in links:
            link.deaf = True
        await asyncio.sleep(self.for_s)
        for link in links:
            link.deaf = False


@dataclass(frozen=True, slots=True)
class GoAway(Disturbing):
    """A store cannot be reached; with `crash` it loses what was not synced."""

    store: Store
    crash: bool
    for_s: float

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """For up to 3 s."""
        return cls(dice.store(), crash=False, for_s=dice.random.random() * 3)

    @classmethod
    def crashing(cls, dice: Dice) -> Self:
        """For up to 2 s."""
        return cls(dice.store(), crash=True, for_s=dice.random.random() * 2)

    def __str__(self) -> str:
        return f"{self.store} {'crashes' if self.crash else 'is unreachable'}, back after {self.for_s:.3f} s"

    async def happen(self, world: World) -> None:
        """For a while."""
        links = world.storage.links(self.store)
        store = self.store if self.store == "the read store" else "the log"
        world.counts[f"{store} {'crashed' if self.crash else 'became unreachable'}"] += 1
        world.counts["a partition crashed or became unreachable"] += self.store not in ("the log", "the read store")
        if self.crash and self.store == "the read store":
            world.storage.crash_rows()
        else:
            for link in links:
                link.crash(away=True)
            world.watcher.log_crashed()
        await asyncio.sleep(self.for_s)
        for link in links:
            link.away = False


@dataclass(frozen=True, slots=True)
class Lose(Disturbing):
    """The next requests of a kind go wrong."""

    store: Store
    kind: Kind
    mishap: Mishap
    times: int

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """One mishap for one or several requests of a kind."""
        store, kind = dice.random.choice(REQUESTS)
        return cls(dice.part(store), kind, dice.random.choice(MISHAPS), dice.random.choice(TIMES))

    @classmethod
    def answer_to_page(cls, dice: Dice) -> Self:
        """Pages of a projection are stored, but their workers do not learn of it."""
        return cls("the read store", "page", "answer lost", dice.random.choice(TIMES))

    def __str__(self) -> str:
        what = {"request lost": "is lost", "answer lost": "is done and its response lost", "late": "arrives late"}
        return f"{self.times} of the next {self.kind} requests to {self.store}: {what.get(self.mishap, self.mishap)}"

    async def happen(self, world: World) -> None:
        """When the requests arrive."""
        for link in world.storage.links(self.store):
            link.mishaps[self.mishap, self.kind] += self.times
