"""The common interface of a plan's steps, and the dice they are drawn with."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol

from twofold.app import App
from twofold.testing.simulation.parts import name_of_part
from twofold.testing.simulation.storage import Store
from twofold.testing.simulation.world import World


class Action(Protocol):
    """Something that happens; `str` describes it."""

    async def happen(self, world: World) -> None:
        """Let it happen."""


class Disturbing:
    """Marks an action that may keep a client waiting, or leave it without a response."""

    __slots__ = ()


@dataclass(frozen=True)
class Dice:
    """Randomness over the processes and stores of one plan."""

    random: Random
    app: App
    processes: int
    partitions: int = 1

    def place(self) -> int:
        """Draw the place of a process."""
        return self.random.randrange(self.processes)

    def store(self) -> Store:
        """Draw one of the two stores."""
        stores: tuple[Store, Store] = ("the log", "the read store")
        return self.part(self.random.choice(stores))

    def part(self, store: Store) -> Store:
        """Draw a store; instead of a log of several partitions mostly one of its parts, or the log of its cuts."""
        if store != "the log" or self.partitions == 1 or self.random.random() < 0.2:
            return store
        return name_of_part(self.random.randint(0, self.partitions), self.partitions)
