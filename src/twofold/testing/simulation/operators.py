"""What operators do, several at once: retry, discard, drop, rebuild, deploy corrected code."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

from twofold import operate
from twofold.app import App
from twofold.errors import InvalidInput, LeaseLost, NameHeld, Unavailable
from twofold.feed.unparking import Parking
from twofold.messages import Recorded
from twofold.read.projection import Projection
from twofold.testing.simulation.actions import Dice, Disturbing
from twofold.testing.simulation.leases import DISCARDING
from twofold.testing.simulation.server import connected
from twofold.testing.simulation.stores import SimulatedRows
from twofold.testing.simulation.violations import ENGINE
from twofold.testing.simulation.world import World

AT_ONCE_S = 0.03
GIVE_UP_AFTER_S = 4.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Retry everything that a projection or a reactor has parked."""

    name: str
    at: int
    number: int

    def __str__(self) -> str:
        return f"retry what {self.name} has parked, at process {self.at + 1}"

    async def happen(self, world: World) -> None:
        """Ask once."""
        attempt = world.attempt(self, f"client {self.number}.0", "")
        await world.ask(attempt, self.at, lambda running: running.parking.retry(self.name))


@dataclass(frozen=True, slots=True)
class Discard(Disturbing):
    """Discard everything that a projection or a reactor has parked."""

    name: str
    at: int
    number: int

    def __str__(self) -> str:
        return f"discard what {self.name} has parked, at process {self.at + 1}"

    async def happen(self, world: World) -> None:
        """Ask once, with an owner's name that differs from a retry's."""
        attempt = world.attempt(self, f"client {self.number}.0", "")
        owner = f"client {self.number} {DISCARDING}"
        await world.ask(attempt, self.at, lambda running: Parking(running.parking.followers, owner).discard(self.name))


@dataclass(frozen=True, slots=True)
class Drop(Disturbing):
    """Drop a table that no process uses, any more or yet."""

    projection: str
    pick: float

    def __str__(self) -> str:
        return f"drop an unused table of {self.projection}"

    async def happen(self, world: World) -> None:
        """Look, choose one, drop it; the store refuses if it has come into use in between."""
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


@dataclass(frozen=True, slots=True)
class Rebuild(Disturbing):
    """A projection is folded outside the processes, as `twofold rebuild` does."""

    projection: str
    ahead: int
    from_scratch: bool
    crash_after_steps: int | None

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """A rebuild of this version or the next; some of them crash."""
        crash = dice.random.randrange(60) if dice.random.random() < 0.3 else None
        upgrade, from_scratch = dice.random.random() < 0.5, dice.random.random() < 0.5
        return cls(dice.random.choice(dice.app.folded).name, int(upgrade), from_scratch, crash)

    def __str__(self) -> str:
        crash = f", and crashes after {self.crash_after_steps} steps" if self.crash_after_steps is not None else ""
        of = "the next version of " if self.ahead == 1 else f"the version {self.ahead} ahead of " * bool(self.ahead)
        return f"rebuild {of}{self.projection}{' from scratch' * self.from_scratch}{crash}"

    async def happen(self, world: World) -> None:
        """In a separate process, which ends when it has caught up."""
        process = world.loop.process("rebuild")
        if self.crash_after_steps is not None:
            process.after_steps(self.crash_after_steps, process.crash)
        task = world.loop.create_task(self._build(world, process.name), context=process.context)
        await asyncio.wait([task], timeout=GIVE_UP_AFTER_S)
        task.cancel()

    async def _build(self, world: World, name: str) -> None:
        app = world.app
        for _ in range(self.ahead):
            app = upgraded(app, world.partitions)
        world.rebuilding.append(app)
        rows = SimulatedRows(world.storage)
        try:
            log = await connected(world.storage, world.ambient)
            async with app.look(log, read_store=rows, ambient=world.ambient) as running:
                projection = app.projection(self.projection)
                rebuilding = operate.rebuild(running, projection, from_scratch=self.from_scratch, note=world.tell)
                async with aclosing(rebuilding) as reached:
                    async for _ in reached:
                        pass
            world.counts["rebuilds"] += 1
        except (InvalidInput, LeaseLost, NameHeld, Unavailable) as error:
            world.tell(f"{name}: {error!r}")
        except Exception as error:
            world.watcher.broken(ENGINE, f"{name} raised {error!r}")
        finally:
            world.rebuilding.remove(app)


@dataclass(frozen=True, slots=True)
class Deploy:
    """From now on every process runs code that can handle everything."""

    def __str__(self) -> str:
        return "code is deployed that can fold and react to everything"

    async def happen(self, world: World) -> None:
        """At once, in all processes."""
        cure = world.scenario.cure
        if cure is not None:
            world.counts["cures"] += 1
            cure.deployed = True


@lru_cache(maxsize=32)
def upgraded(app: App, partitions: int = 1) -> App:
    """The same App with the next version of each projection; of one with rollups, every other time of those alone.

    So a rollup is also filled from rows that are already there.
    """
    rollups = {rollup: rollup.version + 1 for rollup in app.rollups}
    if rollups and all(rollup.version == rollup.of.version for rollup in rollups):
        newer = [rollup.over(rollup.of, version) for rollup, version in rollups.items()]
        return replace(app, projections=[*app.folded, *newer])
    projections = _newer(app, partitions)
    return replace(
        app, projections=[*projections.values(), *(one.over(projections[one.of], v) for one, v in rollups.items())]
    )


def _newer(app: App, partitions: int) -> Mapping[Projection[Any], Projection[Any]]:
    """The next version of each.

    On a log of several partitions, a projection that followed each partition separately then follows the merged feed,
    and the other way round in the version after that.
    """
    projections = {one: replace(one, version=one.version + 1) for one in app.folded}
    if partitions > 1:
        return {one: _crossed(app, newer) for one, newer in projections.items()}
    return projections


def _crossed(app: App, projection: Projection[Any]) -> Projection[Any]:
    if projection.key is _by_id:
        return replace(projection, key=None)
    if projection.key is None and not app.folding(projection).documents:
        return replace(projection, key=_by_id)
    return projection


def _by_id(event: Any, recorded: Recorded) -> str:
    return recorded.stream.id


@dataclass(frozen=True)
class Operators:
    """Draws what several operators do within the duration of a few requests."""

    dice: Dice
    may_park: bool
    can_be_cured: bool

    def at_once(self, span_s: float, first: int) -> list[tuple[float, Any]]:
        """Two to four actions with their times. Clients are numbered from `first`."""
        projections = [one.name for one in self.dice.app.folded]
        names = [*projections, *(one.name for one in self.dice.app.reactors)] if self.may_park else []
        kinds = ["retry", "retry", "discard"] if names else []
        kinds += ["rebuild", "rebuild", "drop"] if projections else []
        if not kinds:
            return []
        moment, name = self.dice.random.random() * span_s, self.dice.random.choice(names or projections)
        done: list[Any] = [Deploy()] if self.can_be_cured and self.dice.random.random() < 0.3 else []
        for number in range(self.dice.random.randint(2, 4)):
            kind, at = self.dice.random.choice(kinds), self.dice.place()
            done.append(
                self._one(kind, name if names else "", self.dice.random.choice(projections or [""]), at, first + number)
            )
        return [(moment + self.dice.random.random() * AT_ONCE_S, does) for does in done]

    def _one(self, kind: str, name: str, projection: str, at: int, number: int) -> Any:
        match kind:
            case "retry":
                return Retry(name, at, number)
            case "discard":
                return Discard(name, at, number)
            case "drop":
                return Drop(projection, self.dice.random.random())
            case _:
                return Rebuild(projection, self.dice.random.randrange(3), self.dice.random.random() < 0.3, None)
