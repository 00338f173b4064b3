"""What can go wrong, each fault a value: when it happens is the plan's business, what it does stands here."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import msgspec

from twofold import operate
from twofold.ambient import Ambient
from twofold.app import App
from twofold.errors import InvalidInput, LeaseLost, NameHeld, Unavailable
from twofold.testing.simulation.remote import Kind, Mishap, Remote
from twofold.testing.simulation.stores import SimulatedLog, SimulatedRows

if TYPE_CHECKING:
    from twofold.testing.simulation.server import Server
    from twofold.testing.simulation.world import World

GIVE_UP_AFTER_S = 4.0

Store = Literal["the log", "the read store"]


def _link(world: World, store: Store) -> Remote:
    return world.storage.log_link if store == "the log" else world.storage.rows_link


def _server(world: World, place: int) -> Server:
    return world.servers[place % len(world.servers)]


@dataclass(frozen=True, slots=True)
class Crash:
    """A process ends between two of its steps, as by kill -9."""

    at: int
    steps: int
    back_after_s: float

    def __str__(self) -> str:
        return f"process {self.at + 1} crashes {self.steps} steps later, back after {self.back_after_s:.3f} s"

    async def happen(self, world: World) -> None:
        """At one of its next awaits."""
        server = _server(world, self.at)

        def crash() -> None:
            if not server.process.crashed and not server.task.done():
                world.counts["crashes"] += 1
                server.back_after_s = self.back_after_s
                world.tell(f"{server.process.name} has crashed")
                server.crash()

        server.process.after_steps(self.steps, crash)


@dataclass(frozen=True, slots=True)
class Pause:
    """A process stands still, as by SIGSTOP, and goes on as if nothing had been."""

    at: int
    steps: int
    for_s: float

    def __str__(self) -> str:
        return f"process {self.at + 1} stands still {self.steps} steps later, for {self.for_s:.3f} s"

    async def happen(self, world: World) -> None:
        """At one of its next awaits."""
        process = _server(world, self.at).process

        def pause() -> None:
            if process.runs:
                world.counts["pauses"] += 1
                world.tell(f"{process.name} stands still")
                process.pause()
                world.after(self.for_s, wake)

        def wake() -> None:
            if not process.runs and not process.crashed:
                world.tell(f"{process.name} wakes up")
                world.loop.resume(process)

        process.after_steps(self.steps, pause)


@dataclass(frozen=True, slots=True)
class Restart:
    """A process ends in order and is started again; with `upgrade` on the next version of the App."""

    at: int
    upgrade: bool

    def __str__(self) -> str:
        return f"process {self.at + 1} ends in order and starts again" + (" on the next version" * self.upgrade)

    async def happen(self, world: World) -> None:
        """It is asked to."""
        server = _server(world, self.at)
        if self.upgrade:
            server.next_app = upgraded(server.app)
            world.counts["upgrades"] += 1
        world.counts["clean stops"] += 1
        server.stop()


@dataclass(frozen=True, slots=True)
class StealLease:
    """The epoch of a checkpoint rises, as if somebody else had taken it over and died at once."""

    pick: float

    def __str__(self) -> str:
        return "a lease is stolen"

    async def happen(self, world: World) -> None:
        """In the store, at once."""
        storage = world.storage
        places = [storage.row_checkpoints.rows, storage.log.checkpoints.rows]
        held = [(rows, follower) for rows in places for follower in rows if rows[follower].owner is not None]
        if held:
            rows, follower = held[int(self.pick * len(held))]
            row = rows[follower]
            rows[follower] = msgspec.structs.replace(row, epoch=row.epoch + 1, owner="thief")
            world.counts["leases stolen"] += 1
            world.watcher.stolen(follower, row.epoch + 1)
            storage.synced(durable=True)


@dataclass(frozen=True, slots=True)
class Slow:
    """A store takes its time."""

    store: Store
    times: float
    for_s: float

    def __str__(self) -> str:
        return f"{self.store} is {self.times:.0f} times slower for {self.for_s:.3f} s"

    async def happen(self, world: World) -> None:
        """For a while."""
        link = _link(world, self.store)
        world.counts["slow"] += 1
        link.slowness = self.times
        await asyncio.sleep(self.for_s)
        link.slowness = 1.0


@dataclass(frozen=True, slots=True)
class Deaf:
    """Nobody hears that there is news in a store."""

    store: Store
    for_s: float

    def __str__(self) -> str:
        return f"the doorbell of {self.store} is not heard for {self.for_s:.3f} s"

    async def happen(self, world: World) -> None:
        """For a while."""
        link = _link(world, self.store)
        world.counts["deaf"] += 1
        link.deaf = True
        await asyncio.sleep(self.for_s)
        link.deaf = False


@dataclass(frozen=True, slots=True)
class GoAway:
    """A store cannot be reached; with `crash` it loses what was not synced."""

    store: Store
    crash: bool
    for_s: float

    def __str__(self) -> str:
        return f"{self.store} {'crashes' if self.crash else 'is away'}, back after {self.for_s:.3f} s"

    async def happen(self, world: World) -> None:
        """For a while."""
        link = _link(world, self.store)
        world.counts[f"{self.store} {'crashed' if self.crash else 'went away'}"] += 1
        if self.crash and self.store == "the read store":
            world.storage.crash_rows()
        else:
            link.crash(away=True)
            world.watcher.log_crashed()
        await asyncio.sleep(self.for_s)
        link.away = False


@dataclass(frozen=True, slots=True)
class Lose:
    """Something happens to the next requests of a kind."""

    store: Store
    kind: Kind
    mishap: Mishap
    times: int

    def __str__(self) -> str:
        what = {"request lost": "is lost", "answer lost": "is done and its answer lost", "late": "arrives late"}
        return f"{self.times} of the next {self.kind} requests to {self.store}: {what.get(self.mishap, self.mishap)}"

    async def happen(self, world: World) -> None:
        """When they come."""
        _link(world, self.store).mishaps[self.mishap, self.kind] += self.times


@dataclass(frozen=True, slots=True)
class Jump:
    """The wall clock of a process is put forwards or back."""

    at: int
    seconds: float

    def __str__(self) -> str:
        return f"the wall clock of process {self.at + 1} jumps by {self.seconds:.0f} s"

    async def happen(self, world: World) -> None:
        """At once."""
        world.counts["clock jumps"] += 1
        _server(world, self.at).skew += timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Somebody folds a projection outside of the processes, as `twofold rebuild` does."""

    projection: str
    ahead: int
    from_scratch: bool
    crash_after_steps: int | None

    def __str__(self) -> str:
        crash = f", and crashes after {self.crash_after_steps} steps" if self.crash_after_steps is not None else ""
        of = "the next version of " if self.ahead == 1 else f"the version {self.ahead} ahead of " * bool(self.ahead)
        return f"rebuild {of}{self.projection}{' from scratch' * self.from_scratch}{crash}"

    async def happen(self, world: World) -> None:
        """In a process of its own, which ends when it has caught up."""
        process = world.loop.process("rebuild")
        if self.crash_after_steps is not None:
            process.after_steps(self.crash_after_steps, process.crash)
        task = world.loop.create_task(self._build(world, process.name), context=process.context)
        await asyncio.wait([task], timeout=GIVE_UP_AFTER_S)
        task.cancel()

    async def _build(self, world: World, name: str) -> None:
        app = world.app
        for _ in range(self.ahead):
            app = upgraded(app)
        version = app.projections[0].version
        world.rebuilding[version] += 1
        ambient = Ambient(world.now, world.new_id, world.random.random)
        log, rows = SimulatedLog(world.storage, ambient), SimulatedRows(world.storage)
        try:
            async with app.look(log, read_store=rows, ambient=ambient) as running:
                projection = app.projection(self.projection)
                rebuilding = operate.rebuild(running, projection, from_scratch=self.from_scratch, note=world.tell)
                async with aclosing(rebuilding) as reached:
                    async for _ in reached:
                        pass
            world.counts["rebuilds"] += 1
        except (InvalidInput, LeaseLost, NameHeld, Unavailable) as error:
            world.tell(f"{name}: {error!r}")
        finally:
            world.rebuilding[version] -= 1


@dataclass
class Cure:
    """Whether the code is deployed that can handle everything."""

    deployed: bool = False


@dataclass(frozen=True, slots=True)
class Deploy:
    """From now on every process runs better code."""

    def __str__(self) -> str:
        return "code is deployed that can fold and react to everything"

    async def happen(self, world: World) -> None:
        """At once, in all of them."""
        cure = world.plan.scenario.cure
        if cure is not None:
            world.counts["cures"] += 1
            cure.deployed = True


@lru_cache(maxsize=16)
def upgraded(app: App) -> App:
    """The same App with the next version of each projection."""
    projections = [replace(projection, version=projection.version + 1) for projection in app.projections]
    return replace(app, projections=projections)


FAULTS = (Crash, Pause, Restart, StealLease, Slow, Deaf, GoAway, Lose, Rebuild)
"""Whatever may keep a client waiting, or leave him without an answer."""
