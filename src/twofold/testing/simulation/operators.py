"""What operators do, several at once: try again, give up, drop, rebuild."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from twofold.app import App
from twofold.errors import InvalidInput, Unavailable
from twofold.feed.parking import Parking
from twofold.testing.simulation.faults import Rebuild
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


def several(random: Random, app: App, processes: int, span_s: float, first: int, may_park: bool) -> list[tuple[float, Any]]:
    """Two to four things that are done within the time of some requests, and when; clients are numbered from `first`."""
    kinds = ["retry", "retry", "discard"] if may_park else []
    kinds += ["rebuild", "rebuild", "drop"] if app.projections else []
    moment = random.random() * span_s
    names = [one.name for one in app.projections]
    all_names = names + [one.name for one in app.reactors]
    name = random.choice(all_names)
    done: list[tuple[float, Any]] = []
    for number in range(random.randint(2, 4) if kinds else 0):
        kind, at = random.choice(kinds), random.randrange(processes)
        if kind in ("rebuild", "drop") and name not in names:
            kind = "retry" if may_park else kind
        if kind == "retry":
            does: Any = Retry(name, at, first + number)
        elif kind == "discard":
            does = Discard(name, at, first + number)
        elif kind == "drop":
            does = Drop(random.choice(names), random.random())
        else:
            does = Rebuild(random.choice(names), random.randrange(3), random.random() < 0.3, None)
        done.append((moment + random.random() * AT_ONCE_S, does))
    return done
