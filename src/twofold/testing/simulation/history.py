"""One history: the steps of a plan happen in a world, until everything has come to rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random

from twofold.ambient import Ambient
from twofold.errors import LogReplaced, Unavailable
from twofold.feed.checkpoints import Claim
from twofold.messages import BEGINNING, Entry
from twofold.react.runner import MOST_TRIES, PAUSES_S
from twofold.testing.simulation.loop import Stuck
from twofold.testing.simulation.plan import Plan
from twofold.testing.simulation.remote import LATE_S
from twofold.testing.simulation.storage import LogBecomes
from twofold.testing.simulation.stores import SimulatedLog
from twofold.testing.simulation.watch import ENGINE, Violation
from twofold.testing.simulation.world import LOOK_AGAIN_S, World

REST_S = 0.25
AT_REST_WITHIN_S = 60.0
EFFECTS_WITHIN_S = sum(PAUSES_S) + AT_REST_WITHIN_S
NOTICED_WITHIN_S = 12.0


class History:
    """One run of a plan. `seen` is what a reader that followed the feed all along was given."""

    def __init__(self, plan: Plan, *, is_told: bool = False) -> None:
        self.plan = plan
        self.world = World(plan.scenario, plan.schedule, refuses=plan.refuses, cures=plan.cures, is_told=is_told)
        self.storage, self.watcher, self.loop = self.world.storage, self.world.watcher, self.world.loop
        self.storage.keeps_unsynced = plan.read_store_crashes
        self.storage.syncs_tables_only = plan.syncs_tables_only
        self.log_id = self.storage.log.log_id
        self.seen: list[Entry] = []
        self._before_replaced: Sequence[Entry] | None = None

    @property
    def violations(self) -> list[Violation]:
        """The promises that were broken."""
        return self.watcher.violations

    @property
    def counts(self) -> Counter[str]:
        """How often what happened."""
        return self.world.counts

    @property
    def entries(self) -> Sequence[Entry]:
        """What is in the log; once it was replaced, what was in it before."""
        return self.storage.entries if self._before_replaced is None else self._before_replaced

    def broken(self, promise: str, text: str) -> None:
        """Note that a promise was broken, and how."""
        self.watcher.broken(promise, text)

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
        """End every task."""
        self.world.close()

    async def _main(self) -> None:
        reader = asyncio.ensure_future(self._read_along())
        self.world.servers = [self.world.start(place, self.world.app) for place in range(self.plan.processes)]
        happening = []
        for step in self.plan.steps:
            await asyncio.sleep(max(0.0, step.at_s - self.loop.time()))
            if self.world.lines is not None:
                self.world.tell(step.words)
            happening.append(asyncio.ensure_future(step.does.happen(self.world)))
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
        self.world.tell("from here on nothing goes wrong any more")
        for link in (self.storage.log_link, self.storage.rows_link):
            link.away, link.deaf, link.slowness = False, False, 1.0
            link.mishaps.clear()
        for server in self.world.servers:
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
        self.world.tell("everything that is parked is tried again")
        running = self.world.servers[0].running
        assert running is not None, "it rests"
        for following in running.followers:
            await self._tried_again(following.follower_id.name)
        rested = await self._rests()
        for following in running.followers:
            for one in await following.checkpoints.parked(following.follower_id):
                text = f"{one.kind} {one.key} of {following.follower_id} still waits: {one.error}"
                self.broken("G7", f"with code that can handle it, {text}")
        return rested

    def _not_shown(self) -> str:
        """A newest version that runs has come as far as any, so the public name should show it (G8)."""
        rows = self.storage.row_checkpoints
        for follows in [p.follows for server in self.world.servers for p in server.app.projections]:
            live = self.storage.in_rows.live(follows.name)
            if len(self.storage.entries) and live < follows.version and not rows.waiting.get(follows):
                return f"{follows} is at {rows.rows[follows].position}, and version {live} is still shown"
        return ""

    async def _tried_again(self, name: str) -> None:
        while True:
            running = self.world.servers[0].running  # a roll-out that was under way may have replaced it
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
            (following.follower_id, following.owner)
            for server in self.world.servers
            if server.running
            for following in server.running.followers
            if following.state == "following"
        }
        for server in self.world.servers:
            server.leaves = True
            server.stop()
        await asyncio.wait([server.task for server in self.world.servers])
        await asyncio.sleep(LATE_S)
        for row in [*self.storage.row_checkpoints.rows.values(), *self.storage.log.checkpoints.rows.values()]:
            was_left = Claim(row.follower, row.epoch) in self.storage.not_released
            if (row.follower, row.owner) in held and not was_left:
                self.broken(ENGINE, f"{row.follower} is still held after every process has ended in order")

    async def _replace_log(self, by: LogBecomes) -> None:
        """Another log, or an older copy, lies where the log was: it is noticed, and nothing is read as if it were the
        same (G11)."""
        self.world.tell(f"the log is replaced by {by}")
        self._before_replaced = self.entries
        self.counts["logs replaced"] += 1
        before = {follows: dict(rows) for follows, rows in self.storage.in_rows.tables.items()}
        self.storage.replace_log(by)
        self.watcher.went_back()
        await asyncio.sleep(NOTICED_WITHIN_S)
        for server in self.world.servers:
            for following in server.running.followers if server.running else ():
                if following.follower_id in before and following.state != "stopped":
                    text = f"{following.follower_id} is {following.state} at {server.process.name}"
                    self.broken("G11", f"the log was replaced by {by}, and {text}")
        if any(self.storage.table(follows) != rows for follows, rows in before.items()):
            self.broken("G11", f"the log was replaced by {by}, and folded into the rows of the one before")
        newcomer = self.world.start(len(self.world.servers), self.world.servers[0].app)
        newcomer.leaves = True
        await asyncio.sleep(NOTICED_WITHIN_S)
        if before and newcomer.running is not None:
            self.broken("G11", f"the log was replaced by {by}, and a process was started on it")
        newcomer.stop()
        await newcomer.task

    def _at_rest(self) -> bool:
        at_head = all(server.running for server in self.world.servers) and len(self.seen) == len(self.storage.entries)
        return at_head and not (self._behind() or self._in_between() or self._not_shown())

    def _in_between(self) -> bool:
        """Whether effects are still tried again."""
        waiting = self.storage.log.checkpoints.waiting
        names = self.plan.scenario.observed.reactors
        return any(one.tries < MOST_TRIES for f in waiting if f.name in names for one in waiting[f].values())

    def _behind(self) -> str:
        checkpoints = {**self.storage.row_checkpoints.rows, **self.storage.log.checkpoints.rows}
        followings = [following for s in self.world.servers if s.running for following in s.running.followers]
        behind = []
        for following in followings:
            checkpoint = checkpoints.get(following.follower_id)
            if checkpoint is None or checkpoint.position.offset < len(self.storage.entries):
                behind.append(f"{following.follower_id}: {checkpoint}, {following.state}: {following.error}")
        return "; ".join(behind)
