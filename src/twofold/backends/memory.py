"""The executable specification: what a backend must do, in the fewest lines, in one process's memory.

For tests, and for reading before writing a backend. One event loop; several openings share a store by handing the
same objects on.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec

from twofold.ambient import Ambient
from twofold.backends.memory_copies import MemoryCopies
from twofold.codec import MAX_EVENT_BYTES
from twofold.errors import BatchRefused, ConfigurationError, InvalidInput, LeaseLost, TwofoldError, VersionConflict
from twofold.feed.checkpoints import Belongs, Checkpoint, Checkpoints, Claim, Follows, Parked
from twofold.feed.doorbell import Doorbell
from twofold.feed.feed import FeedPage, check_not_beyond
from twofold.messages import BEGINNING, Append, Entry, Position, Receipt, Stream
from twofold.read.columns import Values
from twofold.read.definition import MAX_COLUMNS, MAX_KEY_BYTES
from twofold.read.projection import Key, Table
from twofold.read.store import (
    Changes,
    Condition,
    Found,
    Query,
    RowLimits,
    Rows,
    StoredTable,
    check_columns,
    check_droppable,
    is_lost,
)
from twofold.write.clock import recorded_at, warn
from twofold.write.log import MAX_APPEND_BYTES, MAX_APPEND_EVENTS, Loaded, LogLimits
from twofold.write.requests import SWEPT_AT_ONCE, Answer, Claimed

PAGE_BYTES = 8 * 1024 * 1024

Refuses = Callable[[Table, Values], str | None]

_set = msgspec.structs.replace


class MemoryLog:
    """A log and its feed."""

    limits = LogLimits(MAX_EVENT_BYTES, MAX_APPEND_BYTES, MAX_APPEND_EVENTS, reads_at_once=1)

    importing: MemoryCopies
    exporting: MemoryCopies
    requests: MemoryRequests

    def __init__(self, ambient: Ambient | None = None) -> None:
        self._ambient = ambient or Ambient()
        self.log_id = self._ambient.new_id()[:16]
        self.checkpoints = MemoryCheckpoints()
        self.requests = MemoryRequests(self._ambient, lambda: self.log_id)
        self._entries: list[Entry] = []
        self._time: datetime  # of the batch that is being committed
        self._streams: dict[str, list[Entry]] = defaultdict(list)
        self._receipts: dict[tuple[str, str], Receipt] = {}
        self._bell = Doorbell()
        self.importing = self.exporting = MemoryCopies(
            self._entries, self._streams, self._receipts, lambda: self.log_id
        )

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """See `Log.commit`."""
        await asyncio.sleep(0)  # where another backend waits for its disk, others run
        clock, newest = self._ambient.now(), self._entries[-1].recorded_at if self._entries else None
        self._time, before = recorded_at(clock, newest), len(self._entries)
        outcomes = [self._append(append) for append in batch]
        if newest is not None and self._time < newest and len(self._entries) > before:
            warn(clock, newest)
        self._bell.ring()
        return outcomes

    def _append(self, append: Append) -> Receipt | TwofoldError:
        known = self._receipts.get((str(append.stream), append.command_id))
        if known is not None:
            return _set(known, repeated=True)
        stream = self._streams[str(append.stream)]
        if append.expected_version is not None and append.expected_version != len(stream):
            return VersionConflict(append.stream, append.expected_version, len(stream))
        meta = msgspec.json.encode(append.meta)
        for event in append.events:
            position = Position(0, len(self._entries) + 1)
            entry = Entry(
                position, str(append.stream), len(stream) + 1, event.type, event.schema, event.data, meta, self._time
            )
            self._entries.append(entry)
            stream.append(entry)
        position = stream[-1].position if stream else BEGINNING
        receipt = Receipt(append.stream, len(stream), len(append.events), position, append.command_id, self.log_id)
        self._receipts[str(append.stream), append.command_id] = receipt
        return receipt

    async def load(
        self, stream: Stream, command_id: str | None = None, last: int | None = None, after: int = 0
    ) -> Loaded:
        """See `Log.load`."""
        await asyncio.sleep(0)
        entries = self._streams.get(str(stream), [])[after:]
        receipt = self._receipts.get((str(stream), command_id)) if command_id else None
        return Loaded(
            [(entry.type, entry.schema, entry.data) for entry in (entries[-last:] if last else entries)],
            entries[-1].version if entries else after,
            entries[-1].position if entries else BEGINNING,
            receipt and _set(receipt, repeated=True),
        )

    async def read_stream(self, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        """See `Log.read_stream`."""
        return self._streams.get(str(stream), [])[max(from_version, 1) - 1 :][: max(limit, 0)]

    async def head(self) -> Position:
        """See `Feed.head`."""
        return Position(0, len(self._entries))

    async def read(self, after: Position, limit: int, types: frozenset[str] | None = None) -> FeedPage:
        """See `Feed.read`."""
        await asyncio.sleep(0)
        check_not_beyond(after, await self.head())
        looked_at: list[Entry] = []
        size = 0
        for entry in self._entries[after.offset : after.offset + limit]:
            looked_at.append(entry)
            size += len(entry.data)
            if size >= PAGE_BYTES:
                break
        upto = looked_at[-1].position if looked_at else after
        return FeedPage([entry for entry in looked_at if types is None or entry.type in types], upto)

    async def wait(self, after: Position, timeout_s: float) -> None:
        """See `Feed.wait`."""
        if len(self._entries) <= after.offset:
            await self._bell.wait(timeout_s)

    async def new_id(self) -> None:
        """See `LogStore.new_id`."""
        self.log_id = self._ambient.new_id()[:16]
        rows = self.checkpoints.rows
        rows.update({follows: _set(row, log_id=self.log_id) for follows, row in rows.items()})

    async def close(self) -> None:
        """Nothing to let go of: the store lives as long as somebody holds it."""


class MemoryRequests:
    """Requests with a key, and their answers. `log_id` returns the log's id as it is now."""

    def __init__(self, ambient: Ambient, log_id: Callable[[], str]) -> None:
        self._ambient, self._log_id = ambient, log_id
        self._secret = b""
        self._claims: dict[str, Claimed] = {}
        self._answers: dict[str, tuple[str, Answer]] = {}

    async def secret(self) -> bytes:
        """See `Requests.secret`."""
        self._secret = self._secret or bytes.fromhex(self._ambient.new_id() + self._ambient.new_id())
        return self._secret

    async def claim(self, id: str, fingerprint: bytes) -> Claimed:
        """See `Requests.claim`."""
        await asyncio.sleep(0)
        return _set(self._claims.setdefault(id, Claimed(fingerprint)), answer=self._answer(id))

    async def note(self, id: str, asked: Sequence[str]) -> None:
        """See `Requests.note`."""
        self._claims[id] = _set(self._claims[id], asked=asked)

    async def keep(self, id: str, answer: Answer, asked: Sequence[str], keep_s: float) -> Answer:
        """See `Requests.keep`."""
        await asyncio.sleep(0)
        first, now = self._answer(id), self._ambient.now()
        if first is not None:
            return first
        for other in list(islice(self._answers, SWEPT_AT_ONCE)):  # the oldest
            if self._answer(other) is None:
                del self._answers[other]
        self._answers.pop(id, None)
        await self.note(id, asked)
        self._answers[id] = self._log_id(), _set(answer, expires_at=now + timedelta(seconds=keep_s))
        return self._answers[id][1]

    def _answer(self, id: str) -> Answer | None:
        log_id, answer = self._answers.get(id, ("", None))
        valid = answer is not None and answer.expires_at is not None and answer.expires_at > self._ambient.now()
        return answer if valid and log_id == self._log_id() else None


class MemoryCheckpoints:
    """Checkpoints, leases and what is parked."""

    def __init__(self) -> None:
        self.rows: dict[Follows, Checkpoint] = {}
        self.owners: dict[Follows, Belongs] = {}
        self.waiting: dict[Follows, dict[tuple[str, str], Parked]] = defaultdict(dict)

    async def register(self, follower: Follows, log_id: str, start: Position) -> None:
        """See `Checkpoints.register`."""
        self.rows.setdefault(follower, Checkpoint(follower, log_id, start, None, 0, 0))

    async def read(self, follower: Follows) -> Checkpoint | None:
        """See `Checkpoints.read`."""
        return self.rows.get(follower)

    async def belongs(self, follower: Follows) -> Belongs | None:
        """See `Checkpoints.belongs`."""
        return self.owners.get(follower)

    async def assign(self, follower: Follows, seen: Belongs | None, now: Belongs) -> bool:
        """See `Checkpoints.assign`."""
        if follower not in self.rows or self.owners.get(follower) != seen:
            return False
        self.owners[follower] = now
        return True

    async def claim(self, seen: Checkpoint, owner: str) -> Claim | None:
        """See `Checkpoints.claim`."""
        now = self.rows.get(seen.follower)
        if now is None or (now.epoch, now.heartbeat) != (seen.epoch, seen.heartbeat):
            return None
        held = {"owner": owner, "epoch": now.epoch + 1, "heartbeat": now.heartbeat + 1, "wanted_by": None}
        self.rows[seen.follower] = _set(now, **held)
        return Claim(seen.follower, now.epoch + 1)

    async def ask(self, seen: Checkpoint, asker: str) -> None:
        """See `Checkpoints.ask`."""
        now = self.rows.get(seen.follower)
        if now is not None and now.epoch == seen.epoch:
            self.rows[seen.follower] = _set(now, wanted_by=asker)

    async def beat(self, claim: Claim) -> str | None:
        """See `Checkpoints.beat`."""
        now = self.held(claim)
        self.rows[claim.follower] = _set(now, heartbeat=now.heartbeat + 1)
        return now.wanted_by

    async def advance(
        self,
        claim: Claim,
        after: Position,
        to: Position,
        parked: Sequence[Parked] = (),
        unparked: Sequence[Parked] = (),
    ) -> None:
        """See `Checkpoints.advance`."""
        now = self.movable(claim, after)
        self.rows[claim.follower] = _set(now, position=to, heartbeat=now.heartbeat + 1)
        for one in unparked:
            self.waiting[claim.follower].pop((one.kind, one.key), None)
        for one in parked:
            self.waiting[claim.follower].setdefault((one.kind, one.key), one)

    async def release(self, claim: Claim) -> None:
        """See `Checkpoints.release`."""
        now = self.rows.get(claim.follower)
        if now is not None and now.epoch == claim.epoch:
            self.rows[claim.follower] = _set(now, owner=None)

    async def parked(self, follower: Follows) -> Sequence[Parked]:
        """See `Checkpoints.parked`."""
        found = [_set(one, traceback="") for one in self.waiting[follower].values()]
        return sorted(found, key=lambda one: (one.position, one.kind, one.key))

    async def traceback(self, follower: Follows, one: Parked) -> str:
        """See `Checkpoints.traceback`."""
        found = self.waiting[follower].get((one.kind, one.key))
        return "" if found is None else found.traceback

    def held(self, claim: Claim) -> Checkpoint:
        """The row, if the claim still stands. Raises: LeaseLost."""
        now = self.rows.get(claim.follower)
        if now is None:
            raise LeaseLost(f"{claim.follower} has no checkpoint any more")
        if now.epoch != claim.epoch:
            raise LeaseLost(f"{claim.follower} is held in epoch {now.epoch}, not {claim.epoch}")
        return now

    def movable(self, claim: Claim, after: Position) -> Checkpoint:
        """The row, if the claim still stands and it is at `after`. Raises: LeaseLost."""
        now = self.held(claim)
        if now.position != after:
            raise LeaseLost(f"{claim.follower} is at {now.position}, not {after}")
        return now


class MemoryReadStore:
    """Rows of projections, and their checkpoints.

    Memory can keep any row. `refuses` stands for the limits that other stores have: it returns why a row of a table
    cannot be kept, or None. Tests and the simulator set it.
    """

    limits = RowLimits(MAX_KEY_BYTES, MAX_COLUMNS, reads_at_once=1)

    def __init__(self) -> None:
        self.refuses: Refuses = _nothing_refused
        self._checkpoints = MemoryCheckpoints()
        self._tables: dict[Follows, dict[Key, Values]] = {}
        self._fingerprints: dict[Follows, str] = {}
        self._live: dict[str, int] = {}
        self._bell = Doorbell()

    @property
    def checkpoints(self) -> Checkpoints:
        """See `ReadStore.checkpoints`."""
        return self._checkpoints

    async def prepare(self, table: Table) -> None:
        """See `ReadStore.prepare`."""
        self._tables.setdefault(table.follows, {})
        check_columns(table, self._fingerprints.setdefault(table.follows, table.fingerprint))
        if table.follows.builds is None:
            self._live.setdefault(table.name, table.follows.version)

    async def publish(self, table: Table, lost: Checkpoint | None = None) -> bool:
        """See `ReadStore.publish`."""
        checkpoints, version = self._checkpoints.rows, table.follows.version
        live = Follows(table.name, self._live[table.name])
        as_far = _position(checkpoints, live) <= _position(checkpoints, table.follows)
        if live.version < version and (as_far or is_lost(checkpoints.get(live), lost)):
            self._live[table.name] = version
        return self._live[table.name] >= version

    async def index(self, table: Table) -> None:
        """See `ReadStore.index`. Memory looks at every row."""

    async def replace(self, table: Table, claim: Claim, built: Follows, at: Position) -> bool:
        """See `ReadStore.replace`."""
        checkpoints, follows = self._checkpoints, table.follows
        now, new = checkpoints.held(claim), checkpoints.rows.get(built)
        if new is None or new.position != at:
            raise LeaseLost(f"{built} is no longer at {at}")
        self._tables[follows] = self._tables.pop(built)
        del self._fingerprints[built], checkpoints.rows[built]
        checkpoints.waiting[follows] = checkpoints.waiting.pop(built, {})
        checkpoints.rows[follows] = Checkpoint(follows, new.log_id, at, None, now.epoch + 1, now.heartbeat + 1)
        self._bell.ring()
        return True

    async def tables(self) -> Sequence[StoredTable]:
        """See `ReadStore.tables`."""
        return [self._stored(follows) for follows in sorted(self._tables, key=lambda f: (f.name, f.version))]

    def _stored(self, follows: Follows) -> StoredTable:
        checkpoint = self._checkpoints.rows.get(follows)
        live = self._live.get(follows.name) == follows.version
        position = _position(self._checkpoints.rows, follows)
        owner = checkpoint.owner if checkpoint else None
        return StoredTable(follows, self._fingerprints[follows], live, position, owner)

    async def drop(self, follows: Follows) -> None:
        """See `ReadStore.drop`."""
        if follows not in self._tables:
            raise InvalidInput(f"there is no table of {follows}")
        check_droppable(self._stored(follows))
        del self._tables[follows], self._fingerprints[follows]
        self._checkpoints.rows.pop(follows, None)
        self._checkpoints.owners.pop(follows, None)
        self._checkpoints.waiting.pop(follows, None)

    async def clear(self, table: Table, log_id: str) -> None:
        """See `ReadStore.clear`."""
        follows = table.follows
        self._tables[follows].clear()
        self._checkpoints.waiting.pop(follows, None)
        epoch = self._checkpoints.rows[follows].epoch + 1 if follows in self._checkpoints.rows else 0
        self._checkpoints.rows[follows] = Checkpoint(follows, log_id, BEGINNING, None, epoch, 0)

    async def rows(self, table: Table, keys: Sequence[Key]) -> Rows:
        """See `ReadStore.rows`."""
        await asyncio.sleep(0)
        rows = self._rows_of(table)
        return Rows({key: rows[key] for key in keys if key in rows}, await self._checkpoints.parked(table.follows))

    async def commit(self, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        """See `ReadStore.commit`."""
        await asyncio.sleep(0)
        self._checkpoints.movable(claim, after)
        rows = self._rows_of(table)
        why = await self.refusal(table, [values for values in changes.rows.values() if values is not None])
        if why is not None:
            raise BatchRefused(why)
        await self._checkpoints.advance(claim, after, to, changes.parked, changes.unparked)
        for key, values in changes.rows.items():
            if values is None:
                rows.pop(key, None)
            else:
                rows[key] = values
        self._bell.ring()

    async def refusal(self, table: Table, rows: Sequence[Values]) -> str | None:
        """See `ReadStore.refusal`."""
        return next((why for values in rows if (why := self.refuses(table, values)) is not None), None)

    async def get(self, table: Table, key: Key) -> Found:
        """See `ReadStore.get`."""
        values = self._rows_of(table).get(key)
        return await self._found(table, [] if values is None else [values])

    async def find(self, table: Table, query: Query) -> Found:
        """See `ReadStore.find`."""
        place = {column.name: index for index, column in enumerate(table.columns)}
        rows = [
            row
            for row in self._rows_of(table).values()
            if all(_meets(row[place[condition.column]], condition) for condition in query.conditions)
        ]
        for name, descending in reversed(query.order):
            rows.sort(key=_ordered(place[name]), reverse=descending)
        if query.after is not None:
            rows = [row for row in rows if _comes_after(row, query, place)]
        return await self._found(table, rows[: query.limit])

    async def wait(self, follows: Follows, after: Position, timeout_s: float) -> None:
        """See `ReadStore.wait`."""
        if self._checkpoints.rows[follows].position <= after:
            await self._bell.wait(timeout_s)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _rows_of(self, table: Table) -> dict[Key, Values]:
        rows = self._tables.get(table.follows)
        if rows is None:
            raise ConfigurationError(f"{table.follows} is not prepared in this read store: open the App on it")
        return rows

    async def _found(self, table: Table, rows: Sequence[Values]) -> Found:
        follows = table.follows
        return Found(self._checkpoints.rows[follows], rows, await self._checkpoints.parked(follows))


def _nothing_refused(table: Table, values: Values) -> str | None:
    return None


def _position(rows: Mapping[Follows, Checkpoint], follows: Follows) -> Position:
    return rows[follows].position if follows in rows else BEGINNING


def _rank(value: Any) -> tuple[bool, Any]:
    """None is smaller than any value."""
    return (value is not None, 0 if value is None else value)


def _ordered(place: int) -> Callable[[Values], tuple[bool, Any]]:
    return lambda row: _rank(row[place])


def _comes_after(row: Values, query: Query, place: Mapping[str, int]) -> bool:
    for (name, descending), last in zip(query.order, query.after or (), strict=True):
        mine, its = _rank(row[place[name]]), _rank(last)
        if mine != its:
            return mine < its if descending else mine > its
    return False


def _meets(value: Any, condition: Condition) -> bool:
    wanted = condition.value
    if condition.operator == "eq":
        return bool(value == wanted)
    if value is None:
        return False
    match condition.operator:
        case "contains":
            return wanted in msgspec.json.decode(value)
        case "gt":
            return bool(value > wanted)
        case "ge":
            return bool(value >= wanted)
        case "lt":
            return bool(value < wanted)
        case "le":
            return bool(value <= wanted)
