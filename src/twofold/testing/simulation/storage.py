"""What all processes of a history share: the log and the read store, each behind its network and on its disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from twofold.ambient import Ambient
from twofold.backends.memory import MemoryCheckpoints, MemoryLog, MemoryReadStore, Refuses
from twofold.backends.memory.inspection import LogInspection, RowsInspection, Snapshot
from twofold.errors import TwofoldError
from twofold.feed.checkpoints import Checkpoint, Claim, FollowerId, Parked
from twofold.feed.doorbell import Doorbell
from twofold.messages import Append, Position, Receipt
from twofold.read.projection import Key, Table
from twofold.read.store import StoredTable
from twofold.testing.simulation.courses import Courses
from twofold.testing.simulation.loop import SimulatedLoop
from twofold.testing.simulation.oracle import GivenUp
from twofold.testing.simulation.parts import Part, name_of_part
from twofold.testing.simulation.remote import Remote
from twofold.testing.simulation.states import States

if TYPE_CHECKING:
    from twofold.testing.simulation.container import Container, Numbered

Store = str  # "the read store", "the log" as a whole, or a part of it by name

UNSYNCED_S = 0.6


class Watch(Protocol):
    """Observes the store directly, where nothing is lost or late."""

    def appended(
        self, part: Part | Numbered, batch: Sequence[Append], outcomes: Sequence[Receipt | TwofoldError]
    ) -> None:
        """A batch was stored in the log, or in this part of it."""

    def claimed(self, before: Checkpoint, claim: Claim, owner: str) -> None:
        """A checkpoint was taken over."""

    def beaten(self, claim: Claim) -> None:
        """A heartbeat was accepted."""

    def released(self, before: Checkpoint, claim: Claim) -> None:
        """A checkpoint was released, unless another worker held it."""

    def advanced(
        self, before: Checkpoint, claim: Claim, after: Position, to: Position, unparked: Sequence[Parked]
    ) -> None:
        """A checkpoint advanced, with its changes; `unparked` was parked until now."""

    def refused(self) -> None:
        """A page was refused because of a row that the store does not accept."""

    def dropped(self, before: StoredTable) -> None:
        """A table was dropped."""

    def published(self, table: Table, live_before: int) -> None:
        """The public name may now show another version."""

    def replaced(self, before: Sequence[Checkpoint]) -> None:
        """A table built next to the one with these checkpoints has replaced it."""

    def went_back(self) -> None:
        """The read store crashed and lost what was not synced."""

    def numbered(self, part: Numbered) -> None:
        """A part of a partition that has split has got its number."""

    def registered(self, parts: Sequence[Checkpoint]) -> None:
        """A follower may have got a checkpoint in another partition: these are all."""

    def split(self, before: Checkpoint, claim: Claim, parts: Sequence[Checkpoint]) -> None:
        """A checkpoint was replaced by those of parts of its partition; these are new."""


class RowsOnDisk(MemoryReadStore):
    """The read store and its discarded events: a crash takes back both or neither."""

    def __init__(self) -> None:
        super().__init__()
        self.given_up: dict[FollowerId, tuple[GivenUp, ...]] = {}

    async def drop(self, follows: FollowerId) -> None:
        """See `ReadStore.drop`."""
        await super().drop(follows)
        self._forget(follows)

    async def clear(self, table: Table, log_id: str) -> None:
        """See `ReadStore.clear`."""
        await super().clear(table, log_id)
        self._forget(table.follows)

    async def replace(self, table: Table, claims: Sequence[Claim], built: FollowerId, at: Sequence[Position]) -> bool:
        """See `ReadStore.replace`. Events discarded in the old table are folded in the new one."""
        done = await super().replace(table, claims, built, at)
        self._forget(table.follows)
        for place in at:
            beside = self.given_up.pop(built.in_partition(place.partition), ())
            self.given_up[table.follows.in_partition(place.partition)] = beside
        return done

    def _forget(self, follows: FollowerId) -> None:
        for one in [one for one in self.given_up if one.whole == follows.whole]:
            del self.given_up[one]


class Storage:
    """Log and read store, each with its network and disk.

    A log of several partitions consists of several logs. With `splits` they are feed ranges of one container, and
    beside it is a log of the cuts and the checkpoints.
    """

    def __init__(
        self, loop: SimulatedLoop, random: Random, counts: Counter[str], partitions: int = 1, *, splits: bool = False
    ) -> None:
        self._loop, self._counts, self._draw = loop, counts, random.random
        self.clock: Ambient = Ambient()
        self._links = links = [
            Remote(loop, random, name_of_part(number, partitions), counts)
            for number in range(partitions + (partitions > 1))
        ]
        self.rows_link = Remote(loop, random, "the read store", counts)
        self.rows_bell = Doorbell()
        self.ambient = Ambient(now=self._now, new_id=lambda: f"{random.getrandbits(128):032x}")
        self.log_id = self.ambient.new_id()[:16]
        self.courses = Courses(partitions)
        self.logs = {
            number: Part(MemoryLog(self.ambient, partition=number, log_id=self.log_id), link)
            for number, link in enumerate(links[:1] if splits else links)
        }
        self.container: Container | None = None
        if splits:
            from twofold.testing.simulation.container import Container  # needs azure-cosmos

            self.container = Container(self.ambient, links[1:], random.random, self.log_id, self._numbered)
            self.courses.partition_of = self.container.partition_of
        self.rows = RowsOnDisk()
        self.in_rows = RowsInspection(self.rows)
        self.watch: Watch
        self.not_released: set[Claim] = set()  # left to their leases: releasing failed, or the store has lost it
        self.refuses = False
        self.keeps_unsynced = False
        self.syncs_tables_only = False
        self._unsynced: list[tuple[float, Snapshot]] = []
        self.states = States(self.in_rows)
        self.keeps_states = False

    def _now(self) -> datetime:
        """The wall clock of the appending process."""
        return self.clock.now()

    def part_of(self, id: str) -> Part | Numbered:
        """The log that holds the streams with this id."""
        return self.part(self.courses.partition_of(id))

    def part(self, number: int) -> Part | Numbered:
        """A partition by its number, also if it has split."""
        return self.logs[number] if self.container is None or number == 0 else self.container.numbered[number]

    def parts(self) -> Sequence[Part | Numbered]:
        """The logs with events: all but that of the cuts, and those that have split."""
        return [self.part(number) for number in self.courses.partitions]

    def append(self, append: Append, by: Ambient) -> tuple[Receipt | TwofoldError, str]:
        """Store an append in the range of its stream, by the clock of a process. Returns also the id of the range."""
        assert self.container is not None
        self.clock = by
        outcome, range_ = self.container.commit(append)
        if isinstance(outcome, Receipt) and not outcome.repeated:
            self.courses.stored(str(outcome.stream), outcome.version, outcome.events)
        part = self.container.part_of(range_)
        if part is not None:  # otherwise it is seen when the range gets its number
            self.watch.appended(part, [append], [outcome])
        return outcome, range_.physical.id

    def _numbered(self, part: Numbered, parent: int) -> None:
        self.courses.split(part.number, parent)
        self.watch.numbered(part)

    def links(self, store: Store) -> Sequence[Remote]:
        """The networks in front of a store."""
        if store == "the log":
            return self._links
        return [link for link in [*self._links, self.rows_link] if link.name == store]

    def holding(self, stream: str) -> LogInspection:
        """What is stored of a stream, and of others."""
        id_ = stream.partition("-")[2]
        if self.container is None:
            return self.logs[self.courses.partition_of(id_)].inside
        return self.container.streams(id_).inside

    def streams(self) -> Sequence[str]:
        """The names of all streams."""
        if self.container is not None:
            return self.container.names
        return [name for number in self.courses.partitions for name in self.logs[number].inside.streams]

    def version(self, stream: str) -> int:
        """The current version of a stream."""
        return len(self.holding(stream).streams.get(stream, ()))

    def reactors_in(self, partition: int) -> MemoryCheckpoints:
        """What holds the checkpoints of reactors in a partition."""
        return self.logs[partition if self.container is None else 0].log.checkpoints

    def log_checkpoints(self) -> dict[FollowerId, Checkpoint]:
        """The checkpoints of the reactors, of all partitions."""
        return {one: row for part in self.logs.values() for one, row in part.log.checkpoints.rows.items()}

    def log_waiting(self) -> dict[FollowerId, dict[tuple[str, str], Parked]]:
        """What the reactors have parked."""
        return {one: its for part in self.logs.values() for one, its in part.log.checkpoints.waiting.items()}

    @property
    def row_checkpoints(self) -> MemoryCheckpoints:
        """The current checkpoints of the projections."""
        return self.in_rows.checkpoints

    def table(self, follows: FollowerId) -> dict[Key, Any]:
        """The current rows; for one partition, those that belong to it."""
        table = self.in_rows.tables[follows.whole]
        if not follows.partition:
            return table
        return {key: row for key, row in table.items() if self._lies_in(key, follows.partition)}

    def _lies_in(self, key: Key, partition: int) -> bool:
        return partition in self.courses.lineage(self.courses.partition_of(str(key[0])))

    def refuse(self, refuses: Refuses) -> None:
        """From now on the read store refuses some rows."""
        self.refuses, self.rows.refuses = True, refuses

    def take_all(self) -> None:
        """It accepts all rows again."""
        self.rows.refuses = lambda table, values: None

    # ---- the disk of the read store

    def synced(self, durable: bool) -> None:
        """Everything so far is on the disk; some stores sync only when tables change."""
        if durable or not self.syncs_tables_only:
            self._unsynced.clear()
        self.changed()

    def changed(self, follows: FollowerId | None = None) -> None:
        """A table has changed."""
        if self.keeps_states:
            self.states.record(follows)

    def before_change(self) -> None:
        """Remember the state that a crash would restore."""
        if self.keeps_unsynced:
            oldest = self._loop.time() - UNSYNCED_S
            while len(self._unsynced) > 1 and self._unsynced[1][0] < oldest:
                del self._unsynced[0]
            self._unsynced.append((self._loop.time(), self.in_rows.snapshot()))

    def crash_rows(self) -> None:
        """Crash the read store: it returns to some moment after the last sync."""
        choice = int(self._draw() * (len(self._unsynced) + 1))
        if choice < len(self._unsynced):
            self._counts["read store went back"] += 1
            before = {row.follower: row.epoch for row in self.row_checkpoints.rows.values()}
            self.in_rows.restore(self._unsynced[choice][1])
            rows = self.row_checkpoints.rows.values()
            self.not_released |= {
                Claim(row.follower, row.epoch) for row in rows if row.epoch < before.get(row.follower, 0)
            }
            self.changed()
        self._unsynced.clear()
        self.rows_link.crash(away=True)
        self.watch.went_back()
