"""One history: the steps of a plan happen to an App, its processes and its store, until everything has come to rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from twofold.ambient import Ambient
from twofold.app import Running
from twofold.errors import LogReplaced, TwofoldError, Unavailable
from twofold.feed.checkpoints import Claim
from twofold.feed.parking import Unparked
from twofold.messages import BEGINNING, Append, Entry, Receipt
from twofold.react.runner import MOST_TRIES, PAUSES_S
from twofold.read.proof.verify import Report
from twofold.testing.simulation.clients import Attempt, told
from twofold.testing.simulation.knowledge import Knowledge
from twofold.testing.simulation.loop import SimulatedLoop, Stuck
from twofold.testing.simulation.remote import LATE_S, at_once
from twofold.testing.simulation.server import Server, Unanswered
from twofold.testing.simulation.storage import LogBecomes, Storage
from twofold.testing.simulation.stores import SimulatedLog
from twofold.testing.simulation.watch import ENGINE, Violation, Watcher
from twofold.write.decider import Done

if TYPE_CHECKING:
    from twofold.testing.simulation.plan import Plan

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LOOK_AGAIN_S = 0.1
REST_S = 0.25
AT_REST_WITHIN_S = 60.0
EFFECTS_WITHIN_S = sum(PAUSES_S) + AT_REST_WITHIN_S
NOTICED_WITHIN_S = 12.0


class World:
    """Everything of one history. Made for one run."""

    def __init__(self, plan: Plan, *, is_told: bool = False) -> None:
        self.plan, self.app = plan, plan.app
        self.random = Random(plan.schedule)
        self.loop = SimulatedLoop(self.random)  # type: ignore[abstract]  # no sockets, files or signals here
        self.counts: Counter[str] = Counter()
        self.storage = Storage(self.loop, self.random, self.counts)
        self.log_id = self.storage.log.log_id
        if plan.refuses and plan.scenario.refuses is not None:
            self.storage.refuse(plan.scenario.refuses)
        self.watcher = Watcher(plan.app, self.storage, self.loop.time, self.counts)
        self.storage.watch = self.watcher
        self.watcher.tell = self.tell
        self.watcher.cure = plan.scenario.cure if plan.cures else None
        plan.scenario.observed.effects = self.watcher.effects
        plan.scenario.begin(plan.schedule)
        if plan.scenario.cure is not None:
            plan.scenario.cure.deployed = False
        self.storage.keeps_unsynced = plan.read_store_crashes
        self.storage.syncs_tables_only = plan.syncs_tables_only
        self.servers: list[Server] = []
        self.attempts: list[Attempt] = []
        self.seen: list[Entry] = []
        self._entries: Sequence[Entry] | None = None
        self.history: list[str] | None = [] if is_told else None
        self.known = Knowledge(self)
        self.rebuilding: Counter[int] = Counter()
        self._context = copy_context()
        self._over = False
        self._begin_with(plan.scenario.given)

    def _begin_with(self, given: Sequence[Append]) -> None:
        """What has happened before: it is in the log, and clients know of it."""
        self.storage.clock = Ambient(self.now, self.new_id)
        for append in given:
            outcomes = at_once(self.storage.log.commit([append]))
            self.watcher.appended([append], outcomes)
            for outcome in outcomes:
                if isinstance(outcome, TwofoldError):
                    raise outcome
                self.known.heard(outcome)

    def tell(self, text: str) -> None:
        """For who reads the history."""
        if self.history is not None:
            self.history.append(f"{self.loop.time():8.3f} s  {text}")

    def broken(self, promise: str, text: str) -> None:
        """A promise was."""
        self.watcher.broken(promise, text)

    @property
    def violations(self) -> list[Violation]:
        """The promises that were broken."""
        return self.watcher.violations

    # ---- the course of things

    def run(self) -> None:
        """From the first step to rest."""
        try:
            self.loop.run_until_complete(self._main())
            for error in self.loop.errors:
                self.broken(ENGINE, f"an error that nobody caught: {error}")
        except Stuck as stuck:
            self.broken(ENGINE, str(stuck))
        self.counts["events"] += len(self.entries)

    def close(self) -> None:
        """Let go of every task."""
        self.storage.log_link.crash(away=True)
        self.storage.rows_link.crash(away=True)
        self._over = True
        self.loop.close()
        if self.plan.scenario.cure is not None:
            self.plan.scenario.cure.deployed = False  # others may run the same code

    async def _main(self) -> None:
        reader = asyncio.ensure_future(self._read_along())
        self.servers = [Server(self, place, self.app) for place in range(self.plan.processes)]
        happening = []
        for step in self.plan.steps:
            await asyncio.sleep(max(0.0, step.at_s - self.loop.time()))
            if self.history is not None:
                self.tell(step.words)
            happening.append(asyncio.ensure_future(step.does.happen(self)))
        await asyncio.gather(*happening)
        self._mend()
        if await self._rests() and (not self.plan.cures or await self._is_cured()):
            await self._end()
        reader.cancel()

    async def _read_along(self) -> None:
        """A reader that follows the feed in small pages, and never goes away."""
        log = SimulatedLog(self.storage, Ambient())
        limits = Random(self.plan.schedule)
        while True:
            after = self.seen[-1].position if self.seen else BEGINNING
            try:
                page = await log.read(after, limits.randint(1, 9))
                self.seen += page.entries
                if page.upto == after:
                    await log.wait(after, 5.0)
            except Unavailable:
                await asyncio.sleep(LOOK_AGAIN_S)
            except LogReplaced:
                return

    def _mend(self) -> None:
        """From here on the followers must come to the end of the feed by themselves."""
        self.tell("from here on nothing goes wrong any more")
        for link in (self.storage.log_link, self.storage.rows_link):
            link.away, link.deaf, link.slowness = False, False, 1.0
            link.mishaps.clear()
        for server in self.servers:
            server.process.fuse = None
            if not (server.process.runs or server.process.crashed):
                self.loop.resume(server.process)

    async def _rests(self) -> bool:
        within_s = EFFECTS_WITHIN_S if self.plan.scenario.observed.reactors else AT_REST_WITHIN_S
        deadline = self.loop.time() + within_s
        while not self._at_rest():
            if self.loop.time() > deadline:
                behind, not_shown = self._behind(), self._not_shown()
                self.broken(ENGINE, f"not at rest after {within_s:g} s: {behind}")
                if not_shown and not behind:
                    self.broken("G8", not_shown)
                return False
            await asyncio.sleep(REST_S)
        return True

    async def _is_cured(self) -> bool:
        """With the better code, and a store that takes every row, nothing stays parked when it is tried again."""
        self.storage.take_all()
        self.tell("everything that is parked is tried again")
        running = self.servers[0].running
        assert running is not None, "it rests"
        for following in running.followers:
            await self._tried_again(following.follower.follows.name)
        rested = await self._rests()
        for following in running.followers:
            for one in await following.checkpoints.parked(following.follower.follows):
                text = f"{one.kind} {one.key} of {following.follower.follows} still waits: {one.error}"
                self.broken("G7", f"with code that can handle it, {text}")
        return rested

    def _not_shown(self) -> str:
        """A newest version that runs has come as far as any, so the public name should show it (G8)."""
        rows = self.storage.row_checkpoints
        for follows in [p.follows for server in self.servers for p in server.app.projections]:
            live = self.storage.in_rows.live(follows.name)
            if self.head and live < follows.version and not rows.waiting.get(follows):
                return f"{follows} is at {rows.rows[follows].position}, and version {live} is still shown"
        return ""

    async def _tried_again(self, name: str) -> None:
        while True:
            running = self.servers[0].running  # a roll-out that was under way may have replaced it
            try:
                if running is not None:
                    await running.parking.retry(name)
                    return
            except Unavailable:  # to a request that was sent long ago; by a process that stops
                pass
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _end(self) -> None:
        """Every process ends in order; what was sent before is done by then."""
        if self.plan.log_becomes is not None and self.storage.entries:
            await asyncio.sleep(LATE_S)
            await self._replace_log(self.plan.log_becomes)
        held = {
            (following.follower.follows, following.owner)
            for server in self.servers
            if server.running
            for following in server.running.followers
            if following.state == "following"
        }
        for server in self.servers:
            server.leaves = True
            server.stop()
        await asyncio.wait([server.task for server in self.servers])
        await asyncio.sleep(LATE_S)
        for row in [*self.storage.row_checkpoints.rows.values(), *self.storage.log.checkpoints.rows.values()]:
            was_left = Claim(row.follower, row.epoch) in self.storage.not_released
            if (row.follower, row.owner) in held and not was_left:
                self.broken(ENGINE, f"{row.follower} is still held after every process has ended in order")

    async def _replace_log(self, by: LogBecomes) -> None:
        """Another log, or an older copy, lies where the log was: it is noticed, and nothing is read as if it were the
        same (G11)."""
        self.tell(f"the log is replaced by {by}")
        self._entries = self.entries
        self.counts["logs replaced"] += 1
        before = {follows: dict(rows) for follows, rows in self.storage.in_rows.tables.items()}
        self.storage.replace_log(by)
        self.watcher.went_back()
        await asyncio.sleep(NOTICED_WITHIN_S)
        for server in self.servers:
            for following in server.running.followers if server.running else ():
                if following.follower.follows in before and following.state != "stopped":
                    text = f"{following.follower.follows} is {following.state} at {server.process.name}"
                    self.broken("G11", f"the log was replaced by {by}, and {text}")
        if any(self.storage.table(follows) != rows for follows, rows in before.items()):
            self.broken("G11", f"the log was replaced by {by}, and folded into the rows of the one before")
        newcomer = Server(self, len(self.servers), self.servers[0].app)
        newcomer.leaves = True
        await asyncio.sleep(NOTICED_WITHIN_S)
        if before and newcomer.running is not None:
            self.broken("G11", f"the log was replaced by {by}, and a process was started on it")
        newcomer.stop()
        await newcomer.task

    def _at_rest(self) -> bool:
        at_head = all(server.running for server in self.servers) and len(self.seen) == self.head
        return at_head and not (self._behind() or self._in_between() or self._not_shown())

    def _in_between(self) -> bool:
        """Whether effects are still tried again."""
        waiting = self.storage.log.checkpoints.waiting
        names = self.plan.scenario.observed.reactors
        return any(one.tries < MOST_TRIES for f in waiting if f.name in names for one in waiting[f].values())

    def _behind(self) -> str:
        checkpoints = {**self.storage.row_checkpoints.rows, **self.storage.log.checkpoints.rows}
        followings = [following for s in self.servers if s.running for following in s.running.followers]
        behind = []
        for following in followings:
            checkpoint = checkpoints.get(following.follower.follows)
            if checkpoint is None or checkpoint.position.offset < self.head:
                behind.append(f"{following.follower.follows}: {checkpoint}, {following.state}: {following.error}")
        return "; ".join(behind)

    def ended(self, server: Server) -> None:
        """A process has ended: another one is started in its place."""
        if not (server.leaves or self._over):
            self.after(server.back_after_s, lambda: self._start(server))

    def _start(self, old: Server) -> None:
        if self._over:
            return
        self.tell(f"process {old.place + 1} starts again")
        self.counts["restarts"] += 1
        self.servers[old.place] = Server(self, old.place, old.next_app)

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        """Let something happen then, whatever has become of processes."""
        self.loop.call_later(seconds, happens, context=self._context)

    def now(self) -> datetime:
        """The wall clock of this world; that of a process may be off."""
        return EPOCH + timedelta(seconds=self.loop.time())

    def new_id(self) -> str:
        """As `Ambient.new_id`."""
        return f"{self.random.getrandbits(128):032x}"

    # ---- what clients need

    @property
    def entries(self) -> Sequence[Entry]:
        """What is in the log; after it was replaced, what was in it."""
        return self.storage.entries if self._entries is None else self._entries

    @property
    def head(self) -> int:
        """The offset of the log's end."""
        return len(self.storage.entries)

    def version(self, stream: str) -> int:
        """As it is in the store."""
        return len(self.storage.in_log.streams.get(stream, ()))

    def versions(self, projection: str) -> set[int]:
        """Those that some process runs on, is about to, or builds."""
        apps = [app for server in self.servers for app in (server.app, server.next_app)]
        in_use = {one.version for app in apps for one in app.projections if one.name == projection}
        return in_use | {version for version, number in self.rebuilding.items() if number}

    def attempt(self, asked: Any, label: str, stream: str, **more: Any) -> Attempt:
        """A new record."""
        made = Attempt(asked, label, stream, "", self.loop.time(), self.head, self.version(stream), **more)
        self.attempts.append(made)
        return made

    async def ask(
        self,
        attempt: Attempt,
        place: int,
        work: Callable[[Running], Awaitable[Any]],
        cancelled_after_s: float | None = None,
    ) -> None:
        """Ask the process at this place, or the next one that runs, and record the answer."""
        server = await self._server(place)
        attempt.process = server.process.name
        try:
            attempt.outcome = await server.ask(work, cancelled_after_s)
        except Unanswered as unanswered:
            attempt.outcome = unanswered
        self._count(attempt.outcome)
        attempt.ended_s = self.loop.time()
        attempt.head_after, attempt.version_after = self.head, self.version(attempt.stream)
        if self.history is not None:
            self.tell(f"{attempt.label} is told by {attempt.process}: {told(attempt.outcome)}")

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

    async def _server(self, place: int) -> Server:
        while True:
            for offset in range(len(self.servers)):
                server = self.servers[(place + offset) % len(self.servers)]
                if server.running is not None:
                    return server
            await asyncio.sleep(LOOK_AGAIN_S)
