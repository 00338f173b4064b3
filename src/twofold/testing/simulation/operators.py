"""What operators do, several at once: try again, give up, drop, rebuild."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from twofold.app import App
from twofold.errors import InvalidInput, Unavailable
from twofold.feed.parking import Parking
from twofold.testing.simulation.faults import Deploy, Rebuild
from twofold.testing.simulation.stores import SimulatedRows
from twofold.testing.simulation.watch import DISCARDING

if TYPE_CHECKING:
    from twofold.testing.simulation.world import World

AT_ONCE_S = 0.03


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again everything that is parked of a projection or a reactor."""

    name: str
    at: int
    number: int

    def __str__(self) -> str:
        return f"try again what is parked of {self.name}, at process {self.at + 1}"

    async def happen(self, world: World) -> None:
        """Ask once."""
        attempt = world.attempt(self, f"client {self.number}.0", "")
        await world.ask(attempt, self.at, lambda running: running.parking.retry(self.name))


@dataclass(frozen=True, slots=True)
class Discard:
    """Give up everything that is parked of a projection or a reactor."""

    name: str
    at: int
    number: int

    def __str__(self) -> str:
        return f"give up what is parked of {self.name}, at process {self.at + 1}"

    async def happen(self, world: World) -> None:
        """Ask once, under a name by which the store can tell it from a retry."""
        attempt = world.attempt(self, f"client {self.number}.0", "")
        owner = f"client {self.number} {DISCARDING}"
        await world.ask(attempt, self.at, lambda running: Parking(running.parking.followers, owner).discard(self.name))


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove a table that no process runs on any more, or not yet."""

    projection: str
    pick: float

    def __str__(self) -> str:
        return f"drop a table of {self.projection} that nobody uses"

    async def happen(self, world: World) -> None:
        """Look, choose one, drop it; what was begun to be used meanwhile, the store refuses."""
        rows = SimulatedRows(world.storage)
        try:
            stored = [table.follows for table in await rows.tables() if table.follows.name == self.projection]
            unused = [follows for follows in stored if follows.version not in world.versions(self.projection)]
            if unused:
                await rows.drop(unused[int(self.pick * len(unused))])
                world.counts["tables dropped"] += 1
        except (InvalidInput, Unavailable) as error:
            world.counts["tables not dropped"] += 1
            world.tell(f"not dropped: {error}")


@dataclass(frozen=True)
class Operators:
    """Draws what several of them do, within the time of some requests."""

    random: Random
    app: App
    processes: int
    may_park: bool
    can_be_cured: bool

    def at_once(self, span_s: float, first: int) -> list[tuple[float, Any]]:
        """Two to four things, and when. Clients are numbered from `first`."""
        projections = [one.name for one in self.app.projections]
        names = [*projections, *(one.name for one in self.app.reactors)] if self.may_park else []
        kinds = ["retry", "retry", "discard"] if names else []
        kinds += ["rebuild", "rebuild", "drop"] if projections else []
        if not kinds:
            return []
        moment, name = self.random.random() * span_s, self.random.choice(names or projections)
        done: list[Any] = [Deploy()] if self.can_be_cured and self.random.random() < 0.3 else []
        for number in range(self.random.randint(2, 4)):
            kind, at = self.random.choice(kinds), self.random.randrange(self.processes)
            done.append(
                self._one(kind, name if names else "", self.random.choice(projections or [""]), at, first + number)
            )
        return [(moment + self.random.random() * AT_ONCE_S, does) for does in done]

    def _one(self, kind: str, name: str, projection: str, at: int, number: int) -> Any:
        match kind:
            case "retry":
                return Retry(name, at, number)
            case "discard":
                return Discard(name, at, number)
            case "drop":
                return Drop(projection, self.random.random())
            case _:
                return Rebuild(projection, self.random.randrange(3), self.random.random() < 0.3, None)
