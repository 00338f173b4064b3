"""What goes wrong in the processes: crashes, pauses, restarts, stolen leases, clocks that jump."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import msgspec

from twofold.testing.simulation.actions import Dice, Disturbing
from twofold.testing.simulation.operators import upgraded
from twofold.testing.simulation.remote import Remote
from twofold.testing.simulation.world import World


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
class StopWhileClaiming(Disturbing):
    """A process stops cleanly while it claims a checkpoint, and the response is lost: a roll-out during a failover."""

    at: int

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """At the next claim."""
        return cls(dice.place())

    def __str__(self) -> str:
        return f"process {self.at + 1} stops cleanly during its next claim, whose response is lost"

    async def happen(self, world: World) -> None:
        """When the claim is sent."""
        server = world.server(self.at)

        def stop(link: Remote) -> None:
            world.counts["clean stops while claiming"] += 1
            link.mishaps["answer lost", "claim"] += 1
            server.stop()

        for link in (*world.storage.links("the log"), world.storage.rows_link):
            link.when_sent[server.process, "claim"] = stop


@dataclass(frozen=True, slots=True)
class StealLease(Disturbing):
    """The epoch of a checkpoint rises, as if another worker had taken it over and died at once."""

    pick: float

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """A lease of a random follower."""
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
            world.watcher.leases.stolen(follower, row.epoch + 1)
            storage.synced(durable=True)


@dataclass(frozen=True, slots=True)
class Jump:
    """The wall clock of a process jumps forwards or back."""

    at: int
    seconds: float

    @classmethod
    def drawn(cls, dice: Dice) -> Self:
        """A jump of two seconds, a minute or a month."""
        return cls(dice.place(), dice.random.choice((-1, 1)) * dice.random.choice((2.0, 60.0, 86_400.0 * 30)))

    def __str__(self) -> str:
        return f"the wall clock of process {self.at + 1} jumps by {self.seconds:.0f} s"

    async def happen(self, world: World) -> None:
        """At once."""
        world.counts["clock jumps"] += 1
        world.server(self.at).skew += timedelta(seconds=self.seconds)
