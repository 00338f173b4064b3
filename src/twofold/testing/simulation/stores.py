"""How one process reaches the simulated store: the ports, implemented like a backend behind a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from twofold.ambient import Ambient
from twofold.backends.memory import MemoryCheckpoints, MemoryLog, MemoryReadStore
from twofold.errors import BatchRefused, LogReplaced, OutcomeUnknown, TwofoldError, Unavailable
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId, Ownership, Parked
from twofold.feed.feed import DenseFeed, FeedPage
from twofold.messages import Append, Entry, Position, Receipt, Stream
from twofold.read.columns import Values
from twofold.read.projection import Key, Table
from twofold.read.store import Changes, Condition, Counted, Query, QueryResult, StoredTable
from twofold.testing.simulation.remote import Kind, NoAnswer, NotSent, Remote, at_once
from twofold.testing.simulation.storage import Storage
from twofold.write.log import Loaded, final

T = TypeVar("T")

RESENDS = 4
RESEND_AFTER_S = 0.3


async def available(link: Remote, work: Callable[[], T], kind: Kind = "look", *, syncs: bool = False) -> T:
    """Raises: what `work` raises, Unavailable."""
    try:
        return await link.ask(work, kind, syncs=syncs)
    except (NotSent, NoAnswer) as error:
        raise Unavailable(str(error)) from error


async def appended(
    link: Callable[[], Remote], work: Callable[[], T], command_id: str, ambient: Ambient
) -> tuple[T, str | None]:
    """Append, again and again while the response is lost; the loss is returned with the result.

    Raises: what `work` raises, Unavailable, OutcomeUnknown.
    """
    doubt: NoAnswer | None = None
    for attempt in range(RESENDS + 1):
        if attempt:
            await asyncio.sleep(ambient.random() * RESEND_AFTER_S)
        try:
            return await link().ask(work, "append", syncs=True), None if doubt is None else str(doubt)
        except NoAnswer as error:
            doubt = error
        except NotSent as error:
            if doubt is None:
                raise Unavailable(str(error)) from error
    raise OutcomeUnknown(command_id, str(doubt)) from doubt


class SimulatedLog(DenseFeed):
    """The log or one of its parts, as one process reaches it (a `LogStore`)."""

    limits = MemoryLog.limits

    def __init__(self, storage: Storage, ambient: Ambient, partition: int = 0) -> None:
        self._storage, self._ambient, self.partition = storage, ambient, partition
        self._part = part = storage.logs[partition]
        self.link = part.link
        self.log_id = part.log.log_id
        self.checkpoints: Checkpoints = SimulatedCheckpoints(
            storage, self.link, lambda: part.log.checkpoints, synced=_nothing, before_change=_nothing
        )

    async def _look(self, work: Callable[[MemoryLog], Any]) -> Any:
        return await available(self.link, lambda: work(self._same()))

    def _same(self) -> MemoryLog:
        """The log itself. Raises: LogReplaced when another log has replaced it."""
        memory = self._part.log
        if memory.log_id != self.log_id:
            raise LogReplaced(f"this is log {memory.log_id}, but the program began with log {self.log_id}", self.log_id)
        return memory

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """See `Log.commit`. When the response is lost, the batch is sent again; its command ids make that safe."""
        outcomes, doubt = await appended(
            lambda: self.link, lambda: self._append(batch), batch[0].command_id, self._ambient
        )
        return [final(outcome, append, doubt) for outcome, append in zip(outcomes, batch, strict=True)]

    def _append(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        self._storage.clock = self._ambient
        outcomes = at_once(self._same().commit(batch))
        self._storage.watch.appended(self._part, batch, outcomes)
        if not self.link.deaf:
            self.link.later(self._part.bell.ring)
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

    async def read(
        self, after: Position, limit: int, types: frozenset[str] | None = None, until: Position | None = None
    ) -> FeedPage:
        """See `Feed.read`."""
        page: FeedPage = await self._look(lambda memory: at_once(memory.read(after, limit, types, until)))
        return page

    async def wait(self, after: Position, timeout_s: float) -> None:
        """See `Feed.wait`."""
        if self._part.head <= after:
            await self._part.bell.wait(timeout_s)

    async def new_id(self, log_id: str | None = None) -> None:
        """See `LogStore.new_id`."""
        await self._look(lambda memory: at_once(memory.new_id(log_id)))
        self.log_id = self._part.log.log_id

    async def close(self) -> None:
        """Nothing to release."""


class SimulatedCheckpoints:
    """Checkpoints as one process reaches them."""

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

        return await available(self._link, changed, kind)

    async def register(self, follower: FollowerId, log_id: str, start: Position) -> None:
        """See `Checkpoints.register`."""
        await self._change(lambda: at_once(self._memory().register(follower, log_id, start)), durable=True)

    async def register_part(self, follower: FollowerId, log_id: str, start: Position, apart: Collection[int]) -> bool:
        """See `SplitsCheckpoints.register_part`."""

        def register() -> bool:
            registered: bool = at_once(self._memory().register_part(follower, log_id, start, apart))
            self._storage.watch.registered(self._memory().parts(follower))
            return registered

        return await self._change(register, durable=True)

    async def read(self, follower: FollowerId) -> Checkpoint | None:
        """See `Checkpoints.read`."""
        return await available(self._link, lambda: at_once(self._memory().read(follower)))

    async def all_partitions(self, follower: FollowerId) -> Sequence[Checkpoint]:
        """See `Checkpoints.all_partitions`."""
        return await available(self._link, lambda: at_once(self._memory().all_partitions(follower)))

    async def ownership(self, follower: FollowerId) -> Ownership | None:
        """See `Checkpoints.ownership`."""
        return await available(self._link, lambda: at_once(self._memory().ownership(follower)))

    async def assign(self, follower: FollowerId, seen: Ownership | None, now: Ownership) -> bool:
        """See `Checkpoints.assign`."""
        return await self._change(lambda: at_once(self._memory().assign(follower, seen, now)), durable=True)

    async def claim(self, seen: Checkpoint, owner: str) -> Claim | None:
        """See `Checkpoints.claim`."""

        def claim() -> Claim | None:
            before = self._memory().rows.get(seen.follower)
            claim = at_once(self._memory().claim(seen, owner))
            if before is not None and claim is not None:
                self._storage.watch.claimed(before, claim, owner)
            return claim

        return await self._change(claim, "claim")

    async def request_handover(self, seen: Checkpoint, asker: str) -> None:
        """See `Checkpoints.request_handover`."""
        await self._change(lambda: at_once(self._memory().request_handover(seen, asker)))

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
            before, waited = self._memory().held(claim), at_once(self._memory().parked(claim.follower))
            at_once(self._memory().advance(claim, after, to, parked, unparked))
            self._storage.watch.advanced(before, claim, after, to, _present(waited, unparked))

        await self._change(advance, "page")

    async def split(self, claim: Claim, at: Position, parts: Mapping[int, Sequence[Parked]]) -> None:
        """See `SplitsCheckpoints.split`."""

        def split() -> None:
            memory = self._memory()
            before, there = memory.held(claim), set(memory.rows)
            at_once(memory.split(claim, at, parts))
            names = [claim.follower.in_partition(number) for number in parts]
            self._storage.watch.split(before, claim, [memory.rows[name] for name in names if name not in there])
            self._storage.watch.registered(memory.parts(claim.follower))

        await self._change(split)

    async def release(self, claim: Claim) -> None:
        """See `Checkpoints.release`."""

        def release() -> None:
            before = self._memory().rows.get(claim.follower)
            at_once(self._memory().release(claim))
            if before and before.owner is not None and self._memory().rows[claim.follower].owner is None:
                self._storage.watch.released(before, claim)

        try:
            await self._change(release)
        except Unavailable:
            self._storage.not_released.add(claim)
            raise

    async def parked(self, follower: FollowerId) -> Sequence[Parked]:
        """See `Checkpoints.parked`."""
        return await available(self._link, lambda: at_once(self._memory().parked(follower)))

    async def traceback(self, follower: FollowerId, one: Parked) -> str:
        """See `Checkpoints.traceback`."""
        return await available(self._link, lambda: at_once(self._memory().traceback(follower, one)))


class SimulatedRows:
    """The read store as one process reaches it (a `ReadStore`)."""

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

        return await available(self._link, changed)

    async def _look(self, work: Callable[[MemoryReadStore], T]) -> T:
        return await available(self._link, lambda: work(self._storage.rows))

    async def prepare(self, table: Table) -> None:
        """See `ReadStore.prepare`."""
        await self._change_tables(lambda rows: at_once(rows.prepare(table)))

    async def publish(self, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint] = ()) -> bool:
        """See `ReadStore.publish`."""

        def publish(rows: MemoryReadStore) -> bool:
            before = self._storage.in_rows.live(table.name)
            answer = at_once(rows.publish(table, covered, lost))
            self._storage.watch.published(table, before)
            return answer

        return await self._change_tables(publish)

    async def index(self, table: Table) -> None:
        """See `ReadStore.index`."""
        await self._look(lambda rows: at_once(rows.index(table)))

    async def replace(self, table: Table, claims: Sequence[Claim], built: FollowerId, at: Sequence[Position]) -> bool:
        """See `ReadStore.replace`."""

        def replace(rows: MemoryReadStore) -> bool:
            before = self._storage.row_checkpoints.parts(table.follows)
            answer = at_once(rows.replace(table, claims, built, at))
            self._storage.watch.replaced(before)
            return answer

        return await self._change_tables(replace)

    async def tables(self) -> Sequence[StoredTable]:
        """See `ReadStore.tables`."""
        return await self._look(lambda rows: at_once(rows.tables()))

    async def rollups(self) -> Sequence[Table]:
        """See `ReadStore.rollups`."""
        return await self._look(lambda rows: at_once(rows.rollups()))

    async def drop(self, follows: FollowerId) -> None:
        """See `ReadStore.drop`."""

        def drop(rows: MemoryReadStore) -> None:
            before = [table for table in at_once(rows.tables()) if table.follows == follows]
            at_once(rows.drop(follows))
            for table in before:
                self._storage.watch.dropped(table)

        await self._change_tables(drop)

    async def clear(self, table: Table, log_id: str) -> None:
        """See `ReadStore.clear`."""
        await self._change_tables(lambda rows: at_once(rows.clear(table, log_id)))

    async def rows(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Values]:
        """See `ReadStore.rows`."""
        return await self._look(lambda rows: at_once(rows.rows(table, keys)))

    async def commit(self, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        """See `ReadStore.commit`. It does not wait for the disk: a crash may revert it."""

        def commit() -> None:
            storage = self._storage
            before, waited = (
                storage.row_checkpoints.held(claim),
                at_once(storage.row_checkpoints.parked(claim.follower)),
            )
            storage.before_change()
            try:
                at_once(storage.rows.commit(table, claim, after, to, changes))
            except BatchRefused:
                storage.watch.refused()
                raise
            for written in (table, *(rolled.table for rolled in changes.rolled)):
                storage.changed(written.follows)
            storage.watch.advanced(before, claim, after, to, _present(waited, changes.unparked))
            if not self._link.deaf:
                self._link.later(storage.rows_bell.ring)

        await available(self._link, commit, "page")

    async def refusal(self, table: Table, rows: Sequence[Values]) -> str | None:
        """See `ReadStore.refusal`."""
        return await self._look(lambda store: at_once(store.refusal(table, rows)))

    async def get(self, table: Table, key: Key) -> QueryResult:
        """See `ReadStore.get`."""
        return await self._look(lambda rows: at_once(rows.get(table, key)))

    async def find(self, table: Table, query: Query) -> QueryResult:
        """See `ReadStore.find`."""
        return await self._look(lambda rows: at_once(rows.find(table, query)))

    async def get_all(self, table: Table, keys: Sequence[Key]) -> QueryResult:
        """See `ReadStore.get_all`."""
        return await self._look(lambda rows: at_once(rows.get_all(table, keys)))

    async def count(self, table: Table, conditions: Sequence[Condition]) -> Counted:
        """See `ReadStore.count`."""
        return await self._look(lambda rows: at_once(rows.count(table, conditions)))

    async def wait(self, follower: FollowerId, after: Position, timeout_s: float) -> None:
        """See `ReadStore.wait`."""
        checkpoint = self._storage.row_checkpoints.rows.get(follower)
        if checkpoint is None or checkpoint.position <= after:
            await self._storage.rows_bell.wait(timeout_s)

    async def close(self) -> None:
        """Nothing to release."""


def _present(waited: Sequence[Parked], unparked: Sequence[Parked]) -> Sequence[Parked]:
    names = {(one.kind, one.key) for one in unparked}
    return [one for one in waited if (one.kind, one.key) in names]


def _nothing(*_: object) -> None:
    pass
