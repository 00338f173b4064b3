"""The checks during a history, in the store itself: every commit of a page, every takeover."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twofold.app import App
from twofold.errors import TwofoldError
from twofold.feed.checkpoints import Checkpoint, Claim, FollowerId, Parked
from twofold.messages import BEGINNING, Append, Entry, Position, Receipt
from twofold.read.projection import Projection, Table
from twofold.read.store import StoredTable
from twofold.testing.simulation.courses import BITS, END
from twofold.testing.simulation.leases import Leases
from twofold.testing.simulation.oracle import Fold, GivenUp
from twofold.testing.simulation.parts import LogBecomes, Part, name_of_part
from twofold.testing.simulation.reactions import Reactions
from twofold.testing.simulation.rolled import rollups_over, wrong_rollups
from twofold.testing.simulation.scenario import Cure
from twofold.testing.simulation.storage import Storage
from twofold.testing.simulation.violations import Violation, difference

if TYPE_CHECKING:
    from twofold.testing.simulation.container import Numbered


class Watcher:
    """Observes the store (a `Watch`)."""

    def __init__(
        self,
        app: App,
        storage: Storage,
        clock: Callable[[], float],
        counts: Counter[str],
        tell: Callable[[str], None],
    ) -> None:
        self.violations: list[Violation] = []
        self.courses = storage.courses
        self._app, self._storage, self._clock, self._counts = app, storage, clock, counts
        self.folds = {
            (one.name, number): Fold(one, app, storage.rows.refuses)
            for one in app.folded
            for number in self._may_follow(app.folding(one))
        }
        self.appended_at: dict[tuple[str, int], float] = {}
        self.first_cut_at = math.inf
        self._tell = tell
        self.refuses = storage.rows.refuses
        self.leases = Leases(clock, counts, self.broken)
        self.reactions = Reactions(app, storage, self.broken)
        self.cure: Cure | None = None
        self._replaced: tuple[int, LogBecomes] | None = None

    def broken(self, promise: str, text: str) -> None:
        """Record it."""
        self.violations.append(Violation(promise, text))

    def _may_follow(self, projection: Projection[Any]) -> Sequence[int]:
        """The partitions in which some version of the projection has checkpoints; 0 is the merged feed."""
        if projection.key is not None or projection.merged:
            return [0]
        return self.courses.partitions if projection.documents else sorted({0, *self.courses.partitions})

    def feeds_of(self, projection: str) -> Sequence[int]:
        """The partitions that its first version follows."""
        own = [number for name, number in self.folds if name == projection]
        return own if len(own) == 1 else self.courses.partitions

    def appended(
        self, part: Part | Numbered, batch: Sequence[Append], outcomes: Sequence[Receipt | TwofoldError]
    ) -> None:
        """Check the places of the new entries, and fold them into the expected read models."""
        if self._replaced == (part.number, "another log"):
            self.broken("G11", f"{name_of_part(part.number, len(self.courses.partitions))} is another log, but grew")
            return
        if isinstance(part, Part) and part.number not in self.courses.partitions:
            self._cuts_appended(part)
            return
        self._take_new(part)
        stored = [o.position for o in outcomes if isinstance(o, Receipt) and o.events and not o.repeated]
        if stored != sorted(stored):
            self.broken("G2", f"the appends of a batch were not taken in order: {', '.join(map(str, stored))}")
        self._counts["batches"] += 1
        self._counts["batches of several"] += len(batch) > 1

    def _take_new(self, part: Part | Numbered) -> None:
        """Positions grow; those of one log have no gaps."""
        known = self.courses[part.number].entries
        new, last = part.entries[len(known) :], known[-1].position if known else Position(part.number, 0)
        for entry in new:
            self.appended_at.setdefault((entry.stream, entry.version), self._clock())
            dense = isinstance(part, Part)
            if entry.position <= last or (dense and entry.position.offset != last.offset + 1):
                self.broken("G4", f"the entry after {last} is at {entry.position}")
            last = entry.position
        self._take(part.number, new)

    def numbered(self, part: Numbered) -> None:
        """The read models of a part begin with what its parent held of it."""
        self._counts["partitions split into"] += 1
        self._tell(f"{part.number} is a part of partition {self.courses.parents[part.number]}, up to {part.head}")
        for projection in self._app.folded:
            if part.number in self._may_follow(self._app.folding(projection)):
                self.folds[projection.name, part.number] = Fold(projection, self._app, self.refuses)
        self._take_new(part)

    def _take(self, partition: int, new: Sequence[Entry]) -> None:
        for (_, number), fold in self.folds.items():
            if number == partition:
                fold.take(new)
        self.courses[partition].add(new)

    def _cuts_appended(self, cuts: Part) -> None:
        """Each cut takes only existing events of every partition, and takes nothing back."""
        vectors = [entry for entry in cuts.entries if entry.type == "Cut"]
        for entry in vectors[self.courses.cuts :]:
            before = self.courses.vector
            new = self.courses.take_cut(entry.data, self._heads())
            if new is None:
                self.broken("G4", f"a cut after {before} takes {entry.data!r}, which does not exist")
                return
            self._counts["cuts"] += 1
            self.first_cut_at = min(self.first_cut_at, self._clock())
            self._tell(f"cut {self.courses.cuts} of the merged feed: {list(self.courses.vector)}")
            self._take(0, new)

    def _heads(self) -> Mapping[int, Position]:
        return {number: self._storage.part(number).head for number in range(1, max(self.courses.partitions) + 1)}

    def log_crashed(self) -> None:
        """Everything that was in the log still is (G1)."""
        for part in self._storage.parts():
            known = len(self.courses[part.number].entries)
            if len(part.entries) < known:
                self.broken("G1", f"only {len(part.entries)} of {known} events are left after a crash")

    # ---- leases

    def claimed(self, before: Checkpoint, claim: Claim, owner: str) -> None:
        """See `Leases.claimed`."""
        has_split = claim.follower.partition not in (0, *self.courses.partitions)
        self.leases.claimed(before, claim, owner, at_once=has_split)
        self._tell(f"{claim.follower} is taken{' over' * (before.owner is not None)}, epoch {claim.epoch}")

    def beaten(self, claim: Claim) -> None:
        """Only the holder sends heartbeats."""
        self.leases.used(claim, "sent a heartbeat")

    def released(self, before: Checkpoint, claim: Claim) -> None:
        """Only the holder releases it."""
        self.leases.held(claim, "released what another worker holds")

    def registered(self, parts: Sequence[Checkpoint]) -> None:
        """No two are in a partition and a part of it, whose events would be handled twice."""
        numbers = {one.follower.partition for one in parts}
        for one in parts:
            if twice := numbers & {*self._before(one.follower.partition)}:
                self.broken("G5", f"{one.follower} has a checkpoint, and there is one in partition {min(twice)}, too")

    def split(self, before: Checkpoint, claim: Claim, parts: Sequence[Checkpoint]) -> None:
        """The parts begin where the partition was left, with what it had parked, and nobody else may write in it."""
        self._counts["checkpoints split"] += 1
        numbers = ", ".join(str(one.follower.partition) for one in parts)
        self._tell(f"{claim.follower} has split at {before.position}, into {numbers or 'what is there'}")
        self.leases.held(claim, "has split")
        self.leases.gone(claim.follower)
        for one in parts:
            self.leases.stolen(one.follower, one.epoch)
            if one.epoch <= claim.epoch or one.owner is not None:
                self.broken("G5", f"{one.follower} began as {one}, but {claim.follower} was in epoch {claim.epoch}")
            if not self.courses.same(one.position, before.position):
                self.broken(
                    "G5", f"{one.follower} began at {one.position}, but {claim.follower} was at {before.position}"
                )
            if _version(claim.follower).name not in self.reactions.names:
                self.check_table(one.follower, one.position)

    def log_replaced(self, part: Part, by: LogBecomes) -> None:
        """Another log, or an older copy, lies where this part of the log was. Without read models nothing shows it."""
        if self.folds:
            self._replaced = part.number, by
        self.went_back()

    def _misread(self, follower: FollowerId) -> str | None:
        """What is read as if it were the log from before (G11); a reactor's checkpoints are replaced with an older
        copy."""
        if self._replaced is None or follower.partition not in (0, self._replaced[0]):
            return None
        number, by = self._replaced
        if by == "an older copy" and _version(follower).name in self.reactions.names:
            return None
        return f"{name_of_part(number, len(self.courses.partitions))} was replaced by {by}"

    def went_back(self) -> None:
        """Forget what was lost."""
        self.leases.went_back({**self._storage.row_checkpoints.rows, **self._storage.log_checkpoints()})

    # ---- progress

    def advanced(
        self, before: Checkpoint, claim: Claim, after: Position, to: Position, unparked: Sequence[Parked]
    ) -> None:
        """It advances from where it was, by its holder, with exactly its changes."""
        if (misread := self._misread(claim.follower)) is not None:
            self.broken("G11", f"{misread}, but {claim.follower} moved on from {after} to {to}")
            return
        self.leases.used(claim, "has written")
        self._counts["pages"] += 1
        self._tell(f"{claim.follower} moved from {after} to {to}")
        if before.position != after:
            self.broken("G5", f"a page of {claim.follower} after {after} was written at {before.position}")
        head = self._head(claim.follower.partition)
        if to > head:
            self.broken("G4", f"{claim.follower} moved to {to}, but the log ends at {head}")
            return
        if self.leases.discards(claim):
            self._give_up(claim.follower, unparked, to)
        elif unparked:
            self._retried(claim.follower)
        if _version(claim.follower).name not in self.reactions.names:
            self.check_table(claim.follower, to)
            self.check_rollups(claim.follower.whole)
        else:
            self.reactions.check(claim.follower.name, after, to)

    def _head(self, partition: int) -> Position:
        if partition or partition in self.courses.partitions:
            return self._storage.part(partition).head
        return Position(0, self.courses.cuts << BITS | END) if self.courses.cuts else BEGINNING

    def _give_up(self, follower: FollowerId, unparked: Sequence[Parked], to: Position) -> None:
        given_up = [GivenUp(one.kind, one.key, one.position.offset, to.offset) for one in unparked]
        self._counts["given up"] += len(given_up)
        if follower.name not in self.reactions.names:
            rows = self._storage.rows
            rows.given_up[follower] = (*rows.given_up.get(follower, ()), *given_up)
        else:
            self.reactions.give_up(follower, given_up)

    def _retried(self, follower: FollowerId) -> None:
        given_up = self._storage.rows.given_up
        for name in self._lineage(follower):
            if name in given_up:
                given_up[name] = tuple(replace(one, retried=True) for one in given_up[name])

    def _lineage(self, follows: FollowerId) -> Sequence[FollowerId]:
        """It in its partition, after those that the partition was split from."""
        return [follows.in_partition(number) for number in self.courses.lineage(follows.partition)][::-1]

    def refused(self) -> None:
        """A page was refused. If any of it were stored, `check_table` would notice."""
        self._counts["pages refused"] += 1

    def dropped(self, before: StoredTable) -> None:
        """Only a table that is neither shown nor held (G8)."""
        if before.live or before.owner is not None:
            state = "shown" if before.live else f"held by {before.owner}"
            self.broken("G8", f"{before.follows} was dropped while it was {state}")
        self.leases.dropped(before.follows)

    def check_table(self, follows: FollowerId, at: Position) -> None:
        """Rows and parked keys equal a fresh fold (G5, G7, G9)."""
        fold = self.folds.get((_version(follows).name, follows.partition))
        if fold is None:
            self.broken("G5", f"{follows}: its rows contain events of other partitions, which others fold")
            return
        given_up = [one for name in self._lineage(follows) for one in self._storage.rows.given_up.get(name, ())]
        course = self.courses[follows.partition]
        index = course.index(at)
        if given_up:
            fold = Fold(fold.projection, self._app, self.refuses, given_up)
            fold.take(course.entries[:index])
        waiting = self._storage.row_checkpoints.waiting.get(follows, {})
        parked = {name: one.position.offset for name, one in waiting.items()}
        expected, allowed, found = fold.tables[index], fold.parked[index], self._storage.table(follows)
        if self.cure is not None and self.cure.deployed:  # parked by the old code
            expected = fold.without(course.entries[:index], parked, found)
            unclear = given_up or self._storage.refuses
            allowed = parked if unclear else {name: parked[name] for name in allowed if name in parked}
        if expected != found:
            self.broken("G5", f"{follows} at {at}: {difference(expected, found)}")
        if parked != allowed:
            self.broken("G7", f"{follows} at {at}, parked: {difference(allowed, parked)}")

    def check_rollups(self, source: FollowerId) -> None:
        """Those that stand where their source does are what plain Python makes of its rows (G5)."""
        for rollup, difference_ in wrong_rollups(self._storage.in_rows, source):
            self.broken("G5", f"{rollup} over {source}: {difference_}")
        self._counts["rollups compared"] += len(rollups_over(self._storage.in_rows, source))

    def replaced(self, before: Sequence[Checkpoint]) -> None:
        """The replacement had reached the same position, and has a new epoch (G5, G8)."""
        self._counts["tables replaced"] += 1
        for one in before:
            self.leases.gone(one.follower)
        replacing = self._storage.row_checkpoints.parts(before[0].follower) if before else []
        self.registered(replacing)
        for now in replacing:
            self.leases.stolen(now.follower, now.epoch)
            lineage = list(self.courses.lineage(now.follower.partition))
            for one in [one for one in before if one.follower.partition in lineage]:
                follows = one.follower
                if now.epoch <= one.epoch:
                    self.broken("G5", f"{follows} was replaced, but is in epoch {now.epoch} after epoch {one.epoch}")
                if now.position.offset < one.position.offset and one.position <= self._head(follows.partition):
                    self.broken("G8", f"{follows} was at {one.position}, but was replaced at {now.position}")
            for one in [one for one in before if now.follower.partition in self._before(one.follower.partition)]:
                self.broken("G8", f"{one.follower} was replaced in {now.follower.partition}, of which it is a part")
            self.check_table(now.follower, now.position)
            self.check_rollups(now.follower.whole)

    def _before(self, partition: int) -> Sequence[int]:
        """The partitions that one was split from."""
        return [number for number in self.courses.lineage(partition) if number != partition]

    def published(self, table: Table, live_before: int) -> None:
        """Only forward, and not before it is as far (G8)."""
        live = self._storage.in_rows.live(table.name)
        if live == live_before:
            return
        self._counts["versions published"] += 1
        rows = self._storage.row_checkpoints
        new, old = rows.parts(FollowerId(table.name, live)), rows.parts(FollowerId(table.name, live_before))
        if live < live_before:
            self.broken("G8", f"{table.name} went back from version {live_before} to {live}")
            return
        crossed = {one.follower.partition for one in new} != {one.follower.partition for one in old}
        self._counts["versions published across"] += bool(old) and crossed
        shown, were = self.courses.reached(new), self.courses.reached(old)
        if any(shown[number] < were[number] for number in shown):
            now, then = _places(new), _places(old)
            self.broken("G8", f"{table.name} v{live} is shown at {now}, but v{live_before} was at {then}")


def _places(checkpoints: Sequence[Checkpoint]) -> str:
    return ", ".join(str(one.position) for one in checkpoints)


def _version(follows: FollowerId) -> FollowerId:
    """The version itself, even for a table built next to it."""
    return follows.builds or follows
