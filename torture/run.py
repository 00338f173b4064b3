"""The whole run: start, rage, settle, gather, check."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torture.app import corrected_app
from torture.chaos import Chaos
from torture.checker import check
from torture.cosmos_evidence import gather_from_ranges
from torture.cosmos_ground import CosmosGround
from torture.crew import Crew
from torture.disk import small_disk
from torture.evidence import Violation, gather
from torture.ground import Ground, PostgresGround, SqliteGround
from torture.journal import Journals, Seen
from torture.member import Role
from torture.mender import retry
from torture.parts import looked
from torture.ranges import folder_of
from torture.report import Counts, Report
from twofold import operate
from twofold.app import Running
from twofold.errors import Unavailable
from twofold.feed.partitions import ancestors, feeds
from twofold.messages import Position

MEMBERS: dict[Role, int] = {"appender": 2, "worker": 4, "reader": 1, "mender": 1}
LOOK_S = 1.0
SETTLE_S = 120.0


@dataclass(frozen=True)
class Settings:
    """The options of a run. With `disk_mb` the store is on a disk of this size, which is filled now and then.

    The folder must exist and be empty. As root, PostgreSQL runs as another user, which must be able to reach it.
    """

    backend: Literal["sqlite", "postgres", "cosmos"]
    minutes: float
    seed: str
    folder: Path
    disk_mb: int | None = None
    mutation: str | None = None
    partitions: int = 1


class Torture:
    """One run on one store. `tell` gets the figures every second; setting `enough` ends the run."""

    def __init__(self, settings: Settings, ground: Ground, tell: Callable[[Counts], None]) -> None:
        self._settings, self._ground, self._tell = settings, ground, tell
        self.crew = Crew(ground.url, settings.folder, settings.seed, settings.mutation)
        self.chaos = Chaos(self.crew, ground, settings.seed, settings.mutation)
        self.counts = Counts()
        self.enough = asyncio.Event()
        self._journals = Journals(self.crew.journals)
        self._seen: Counter[int] = Counter()

    async def run(self) -> list[Violation]:
        """Run, and return all violations. No process is left, whatever happens."""
        try:
            async with AsyncExitStack() as stack:
                for role, count in MEMBERS.items():
                    self.crew.start(role, count)
                running = await stack.enter_async_context(looked(corrected_app, self._ground.url))
                await self._rage(running)
                complaints = await self._settle(running)
        finally:
            await self.crew.abandon()
        gathered = gather if folder_of(self._ground.url) is None else gather_from_ranges
        evidence = await gathered(self._ground.url, self.crew.journals, complaints)
        violations = await asyncio.to_thread(check, evidence)
        self.counts.events = len(evidence.events)
        self.counts.judge(violations)
        return violations

    async def _rage(self, running: Running) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        raging = asyncio.create_task(self.chaos.rage())
        try:
            while not self.enough.is_set() and not raging.done() and clock() - began < self._settings.minutes * 60:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):  # wait_for would lose a second Ctrl-C
                        await self.enough.wait()
                self.counts.seconds = int(clock() - began)
                await self._look(running)
        finally:
            raging.cancel()
            outcome = await asyncio.gather(raging, return_exceptions=True)
            self._ground.mend()
        if isinstance(outcome[0], Exception):
            raise outcome[0]

    async def _settle(self, running: Running) -> list[Violation]:
        """No more faults: everything begun is finished, and every follower reaches the end of the log."""
        await self.crew.end("appender")
        await self.crew.end("mender")
        behind = await self._until_all_have_read(running)
        unparked = await retry(running)  # the last of what can be corrected
        self.counts.unparked += len(unparked.done)
        behind += await self._until_all_have_read(running)
        await self.crew.end("worker")
        await self.crew.end("reader")
        await self._look(running)
        stuck = [f"{one} after {SETTLE_S:g} s of rest" for one in behind]
        return [Violation("fallen", one) for one in self.crew.fallen] + [Violation("stuck", one) for one in stuck]

    async def _until_all_have_read(self, running: Running) -> list[str]:
        """Wait; returns the followers that did not reach the end of the log in time, or still have retries open."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + SETTLE_S
        while (behind := await self._look(running)) and clock() < deadline:
            await asyncio.sleep(LOOK_S / 4)
        return behind

    async def _look(self, running: Running) -> list[str]:
        """Update the counts; returns the followers that are behind the end of the log."""
        for _, fact in self._journals.news():
            self.counts.take(fact)
            if isinstance(fact, Seen):
                self._seen[fact.partition] = max(self._seen[fact.partition], fact.upto)
        self.counts.take_faults(self.chaos.faults)
        self.counts.kills = self.crew.kills + self.counts.server_kills
        self.counts.pauses = self.crew.pauses + self.counts.server_pauses
        try:
            behind = await self._behind(running)
        except Unavailable as error:
            behind = [str(error)]
        self._tell(self.counts)
        return behind

    async def _behind(self, running: Running) -> list[str]:
        statuses = await operate.status(running)
        self.counts.lag = max(status.lag_events for status in statuses)
        self.counts.parked = sum(status.parked for status in statuses)
        heads = {feed.partition: await feed.head() for feed in (*feeds(running.log).values(), running.log)}
        behind = [
            f"{s.name} is at {s.position}, the log at {heads.get(s.partition, 'a split')}"
            for s in statuses
            if s.lag_events or s.partition not in heads or s.head < heads[s.partition]
        ]
        behind += [
            f"{s.name} still has {s.parked} streams to retry" for s in statuses if s.kind == "reactor" and s.parked
        ]
        lines = {number: (*ancestors(running.log, number), number) for number in heads}
        seen = {number: Position(number, max(self._seen[one] for one in line)) for number, line in lines.items()}
        return behind + [
            f"the reader is at {seen[n]}, the log at {head}" for n, head in heads.items() if seen[n] != head
        ]


async def torture(
    settings: Settings, tell: Callable[[Counts], None], started: Callable[[Torture], None] = lambda _: None
) -> Report:
    """Run and check. With violations, the store, journals and output of all processes stay in the folder.

    Raises: CannotMount if a small disk is not possible, RuntimeError if a server cannot be started.
    """
    with ExitStack() as stack:
        place = settings.folder / "store"
        disk = stack.enter_context(small_disk(place, settings.disk_mb)) if settings.disk_mb is not None else None
        place.mkdir(exist_ok=True)
        ground: Ground
        if settings.backend == "sqlite":
            ground = SqliteGround(place, disk, settings.partitions)
        elif settings.backend == "cosmos":
            ground = CosmosGround(place, settings.partitions)
        else:
            ground = PostgresGround(place, disk)
        stack.callback(ground.close)
        one = Torture(settings, ground, tell)
        started(one)
        violations = await one.run()
    if not violations:
        shutil.rmtree(settings.folder)
    minutes = round(one.counts.seconds / 60, 2)
    return Report(settings.backend, ground.version, settings.seed, minutes, one.counts, violations, settings.folder)
