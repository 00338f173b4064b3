"""One history: the steps of a plan happen in a world until everything has come to rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from twofold.app import App
from twofold.errors import Unavailable
from twofold.feed.checkpoints import Claim, FollowerId
from twofold.feed.feed import Feed
from twofold.feed.partitions import parts_of
from twofold.messages import Entry, Position
from twofold.react.runner import MOST_TRIES, PAUSES_S
from twofold.testing.simulation.loop import Stuck
from twofold.testing.simulation.parts import LogBecomes, Part
from twofold.testing.simulation.plan import Plan
from twofold.testing.simulation.readers import Reader
from twofold.testing.simulation.rolled import is_level
from twofold.testing.simulation.viewers import Viewer
from twofold.testing.simulation.violations import ENGINE, WATCHERS, Violation
from twofold.testing.simulation.world import LOOK_AGAIN_S, World

REST_S = 0.25
AT_REST_WITHIN_S = 60.0
EFFECTS_WITHIN_S = sum(PAUSES_S) + AT_REST_WITHIN_S
NOTICED_WITHIN_S = 12.0
VIEWS_WITHIN_S = 30.0  # longer than a client waits for a process that does not answer


class History:
    """One run of a plan. `readers` follow the feeds meanwhile."""

    def __init__(self, plan: Plan, *, is_told: bool = False) -> None:
        self.plan = plan
        self.world = World(
            plan.scenario,
            plan.schedule,
            partitions=plan.partitions,
            splits=plan.splits,
            refuses=plan.refuses,
            cures=plan.cures,
            is_told=is_told,
        )
        self.storage, self.watcher, self.loop = self.world.storage, self.world.watcher, self.world.loop
        self.storage.keeps_unsynced = plan.read_store_crashes
        self.storage.syncs_tables_only = plan.syncs_tables_only
        self.log_id, self.courses = self.storage.log_id, self.storage.courses
        self._reading: list[asyncio.Future[None]] = []
        self.readers = self._readers()
        self.storage.keeps_states = plan.watchers > 0
        self.viewers = [Viewer(self.world, f"{plan.schedule} watcher {number + 1}") for number in range(plan.watchers)]
        self.ends: Mapping[int, int] | None = None  # of the feeds, when the log was replaced
        self.has_rested = False
        self.followed_at_rest: Sequence[FollowerId] = ()
        self._before_replaced: Mapping[int, Sequence[Entry]] | None = None

    @property
    def violations(self) -> list[Violation]:
        """The promises that were broken."""
        return self.watcher.violations

    @property
    def counts(self) -> Counter[str]:
        """How often each thing happened."""
        return self.world.counts

    @property
    def entries(self) -> Mapping[int, Sequence[Entry]]:
        """The events of each partition; once the log was replaced, those from before."""
        return self._before_replaced or {part.number: part.entries for part in self.storage.parts()}

    def broken(self, promise: str, text: str) -> None:
        """Record that a promise was broken, and how."""
        self.watcher.broken(promise, text)

    def run(self) -> None:
        """Run from the first step until rest."""
        try:
            self.loop.run_until_complete(self._main())
            for error in self.loop.errors:
                self.broken(ENGINE, f"an uncaught error: {error}")
        except Stuck as stuck:
            self.broken(ENGINE, str(stuck))
        self.counts["events"] += sum(map(len, self.entries.values()))
        self.counts["histories of several partitions"] += self.plan.partitions > 1

    def close(self) -> None:
        """End every task."""
        self.world.close()

    async def _main(self) -> None:
        following = [one.follow() for one in self.readers] + [one.follow() for one in self.viewers]
        self._reading += [asyncio.ensure_future(one) for one in following]
        self.world.servers = [self.world.start(place, self.world.app) for place in range(self.plan.processes)]
        happening = []
        for step in self.plan.steps:
            await asyncio.sleep(max(0.0, step.at_s - self.loop.time()))
            if self.world.lines is not None:
                self.world.tell(step.words)
            happening.append(asyncio.ensure_future(step.does.happen(self.world)))
        await asyncio.gather(*happening)
        self._mend()
        await self._nothing_is_under_way()
        self.has_rested = await self._rests() and (not self.plan.cures or await self._is_cured())
        if self.has_rested:
            await self._views_agree()
            self.followed_at_rest = self._followed()
            await self._end()
        for task in self._reading:
            task.cancel()

    def _readers(self) -> list[Reader]:
        """One for each partition; for a merged feed with followers, three that start at different times."""
        seed, ambient = self.plan.schedule, self.world.ambient
        readers = [
            Reader(self.storage, ambient, number, seed, splits=self._read_parts) for number in self.courses.partitions
        ]
        if self.is_merged:
            ends_s = self.plan.steps[-1].at_s if self.plan.steps else 0.0
            begin = {"early": 0.0, "midway": ends_s / 2, "late": ends_s}
            readers += [Reader(self.storage, ambient, 0, f"{seed} {name}", at_s) for name, at_s in begin.items()]
        return readers

    def _read_parts(self, of: Reader, log: Feed) -> None:
        """Go on with what a reader has seen, in each part of its partition."""
        for number in parts_of(log, of.partition):
            part = Reader(self.storage, self.world.ambient, number, f"{of.seed} {number}", splits=self._read_parts)
            part.upto = Position(number, of.upto.offset)
            mine = [entry for entry in of.seen if self._lies_in(entry, number)]
            part.seen = [msgspec.structs.replace(e, position=Position(number, e.position.offset)) for e in mine]
            self.readers.append(part)
            self._reading.append(asyncio.ensure_future(part.follow()))

    def _lies_in(self, entry: Entry, partition: int) -> bool:
        return partition in self.courses.lineage(self.courses.partition_of(entry.stream.partition("-")[2]))

    @property
    def is_merged(self) -> bool:
        """Whether the merged feed surely has a follower: only then every event gets into a cut."""
        several = self.plan.partitions > 1
        return several and (self.plan.reads_merged or any(_is_merged(self.world.app)))

    def _mend(self) -> None:
        """From here on the followers must reach the end of the feed by themselves."""
        self.world.tell("from here on nothing goes wrong any more")
        for link in (*self.storage.links("the log"), self.storage.rows_link):
            link.away, link.deaf, link.slowness = False, False, 1.0
            link.mishaps.clear()
            link.when_sent.clear()
        for server in self.world.servers:
            server.process.fuse = None
            if not (server.process.runs or server.process.crashed):
                self.loop.resume(server.process)

    async def _rests(self) -> bool:
        within_s = EFFECTS_WITHIN_S if self.plan.scenario.observed.reactors else AT_REST_WITHIN_S
        deadline, retried = self.loop.time() + within_s, self._retried()
        while not self._at_rest():
            if retried != (now := self._retried()):  # the next event of a stream that fails gets all its tries
                deadline, retried = self.loop.time() + within_s, now
            if self.loop.time() > deadline:
                behind = self._behind()
                self.broken(ENGINE, f"not at rest after {within_s:g} s: {behind}")
                for promise, why in (("G8", self._not_shown()), ("G5", self._not_level())):
                    if why and not behind:
                        self.broken(promise, why)
                return False
            await asyncio.sleep(REST_S)
        return True

    async def _views_agree(self) -> None:
        """At rest every watcher's view equals its table."""
        deadline = self.loop.time() + VIEWS_WITHIN_S
        while disagreeing := [one for one in self.viewers if one.disagrees()]:
            if self.loop.time() > deadline:
                for viewer in disagreeing:
                    self.broken(WATCHERS, f"{viewer}, at rest: {viewer.disagrees()}")
                return
            await asyncio.sleep(REST_S)

    def _followed(self) -> Sequence[FollowerId]:
        """The checkpoints, in all partitions, of what some process follows."""
        running = [server.running for server in self.world.servers if server.running]
        followed = {following.follower_id.whole for one in running for following in one.followers}
        rows = [*self.storage.row_checkpoints.rows, *self.storage.log_checkpoints()]
        return [follows for follows in rows if follows.whole in followed]

    async def _is_cured(self) -> bool:
        """With the corrected code and a store that accepts every row, a retry leaves nothing parked."""
        self.storage.take_all()
        self.world.tell("everything that is parked is retried")
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
        """The newest running version is as far as any, so the public name should show it (G8)."""
        rows = self.storage.row_checkpoints
        for follows in [p.follows for server in self.world.servers for p in server.app.projections]:
            live = self.storage.in_rows.live(follows.name)
            parts = rows.parts(follows)
            if self.courses.events and live < follows.version and not rows.all_parked(follows):
                at = ", ".join(str(one.position) for one in parts)
                return f"{follows} is at {at}, but version {live} is still shown"
        return ""

    def _not_level(self) -> str:
        """Each rollup of the running code is where its source is, once that has folded anything (G5).

        One that a new process has registered while its source was built again is filled with the next claim.
        """
        rows = self.storage.in_rows
        for rollup in [rollup for server in self.world.servers for rollup in server.app.rollups]:
            begun = any(not one.position.is_beginning for one in rows.checkpoints.parts(rollup.of.follows))
            there = {rollup.follows, rollup.of.follows} <= rows.tables.keys()
            if begun and there and not is_level(rows, rollup.table):
                return f"{rollup.follows} is not where {rollup.of.follows} is"
        return ""

    async def _tried_again(self, name: str) -> None:
        while True:
            running = self.world.servers[0].running  # an unfinished roll-out may have replaced it
            try:
                if running is not None:
                    await running.parking.retry(name)
                    return
            except Unavailable:  # to a request sent long ago; by a process that is stopping
                pass
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _end(self) -> None:
        """Stop every process cleanly; earlier requests are done by then."""
        if self.plan.log_becomes is not None and self.courses.events:
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
        await self._nothing_is_under_way()
        for row in [*self.storage.row_checkpoints.rows.values(), *self.storage.log_checkpoints().values()]:
            was_left = Claim(row.follower, row.epoch) in self.storage.not_released
            if (row.follower, row.owner) in held and not was_left:
                self.broken(ENGINE, f"{row.follower} is still held after every process stopped cleanly")

    async def _nothing_is_under_way(self) -> None:
        """Every request has got its response, also those of clients that have given up."""
        quiet_at = max(link.quiet_at for link in (*self.storage.links("the log"), self.storage.rows_link))
        while self.loop.time() <= quiet_at or any(server.serves for server in self.world.servers):
            await asyncio.sleep(REST_S)
        await asyncio.sleep(REST_S)

    async def _replace_log(self, by: LogBecomes) -> None:
        """Another log, or an older copy, lies where the log was, or a part of it: it is noticed, and nothing is read as
        if it were the same (G11)."""
        part = self.world.random.choice(self._replaceable())
        what = part.link.name
        self.world.tell(f"{what} is replaced by {by}")
        self._before_replaced = {one.number: one.entries for one in self.storage.parts()}
        self.ends = self.courses.lengths()
        self.counts["logs replaced"] += 1
        before = {follows: dict(rows) for follows, rows in self.storage.in_rows.tables.items()}
        part.replace(by, self.storage.ambient)
        self.watcher.log_replaced(part, by)
        await asyncio.sleep(NOTICED_WITHIN_S)
        for server in self.world.servers:
            for following in server.running.followers if server.running else ():
                follows = following.follower_id
                text = f"{what} was replaced by {by}, and {follows} is {following.state} at {server.process.name}"
                if follows.whole not in before:  # what a reactor may read depends on the cuts as well
                    continue
                concerned, stopped = follows.partition in (0, part.number), following.state == "stopped"
                if concerned and not stopped:
                    self.broken("G11", f"{text}: {following.error}")
                elif stopped and not concerned and part.number:  # any may notice other cuts: publishing looks at them
                    self.broken(ENGINE, f"{text}: {following.error}")
        kept = before.keys() & self.storage.in_rows.tables.keys()  # an operator may have dropped what is unused
        if any(self.storage.table(follows) != before[follows] for follows in kept):
            self.broken("G11", f"{what} was replaced by {by}, which was folded into the rows of the previous one")
        newcomer = self.world.start(len(self.world.servers), self.world.servers[0].app)
        newcomer.leaves = True
        await asyncio.sleep(NOTICED_WITHIN_S)
        if before and newcomer.running is not None:
            self.broken("G11", f"{what} was replaced by {by}, but a process could start on it")
        newcomer.stop()
        await newcomer.task

    def _replaceable(self) -> Sequence[Part]:
        """The parts with events, and the log of the cuts, where a projection would notice that it is another one."""
        parts = [self.storage.logs[number] for number in self.courses.partitions if self.courses[number].entries]
        merged = any(_is_merged(self.world.servers[0].app))
        return [*parts, self.storage.logs[0]] if self.plan.partitions > 1 and merged else parts

    def _at_rest(self) -> bool:
        if not all(map(self._has_seen_all, self.readers)):
            return False
        lengths = self.courses.lengths()
        container = self.storage.container
        if container is not None and not container.is_numbered:
            return False
        if self.is_merged and lengths[0] != self.courses.events:
            return False
        are_up = all(server.is_up for server in self.world.servers)
        return are_up and not (self._behind() or self._retried() or self._not_shown() or self._not_level())

    def _has_seen_all(self, reader: Reader) -> bool:
        """Others go on with what one has seen of a partition that has split, once it has noticed."""
        is_whole = reader.partition in (0, *self.courses.partitions)
        return reader.has_split or (is_whole and len(reader.seen) == self.courses.lengths()[reader.partition])

    def _retried(self) -> set[Position]:
        """The events whose effects are still being retried."""
        waiting = self.storage.log_waiting()
        names = self.plan.scenario.observed.reactors
        return {
            one.position for f in waiting if f.name in names for one in waiting[f].values() if one.tries < MOST_TRIES
        }

    def _behind(self) -> str:
        checkpoints = {**self.storage.row_checkpoints.rows, **self.storage.log_checkpoints()}
        followings = [following for s in self.world.servers if s.running for following in s.running.followers]
        behind = []
        for following in followings:
            checkpoint = checkpoints.get(following.follower_id)
            has_split = following.follower_id.partition not in (0, *self.courses.partitions)
            if (
                checkpoint is None
                or has_split
                or self._reached(checkpoint.position) < self._length(checkpoint.position.partition)
            ):
                behind.append(f"{following.follower_id}: {checkpoint}, {following.state}: {following.error}")
        return "; ".join(behind)

    def _reached(self, position: Position) -> int:
        return self.courses[position.partition].index(position)

    def _length(self, partition: int) -> int:
        several = partition == 0 and 0 not in self.courses.partitions
        return self.courses.events if several else len(self.courses[partition].entries)


def _is_merged(app: App) -> Iterator[bool]:
    """Of each projection, whether it certainly follows the merged feed."""
    for projection in app.folded:
        yield not app.folding(projection).spreads
