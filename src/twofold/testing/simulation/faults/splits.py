"""A partition splits, at any moment and at bad ones. Nothing is lost by it, and nobody waits for long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from twofold.testing.simulation.actions import Dice
from twofold.testing.simulation.remote import Kind, Remote
from twofold.testing.simulation.world import World

DURING: Sequence[Kind | None] = (None, None, None, None, "append", "page", "claim", "look")


@dataclass(frozen=True, slots=True)
class Split:
    """A partition splits in two: at once, or while a process sends one of its next requests of a kind."""

    pick: float
    at: int
    during: Kind | None
    after: int = 0

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """Half of the splits are during a request."""
        during = dice.random.choice(DURING)
        return cls(dice.random.random(), dice.place(), during, dice.random.randrange(12) if during == "look" else 0)

    def __str__(self) -> str:
        when = f" while process {self.at + 1} sends its next {self.during} request" if self.during else ""
        return f"a partition splits{when}{f', after {self.after} others' if self.after else ''}"

    async def happen(self, world: World) -> None:
        """At once, or when the request is sent."""
        if self.during is None:
            world.split(self.pick)
            return
        sending, left = (world.server(self.at).process, self.during), self.after
        links = (*world.storage.links("the log"), world.storage.rows_link)

        def sent(_: Remote) -> None:
            nonlocal left
            for link in links:
                link.when_sent.pop(sending, None)
            if left:
                left -= 1
                wait()
            else:
                world.split(self.pick)

        def wait() -> None:
            for link in links:
                link.when_sent[sending] = sent

        wait()
