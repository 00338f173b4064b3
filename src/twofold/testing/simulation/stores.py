"""The simulated store: the memory backend at the other end of a network, on a disk that must be waited for.

`Storage` is what all processes share; `SimulatedLog` and `SimulatedRows` are one process's ways to it, and keep the
ports as a backend does that is reached over a network.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from random import Random
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from twofold.ambient import Ambient
from twofold.backends.memory import MemoryCheckpoints, MemoryLog, MemoryReadStore
from twofold.errors import LogReplaced, OutcomeUnknown, TwofoldError, Unavailable
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, Follows, Parked
from twofold.feed.doorbell import Doorbell
from twofold.feed.feed import FeedPage
from twofold.messages import Append, Entry, Position, Receipt, Stream
from twofold.read.columns import Values
from twofold.read.projection import Key, Table
from twofold.read.store import Changes, Found, Query, Rows, StoredTable
from twofold.testing.simulation.loop import SimulatedLoop
from twofold.testing.simulation.remote import Kind, NoAnswer, NotSent, Remote, at_once
from twofold.write.log import Loaded

T = TypeVar("T")

LogBecomes = Literal["an older copy", "another log"]

RESENDS = 4
RESEND_AFTER_S = 0.3
UNSYNCED_S = 0.6


class Watch(Protocol):
    """Looks on in the store itself, where nothing is lost or late."""

    def appended(self, batch: Sequence[Append], outcomes: Sequence[Receipt | TwofoldError]) -> None:
        """A batch is in the log."""

    def claimed(self, before: Checkpoint, claim: Claim) -> None:
        """A checkpoint was taken over."""

    def beaten(self, claim: Claim) -> None:
        """A sign of life was accepted."""

    def released(self, before: Checkpoint, claim: Claim) -> None:
        """A checkpoint was let go of, unless it was held by somebody else."""

    def advanced(self, before: Checkpoint, claim: Claim, after: Position, to: Position) -> None:
        """A checkpoint has moved on, with what belongs to it."""

    def published(self, table: Table, live_before: int) -> None:
        """The public name may show another version now."""

    def went_back(self) -> None:
        """The read store has crashed and lost what was not synced."""


class Storage:
    """Log and read store, each with its network and its disk."""

    def __init__(self, loop: SimulatedLoop, random: Random, counts: Counter[str]) -> None:
        self._loop, self._counts, self._draw = loop, counts, random.random
        self.clock: Ambient = Ambient()
        self.log_link = Remote(loop, random, "the log", counts)
        self.rows_link = Remote(loop, random, "the read store", counts)
        self.log_bell, self.rows_bell = Doorbell(), Doorbell()
        self.log = MemoryLog(Ambient(now=self._now, new_id=lambda: f"{random.getrandbits(128):032x}"))
        self.rows = MemoryReadStore()
        self.watch: Watch
        self.keeps_unsynced = False
        self.syncs_tables_only = False
        self._unsynced: list[tuple[float, dict[str, Any]]] = []

    def _now(self) -> datetime:
        """The wall clock of the process that appends."""
        return self.clock.now()

    @property
    def head(self) -> Position:
        """The end of the log, as it is."""
        return Position(0, len(self.log._entries))

    @property
    def entries(self) -> list[Entry]:
        """Everything that is in the log."""
        return self.log._entries

    @property
    def row_checkpoints(self) -> MemoryCheckpoints:
        """Those of the projections, as they are."""
        return self.rows._checkpoints

    def table(self, follows: Follows) -> dict[Key, Any]:
        """The rows as they are."""
        return self.rows._tables[follows]

    def replace_log(self, by: LogBecomes) -> None:
        """Put another log in its place, or a copy that ends one event earlier, with the reactors as they were then."""
        old, new = self.log, MemoryLog(self.log._ambient)
        if by == "another log":
            new._entries = [
                msgspec.structs.replace(entry, position=Position(0, offset), stream=f"{entry.stream}-there")
                for offset, entry in enumerate(old._entries * 2, start=1)
            ]
        else:
            new.log_id, new._entries = old.log_id, old._entries[:-1]
            end = Position(0, len(new._entries))
            new._receipts = {name: receipt for name, receipt in old._receipts.items() if receipt.position <= end}
            for follower, row in old.checkpoints.rows.items():
                new.checkpoints.rows[follower] = msgspec.structs.replace(row, position=min(row.position, end))
        for entry in new._entries:
            new._streams[entry.stream].append(entry)
        self.log = new

    # ---- the disk of the read store

    def synced(self, durable: bool) -> None:
        """Everything so far is on the disk; some stores wait for that only where they must: when tables change."""
        if durable or not self.syncs_tables_only:
            self._unsynced.clear()

    def before_change(self) -> None:
        """Remember what a crash would bring back."""
        if self.keeps_unsynced:
            oldest = self._loop.time() - UNSYNCED_S
            while len(self._unsynced) > 1 and self._unsynced[1][0] < oldest:
                del self._unsynced[0]
            self._unsynced.append((self._loop.time(), _copied(_state(self.rows))))

    def crash_rows(self) -> None:
        """The read store crashes: it is again as it was at some moment after the last sync."""
        choice = int(self._draw() * (len(self._unsynced) + 1))
        if choice < len(self._unsynced):
            self._counts["read store went back"] += 1
            _restore(self.rows, self._unsynced[choice][1])
        self._unsynced.clear()
        self.rows_link.crash(away=True)
        self.watch.went_back()


def _state(rows: MemoryReadStore) -> dict[str, Any]:
    state = {name: value for name, value in vars(rows).items() if isinstance(value, dict)}
    return {"": state, "checkpoints": vars(rows._checkpoints)}


def _copied(value: Any) -> Any:
    """Dictionaries anew, down to what never changes."""
    if not isinstance(value, dict):
        return value
    copy = value.copy()
    for key, inner in copy.items():
        if isinstance(inner, dict):
            copy[key] = _copied(inner)
    return copy


def _restore(rows: MemoryReadStore, state: dict[str, Any]) -> None:
    vars(rows).update(state[""])
    vars(rows._checkpoints).update(state["checkpoints"])


async def _available(link: Remote, work: Callable[[], T], kind: Kind = "look", *, syncs: bool = False) -> T:
    """Raises: what `work` raises, Unavailable."""
    try:
        return await link.ask(work, kind, syncs=syncs)
    except (NotSent, NoAnswer) as error:
        raise Unavailable(str(error)) from error


class SimulatedLog:
    """One process's way to the log (a `LogStore`)."""

    def __init__(self, storage: Storage, ambient: Ambient) -> None:
        self._storage, self._ambient = storage, ambient
        self._link = storage.log_link
        self.log_id = storage.log.log_id
        self.checkpoints: Checkpoints = SimulatedCheckpoints(
            storage, self._link, lambda: storage.log.checkpoints, synced=_nothing, before_change=_nothing
        )

    async def _look(self, work: Callable[[MemoryLog], Any]) -> Any:
        return await _available(self._link, lambda: work(self._same()))

    def _same(self) -> MemoryLog:
        """Raises: LogReplaced when another one was put in its place."""
        memory = self._storage.log
        if memory.log_id != self.log_id:
            raise LogReplaced(f"this is log {memory.log_id}, and the program began with log {self.log_id}")
        return memory

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """See `Log.commit`. Where the answer was lost, the same is sent again: the command ids make that safe."""
        doubt: NoAnswer | None = None
        for attempt in range(RESENDS + 1):
            if attempt:
                await asyncio.sleep(self._ambient.random() * RESEND_AFTER_S)
            try:
                return await self._link.ask(lambda: self._append(batch), "append", syncs=True)
            except NoAnswer as error:
                doubt = error
            except NotSent as error:
                if doubt is None:
                    raise Unavailable(str(error)) from error
        raise OutcomeUnknown(batch[0].command_id, str(doubt)) from doubt

    def _append(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        self._storage.clock = self._ambient
        outcomes = at_once(self._same().commit(batch))
        self._storage.watch.appended(batch, outcomes)
        if not self._link.deaf:
            self._link.later(self._storage.log_bell.ring)
        return outcomes

    async def load(
        self, stream: Stream, command_id: str | None = None, last: int | None = None, after: int = 0
    ) -> Loaded:
        """See `Log.load`."""
        loaded: Loaded = await self._look(lambda memory: at_once(memory.load(stream, command_id, last, after)))
        return loaded

    async def read_stream(self, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        """See `Log.read_stream`."""
        found: Sequence[Entry] = await self._look(
            lambda memory: at_once(memory.read_stream(stream, from_version, limit))
        )
        return found

    async def head(self) -> Position:
        """See `Feed.head`."""
        head: Position = await self._look(lambda memory: at_once(memory.head()))
        return head

    async def read(self, after: Position, limit: int, types: frozenset[str] | None = None) -> FeedPage:
        """See `Feed.read`."""
        page: FeedPage = await self._look(lambda memory: at_once(memory.read(after, limit, types)))
        return page

    async def wait(self, after: Position, timeout_s: float) -> None:
        """See `Feed.wait`."""
        if self._storage.head <= after:
            await self._storage.log_bell.wait(timeout_s)

    async def new_id(self) -> None:
        """See `LogStore.new_id`."""
        await self._look(lambda memory: at_once(memory.new_id()))
        self.log_id = self._storage.log.log_id

    async def close(self) -> None:
        """Nothing to let go of."""


class SimulatedCheckpoints:
    """One process's way to checkpoints."""

    def __init__(
        self,
        storage: Storage,
        link: Remote,
        memory: Callable[[], MemoryCheckpoints],
        synced: Callable[[bool], None],
        before_change: Callable[[], None],
    ) -> None:
        self._storage, self._link, self._memory = storage, link, memory
        self._synced, self._before_change = synced, before_change

    async def _change(self, work: Callable[[], T], kind: Kind = "look", *, durable: bool = False) -> T:
        def changed() -> T:
            self._before_change()
            answer = work()
            self._synced(durable)
            return answer

        return await _available(self._link, changed, kind)

    async def register(self, follower: Follows, log_id: str, start: Position) -> None:
        """See `Checkpoints.register`."""
        await self._change(lambda: at_once(self._memory().register(follower, log_id, start)), durable=True)

    async def read(self, follower: Follows) -> Checkpoint | None:
        """See `Checkpoints.read`."""
        return await _available(self._link, lambda: at_once(self._memory().read(follower)))

    async def claim(self, seen: Checkpoint, owner: str) -> Claim | None:
        """See `Checkpoints.claim`."""

        def claim() -> Claim | None:
            before = self._memory().rows[seen.follower]
            claim = at_once(self._memory().claim(seen, owner))
            if claim is not None:
                self._storage.watch.claimed(before, claim)
            return claim

        return await self._change(claim, "claim")

    async def ask(self, seen: Checkpoint, asker: str) -> None:
        """See `Checkpoints.ask`."""
        await self._change(lambda: at_once(self._memory().ask(seen, asker)))

    async def beat(self, claim: Claim) -> str | None:
        """See `Checkpoints.beat`."""

        def beat() -> str | None:
            wanted_by = at_once(self._memory().beat(claim))
            self._storage.watch.beaten(claim)
            return wanted_by

        return await self._change(beat)

    async def advance(
        self,
        claim: Claim,
        after: Position,
        to: Position,
        parked: Sequence[Parked] = (),
        unparked: Sequence[Parked] = (),
    ) -> None:
        """See `Checkpoints.advance`."""

        def advance() -> None:
            before = self._memory().rows[claim.follower]
            at_once(self._memory().advance(claim, after, to, parked, unparked))
            self._storage.watch.advanced(before, claim, after, to)

        await self._change(advance, "page")

    async def release(self, claim: Claim) -> None:
        """See `Checkpoints.release`."""

        def release() -> None:
            before = self._memory().rows[claim.follower]
            at_once(self._memory().release(claim))
            if self._memory().rows[claim.follower].owner is None and before.owner is not None:
                self._storage.watch.released(before, claim)

        await self._change(release)

    async def parked(self, follower: Follows) -> Sequence[Parked]:
        """See `Checkpoints.parked`."""
        return await _available(self._link, lambda: at_once(self._memory().parked(follower)))

    async def traceback(self, follower: Follows, one: Parked) -> str:
        """See `Checkpoints.traceback`."""
        return await _available(self._link, lambda: at_once(self._memory().traceback(follower, one)))


class SimulatedRows:
    """One process's way to the read store (a `ReadStore`)."""

    def __init__(self, storage: Storage) -> None:
        self._storage, self._link = storage, storage.rows_link
        self._checkpoints = SimulatedCheckpoints(
            storage, self._link, lambda: storage.row_checkpoints, storage.synced, storage.before_change
        )

    @property
    def checkpoints(self) -> Checkpoints:
        """See `ReadStore.checkpoints`."""
        return self._checkpoints

    async def _change_tables(self, work: Callable[[MemoryReadStore], T]) -> T:
        def changed() -> T:
            answer = work(self._storage.rows)
            self._storage.synced(durable=True)
            return answer

        return await _available(self._link, changed)

    async def _look(self, work: Callable[[MemoryReadStore], T]) -> T:
        return await _available(self._link, lambda: work(self._storage.rows))

    async def prepare(self, table: Table) -> None:
        """See `ReadStore.prepare`."""
        await self._change_tables(lambda rows: at_once(rows.prepare(table)))

    async def publish(self, table: Table) -> bool:
        """See `ReadStore.publish`."""

        def publish(rows: MemoryReadStore) -> bool:
            before = rows._live[table.name]
            answer = at_once(rows.publish(table))
            self._storage.watch.published(table, before)
            return answer

        return await self._change_tables(publish)

    async def tables(self) -> Sequence[StoredTable]:
        """See `ReadStore.tables`."""
        return await self._look(lambda rows: at_once(rows.tables()))

    async def drop(self, follows: Follows) -> None:
        """See `ReadStore.drop`."""
        await self._change_tables(lambda rows: at_once(rows.drop(follows)))

    async def clear(self, table: Table, log_id: str) -> None:
        """See `ReadStore.clear`."""
        await self._change_tables(lambda rows: at_once(rows.clear(table, log_id)))

    async def rows(self, table: Table, keys: Sequence[Key]) -> Rows:
        """See `ReadStore.rows`."""
        return await self._look(lambda rows: at_once(rows.rows(table, keys)))

    async def commit(self, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        """See `ReadStore.commit`. It does not wait for the disk: a crash may take it back."""

        def commit() -> None:
            storage = self._storage
            before = storage.row_checkpoints.rows[claim.follower]
            storage.before_change()
            at_once(storage.rows.commit(table, claim, after, to, changes))
            storage.watch.advanced(before, claim, after, to)
            if not self._link.deaf:
                self._link.later(storage.rows_bell.ring)

        await _available(self._link, commit, "page")

    async def refusal(self, table: Table, rows: Sequence[Values]) -> str | None:
        """See `ReadStore.refusal`."""
        return await self._look(lambda store: at_once(store.refusal(table, rows)))

    async def get(self, table: Table, key: Key) -> Found:
        """See `ReadStore.get`."""
        return await self._look(lambda rows: at_once(rows.get(table, key)))

    async def find(self, table: Table, query: Query) -> Found:
        """See `ReadStore.find`."""
        return await self._look(lambda rows: at_once(rows.find(table, query)))

    async def wait(self, follows: Follows, after: Position, timeout_s: float) -> None:
        """See `ReadStore.wait`."""
        if self._storage.row_checkpoints.rows[follows].position <= after:
            await self._storage.rows_bell.wait(timeout_s)

    async def close(self) -> None:
        """Nothing to let go of."""


def _nothing(*_: object) -> None:
    pass
