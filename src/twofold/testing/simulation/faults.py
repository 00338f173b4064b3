"""What can go wrong. Each fault is a value that knows how it is drawn and what it does; the plan says when.

A new fault is a class here, with an entry in `FAULTS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Self

import msgspec

from twofold.testing.simulation.actions import Action, Dice, Disturbing
from twofold.testing.simulation.operators import Rebuild, upgraded
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
class Crash(Disturbing):
    """A process dies between two of its steps, as by kill -9."""

    at: int
    steps: int
    back_after_s: float

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """After up to 60 steps."""
        return cls(dice.place(), dice.random.randrange(60), dice.random.choice((0.0, 0.3, 2.0, 7.0)))

    def __str__(self) -> str:
        return f"process {self.at + 1} crashes {self.steps} steps later, back after {self.back_after_s:.3f} s"

    async def happen(self, world: World) -> None:
        """At one of its next awaits."""
        server = world.server(self.at)

        def crash() -> None:
            if not server.process.crashed and not server.task.done():
                world.counts["crashes"] += 1
                server.back_after_s = self.back_after_s
                world.tell(f"{server.process.name} has crashed")
                server.crash()

        server.process.after_steps(self.steps, crash)


@dataclass(frozen=True, slots=True)
class Pause(Disturbing):
    """A process is paused, as by SIGSTOP, and continues as if nothing had happened."""

    at: int
    steps: int
    for_s: float

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """For less than a lease, or for more."""
        return cls(dice.place(), dice.random.randrange(60), dice.random.choice((0.5, 4.0, 5.5, 7.0, 12.0)))

    def __str__(self) -> str:
        return f"process {self.at + 1} is paused {self.steps} steps later, for {self.for_s:.3f} s"

    async def happen(self, world: World) -> None:
        """At one of its next awaits."""
        process = world.server(self.at).process

        def pause() -> None:
            if process.runs:
                world.counts["pauses"] += 1
                world.tell(f"{process.name} is paused")
                process.pause()
                world.after(self.for_s, wake)

        def wake() -> None:
            if not process.runs and not process.crashed:
                world.tell(f"{process.name} wakes up")
                world.loop.resume(process)

        process.after_steps(self.steps, pause)


@dataclass(frozen=True, slots=True)
class Restart(Disturbing):
    """A process stops cleanly and restarts; with `upgrade`, on the next version of the App."""

    at: int
    upgrade: bool

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """On the same version."""
        return cls(dice.place(), upgrade=False)

    @classmethod
    def upgrading(cls, dice: Dice) -> Self:
        """On the next version."""
        return cls(dice.place(), upgrade=True)

    def __str__(self) -> str:
        return f"process {self.at + 1} stops cleanly and restarts" + (" on the next version" * self.upgrade)

    async def happen(self, world: World) -> None:
        """Ask it to end."""
        server = world.server(self.at)
        if self.upgrade:
            server.next_app = upgraded(server.app, world.partitions)
            world.counts["upgrades"] += 1
        world.counts["clean stops"] += 1
        server.stop()


@dataclass(frozen=True, slots=True)
class StealLease(Disturbing):
    """The epoch of a checkpoint rises, as if another worker had taken it over and died at once."""

    pick: float

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """From a random follower."""
        return cls(dice.random.random())

    def __str__(self) -> str:
        return "a lease is stolen"

    async def happen(self, world: World) -> None:
        """Immediately, in the store."""
        storage = world.storage
        places = [storage.row_checkpoints.rows, *(part.log.checkpoints.rows for part in storage.logs.values())]
        held = [(rows, follower) for rows in places for follower in rows if rows[follower].owner is not None]
        if held:
            rows, follower = held[int(self.pick * len(held))]
            row = rows[follower]
            rows[follower] = msgspec.structs.replace(row, epoch=row.epoch + 1, owner="thief")
            world.counts["leases stolen"] += 1
            world.watcher.stolen(follower, row.epoch + 1)
            storage.synced(durable=True)


@dataclass(frozen=True, slots=True)
class Slow(Disturbing):
    """A store is slow."""

    store: Store
    times: float
    for_s: float

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """By one to three orders of magnitude."""
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


@dataclass(frozen=True, slots=True)
class Jump:
    """The wall clock of a process jumps forwards or back."""

    at: int
    seconds: float

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """By seconds, a minute or a month."""
        return cls(dice.place(), dice.random.choice((-1, 1)) * dice.random.choice((2.0, 60.0, 86_400.0 * 30)))

    def __str__(self) -> str:
        return f"the wall clock of process {self.at + 1} jumps by {self.seconds:.0f} s"

    async def happen(self, world: World) -> None:
        """At once."""
        world.counts["clock jumps"] += 1
        world.server(self.at).skew += timedelta(seconds=self.seconds)


class Fault(NamedTuple):
    """How a fault is drawn, and its weight relative to the others."""

    weight: int
    drawn: Callable[[Dice], Action]


def _rebuild_or_crash(dice: Dice) -> Action:
    return Rebuild.drawn(dice) if dice.app.projections else Crash.drawn(dice)


FAULTS: Mapping[str, Fault] = {
    "crash": Fault(3, Crash.drawn),
    "pause": Fault(2, Pause.drawn),
    "restart": Fault(1, Restart.drawn),
    "upgrade": Fault(1, Restart.upgrading),
    "steal": Fault(1, StealLease.drawn),
    "slow": Fault(1, Slow.drawn),
    "deaf": Fault(1, Deaf.drawn),
    "away": Fault(1, GoAway.drawn),
    "crash store": Fault(2, GoAway.crashing),
    "lose": Fault(2, Lose.drawn),
    "lose page": Fault(1, Lose.answer_to_page),
    "jump": Fault(1, Jump.drawn),
    "rebuild": Fault(1, _rebuild_or_crash),
}
