"""The world of one history: its clock, its store, the processes of the App, and the requests of clients."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from twofold.ambient import Ambient
from twofold.app import App, Running
from twofold.errors import TwofoldError
from twofold.feed.unparking import Unparked
from twofold.messages import Append, Receipt
from twofold.read.proof.verify import Report
from twofold.testing.simulation.attempts import Attempt, told
from twofold.testing.simulation.knowledge import Knowledge
from twofold.testing.simulation.loop import SimulatedLoop
from twofold.testing.simulation.remote import at_once
from twofold.testing.simulation.scenario import Scenario
from twofold.testing.simulation.server import Server, Unanswered
from twofold.testing.simulation.storage import Storage
from twofold.testing.simulation.watch import Watcher
from twofold.write.decider import Done

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LOOK_AGAIN_S = 0.1
MOST_RANGES = 8
MOST_STEPS = 200_000
MOST_STEPS_POLLING = 1_000_000  # every follower polls its partition, while effects are retried for a long time


class World:
    """Created for one history. `schedule` is the seed of everything drawn during the run.

    `partitions` is the number of partitions of the log, at first if it `splits`.

    With `refuses` the read store refuses the rows that the scenario names. With `cures` corrected code is deployed at
    some moment. With `is_told` every step is added to `lines`.
    """

    def __init__(
        self,
        scenario: Scenario,
        schedule: str,
        *,
        partitions: int = 1,
        splits: bool = False,
        refuses: bool = False,
        cures: bool = False,
        is_told: bool = False,
    ) -> None:
        self.scenario, self.app = scenario, scenario.observed.app
        self.random, self.partitions = Random(schedule), partitions
        steps = MOST_STEPS_POLLING if splits else MOST_STEPS
        self.loop = SimulatedLoop(self.random, steps)  # type: ignore[abstract]  # no sockets, files or signals here
        self.counts: Counter[str] = Counter()
        self.lines: list[str] | None = [] if is_told else None
        self.ambient = Ambient(self._now, self._new_id, self.random.random)
        self.storage = Storage(self.loop, self.random, self.counts, partitions, splits=splits)
        if refuses and scenario.refuses is not None:
            self.storage.refuse(scenario.refuses)
        self.watcher = Watcher(self.app, self.storage, self.loop.time, self.counts, self.tell)
        self.watcher.cure = scenario.cure if cures else None
        self.storage.watch = self.watcher
        self.known = Knowledge(self.storage, self.watcher)
        self.servers: list[Server] = []
        self.attempts: list[Attempt] = []
        self.rebuilding: list[App] = []
        self._context = copy_context()
        self._over = False
        self._begin(schedule)

    def _begin(self, schedule: str) -> None:
        """Nothing is cured yet; the given events are in the log, and clients know them."""
        self.scenario.observed.effects = self.watcher.reactions.effects
        self.scenario.begin(schedule)
        if self.scenario.cure is not None:
            self.scenario.cure.deployed = False
        self.storage.clock = self.ambient
        for append in self.scenario.given:
            self._give(append)

    def _give(self, append: Append) -> None:
        if self.storage.container is not None:
            outcome, _ = self.storage.append(append, self.ambient)
        else:
            part = self.storage.logs[self.storage.courses.partition_of(append.stream.id)]
            [outcome] = at_once(part.log.commit([append]))
            self.watcher.appended(part, [append], [outcome])
        if isinstance(outcome, TwofoldError):
            raise outcome
        if self.storage.container is None:
            self.known.heard(outcome)

    def close(self) -> None:
        """End every task; requests in flight to a store are lost."""
        for link in (*self.storage.links("the log"), self.storage.rows_link):
            link.crash(away=True)
        self._over = True
        self.loop.close()
        if self.scenario.cure is not None:
            self.scenario.cure.deployed = False  # other histories run the same code

    def tell(self, text: str) -> None:
        """Add a line to the history, with the time."""
        if self.lines is not None:
            self.lines.append(f"{self.loop.time():8.3f} s  {text}")

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        """Call back at this time, even if the requesting process has crashed by then."""
        self.loop.call_later(seconds, happens, context=self._context)

    def _now(self) -> datetime:
        """The true time; the clock of a process may be off."""
        return EPOCH + timedelta(seconds=self.loop.time())

    def _new_id(self) -> str:
        return f"{self.random.getrandbits(128):032x}"

    # ---- the processes and stores

    def start(self, place: int, app: App) -> Server:
        """A new process; when it ends, another one is started in its place."""
        return Server(place, app, self.loop, self.storage, self.ambient, self._ended)

    def server(self, place: int) -> Server:
        """The process at this place, modulo the number of places."""
        return self.servers[place % len(self.servers)]

    def _ended(self, server: Server) -> None:
        if not (server.leaves or self._over):
            self.after(server.back_after_s, lambda: self._start_again(server))

    def _start_again(self, old: Server) -> None:
        if self._over:
            return
        self.tell(f"process {old.place + 1} restarts")
        self.counts["restarts"] += 1
        self.servers[old.place] = self.start(old.place, old.next_app)

    def split(self, pick: float) -> None:
        """Split a partition, if there are not too many."""
        container = self.storage.container
        if container is not None and len(container.ranges) < MOST_RANGES:
            former = container.split(pick)
            self.counts["partitions split"] += 1
            self.tell(f"feed range {former.physical.id} splits at LSN {former.lsn}")

    def versions(self, projection: str) -> set[int]:
        """The versions that some process runs, is about to run, or builds."""
        apps = [app for server in self.servers for app in (server.app, server.next_app)]
        return {one.version for app in (*apps, *self.rebuilding) for one in app.projections if one.name == projection}

    # ---- requests of clients

    def attempt(self, asked: Any, label: str, stream: str, **more: Any) -> Attempt:
        """Record a request that is about to be sent."""
        version = self.storage.version(stream) if stream else 0
        made = Attempt(asked, label, stream, "", self.loop.time(), version, **more)
        self.attempts.append(made)
        return made

    async def ask(
        self,
        attempt: Attempt,
        place: int,
        work: Callable[[Running], Awaitable[Any]],
        cancelled_after_s: float | None = None,
    ) -> None:
        """Ask the process at this place, or the next one that runs, and record the outcome."""
        server = await self.running_server(place)
        attempt.process = server.process.name
        attempt.lengths_before = self.storage.courses.lengths()
        try:
            attempt.outcome = await server.ask(work, cancelled_after_s)
        except Unanswered as unanswered:
            attempt.outcome = unanswered
        self._count(attempt.outcome)
        attempt.ended_s = self.loop.time()
        attempt.lengths_after = self.storage.courses.lengths()
        attempt.version_after = self.storage.version(attempt.stream) if attempt.stream else 0
        if self.lines is not None:
            self.tell(f"{attempt.label} gets from {attempt.process}: {told(attempt.outcome)}")

    def _count(self, outcome: Any) -> None:
        if isinstance(outcome, Done | Receipt):
            receipt = outcome.receipt if isinstance(outcome, Done) else outcome
            self.counts["answered again" if receipt.repeated else "commands done"] += 1
        elif isinstance(outcome, Report):
            self.counts["verified"] += 1
        elif isinstance(outcome, Unparked):
            self.counts["tried again"] += 1
            self.counts["unparked"] += len(outcome.done)
        elif isinstance(outcome, Exception):
            self.counts[f"told {type(outcome).__name__}"] += 1
        else:
            self.counts["reads answered"] += 1

    async def running_server(self, place: int) -> Server:
        """The process at this place, or the next one that runs."""
        while True:
            for offset in range(len(self.servers)):
                server = self.servers[(place + offset) % len(self.servers)]
                if server.running is not None:
                    return server
            await asyncio.sleep(LOOK_AGAIN_S)
