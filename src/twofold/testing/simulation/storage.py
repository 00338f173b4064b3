"""What all processes of a history share: the log and the read store, each behind its network and on its disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Any, Literal, Protocol

import msgspec

from twofold.ambient import Ambient
from twofold.backends.memory import MemoryCheckpoints, MemoryLog, MemoryReadStore, Refuses
from twofold.backends.memory.inspection import LogInspection, RowsInspection, Snapshot, log_of
from twofold.errors import TwofoldError
from twofold.feed.checkpoints import Checkpoint, Claim, FollowerId, Parked
from twofold.feed.doorbell import Doorbell
from twofold.messages import Append, Entry, Position, Receipt
from twofold.read.projection import Key, Table
from twofold.read.store import StoredTable
from twofold.testing.simulation.loop import SimulatedLoop
from twofold.testing.simulation.oracle import GivenUp
from twofold.testing.simulation.remote import Remote

Store = Literal["the log", "the read store"]
LogBecomes = Literal["an older copy", "another log"]

UNSYNCED_S = 0.6


class Watch(Protocol):
    """Observes the store itself, where nothing is lost or late."""

    def appended(self, batch: Sequence[Append], outcomes: Sequence[Receipt | TwofoldError]) -> None:
        """A batch is in the log."""

    def claimed(self, before: Checkpoint, claim: Claim, owner: str) -> None:
        """A checkpoint was taken over."""

    def beaten(self, claim: Claim) -> None:
        """A heartbeat was accepted."""

    def released(self, before: Checkpoint, claim: Claim) -> None:
        """A checkpoint was released, unless another worker held it."""

    def advanced(
        self, before: Checkpoint, claim: Claim, after: Position, to: Position, unparked: Sequence[Parked]
    ) -> None:
        """A checkpoint has moved on, with what belongs to it; what is `unparked` was parked until now."""

    def refused(self) -> None:
        """A page was refused: it has a row that the store does not keep."""

    def dropped(self, before: StoredTable) -> None:
        """A table is gone, as it was before."""

    def published(self, table: Table, live_before: int) -> None:
        """The public name may show another version now."""

    def replaced(self, before: Sequence[Checkpoint]) -> None:
        """A table that was built beside the one with these checkpoints has taken its place."""

    def went_back(self) -> None:
        """The read store has crashed and lost what was not synced."""


class RowsOnDisk(MemoryReadStore):
    """The read store, and which events were given up in it: a crash takes back both, or neither."""

    def __init__(self) -> None:
        super().__init__()
        self.given_up: dict[FollowerId, tuple[GivenUp, ...]] = {}

    async def drop(self, follows: FollowerId) -> None:
        """See `ReadStore.drop`."""
        await super().drop(follows)
        self.given_up.pop(follows, None)

    async def clear(self, table: Table, log_id: str) -> None:
        """See `ReadStore.clear`."""
        await super().clear(table, log_id)
        self.given_up.pop(table.follows, None)

    async def replace(self, table: Table, claims: Sequence[Claim], built: FollowerId, at: Sequence[Position]) -> bool:
        """See `ReadStore.replace`. What was given up of the old table is folded in the new one."""
        done = await super().replace(table, claims, built, at)
        self.given_up[table.follows] = self.given_up.pop(built, ())
        return done


class Storage:
    """Log and read store, each with its network and its disk."""

    def __init__(self, loop: SimulatedLoop, random: Random, counts: Counter[str]) -> None:
        self._loop, self._counts, self._draw = loop, counts, random.random
        self.clock: Ambient = Ambient()
        self.log_link = Remote(loop, random, "the log", counts)
        self.rows_link = Remote(loop, random, "the read store", counts)
        self.log_bell, self.rows_bell = Doorbell(), Doorbell()
        self._ambient = Ambient(now=self._now, new_id=lambda: f"{random.getrandbits(128):032x}")
        self.log = MemoryLog(self._ambient)
        self.rows = RowsOnDisk()
        self.in_log, self.in_rows = LogInspection(self.log), RowsInspection(self.rows)
        self.watch: Watch
        self.not_released: set[Claim] = set()  # their holders got an error on release, and leave it to the lease
        self.refuses = False
        self.keeps_unsynced = False
        self.syncs_tables_only = False
        self._unsynced: list[tuple[float, Snapshot]] = []

    def _now(self) -> datetime:
        """The wall clock of the process that appends."""
        return self.clock.now()

    @property
    def head(self) -> Position:
        """The end of the log, as it is."""
        return Position(0, len(self.entries))

    @property
    def entries(self) -> Sequence[Entry]:
        """Everything that is in the log."""
        return self.in_log.entries

    def version(self, stream: str) -> int:
        """The version of a stream, as it is."""
        return len(self.in_log.streams.get(stream, ()))

    @property
    def row_checkpoints(self) -> MemoryCheckpoints:
        """Those of the projections, as they are."""
        return self.in_rows.checkpoints

    def table(self, follows: FollowerId) -> dict[Key, Any]:
        """The rows as they are."""
        return self.in_rows.tables[follows]

    def refuse(self, refuses: Refuses) -> None:
        """From now on there are rows that the read store does not keep."""
        self.refuses, self.rows.refuses = True, refuses

    def take_all(self) -> None:
        """It keeps any row again."""
        self.rows.refuses = lambda table, values: None

    def replace_log(self, by: LogBecomes) -> None:
        """Put another log in its place, or a copy that ends one event earlier, with the reactors as they were then."""
        if by == "an older copy":
            self.log = self.in_log.older_copy(self._ambient)
        else:
            twice = enumerate([*self.entries, *self.entries], start=1)
            self.log = log_of([_elsewhere(entry, offset) for offset, entry in twice], self._ambient)
        self.in_log = LogInspection(self.log)

    # ---- the disk of the read store

    def synced(self, durable: bool) -> None:
        """Everything so far is on the disk; some stores wait for that only when tables change."""
        if durable or not self.syncs_tables_only:
            self._unsynced.clear()

    def before_change(self) -> None:
        """Remember what a crash would bring back."""
        if self.keeps_unsynced:
            oldest = self._loop.time() - UNSYNCED_S
            while len(self._unsynced) > 1 and self._unsynced[1][0] < oldest:
                del self._unsynced[0]
            self._unsynced.append((self._loop.time(), self.in_rows.snapshot()))

    def crash_rows(self) -> None:
        """Crash the read store: it goes back to some moment after the last sync."""
        choice = int(self._draw() * (len(self._unsynced) + 1))
        if choice < len(self._unsynced):
            self._counts["read store went back"] += 1
            self.in_rows.restore(self._unsynced[choice][1])
        self._unsynced.clear()
        self.rows_link.crash(away=True)
        self.watch.went_back()


def _elsewhere(entry: Entry, offset: int) -> Entry:
    return msgspec.structs.replace(entry, position=Position(0, offset), stream=f"{entry.stream}-there")
