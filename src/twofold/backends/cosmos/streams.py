"""The streams in a container: appended to, and read."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

from twofold.ambient import Ambient
from twofold.backends.cosmos import layout, places
from twofold.backends.cosmos.client import Container, Written
from twofold.backends.cosmos.layout import Document, Operation, Tip
from twofold.backends.cosmos.newest import Newest
from twofold.backends.cosmos.refusals import Conflict, TooLarge
from twofold.backends.cosmos.settling import Attempt, settled
from twofold.errors import InvalidEvent, InvalidInput, OutcomeUnknown, TwofoldError, Unavailable, VersionConflict
from twofold.messages import Append, Entry, Position, Receipt, Stream
from twofold.write.clock import recorded_at, warn
from twofold.write.log import Loaded, LogLimits

MOST_TRIES = 100
AT_ONCE = 64

LIMITS = LogLimits(event_bytes=1_900_000, append_bytes=1_900_000, append_events=10_000, reads_at_once=AT_ONCE)

_HEAD = "SELECT * FROM c WHERE c.category = @category AND (c.kind = 'head' OR c.command = @command)"
_SINCE = "SELECT * FROM c WHERE c.category = @category AND (c.kind = 'head' OR c.last > @after OR c.command = @command)"

log = logging.getLogger("twofold.log")

PartitionOf = Callable[[str], int]


class Streams:
    """See `Log`. `partition_of` returns the number of the partition that holds a stream's id."""

    def __init__(
        self, container: Container, partition_of: PartitionOf, log_id: Callable[[], str], ambient: Ambient
    ) -> None:
        self._container, self.partition_of, self._log_id, self._ambient = container, partition_of, log_id, ambient
        self._tips, self._reached = Newest[Tip](), Newest[tuple[int, int]]()  # a version, and the LSN of its commit
        self._room = asyncio.Semaphore(AT_ONCE)
        self._turns: WeakValueDictionary[Stream, asyncio.Lock] = WeakValueDictionary()
        self.documents: frozenset[str] = frozenset()
        self.sole: str | None = None
        self.heard: Callable[[int, int], None] = lambda partition, lsn: None
        self.in_range: Callable[[str], Awaitable[None]] | None = None

    @property
    def limits(self) -> LogLimits:
        """See `Log.limits`."""
        return LIMITS

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """See `Log.commit`. Appends to one stream follow one another; those to others run beside them."""
        of_each: dict[Stream, list[int]] = defaultdict(list)
        for index, append in enumerate(batch):
            of_each[append.stream].append(index)
        outcomes: dict[int, Receipt | TwofoldError] = {}

        async def in_order(indexes: Sequence[int]) -> None:
            async with self._turns.setdefault(batch[indexes[0]].stream, asyncio.Lock()), self._room:
                for index in indexes:
                    outcomes[index] = await self._outcome(batch[index])

        if len(of_each) == 1:
            await in_order(range(len(batch)))
        else:
            async with asyncio.TaskGroup() as group:
                for indexes in of_each.values():
                    group.create_task(in_order(indexes))
        return [outcomes[index] for index in range(len(batch))]

    async def _outcome(self, append: Append) -> Receipt | TwofoldError:
        attempt = Attempt()
        try:
            return await self._append(append, attempt)
        except TwofoldError as error:
            self._tips.forget(append.stream)
            return OutcomeUnknown(append.command_id, str(error)) if attempt.unsure else error

    async def _append(self, append: Append, attempt: Attempt) -> Receipt | TwofoldError:
        """Try with what is known of the stream, else look at it, until the service says what has become of it."""
        tip = self._guessed(append) if append.events else None  # nothing refuses a receipt if it is not so
        for _ in range(MOST_TRIES):
            if tip is None:
                tip, known = await self._look(append.stream, append.command_id)
                if known is not None:
                    return await self._receipt(known)
            if append.expected_version is not None and append.expected_version != tip.version:
                tip, known = await self._look(append.stream, append.command_id)
                if known is not None:
                    return await self._receipt(known)
                if append.expected_version != tip.version:
                    return VersionConflict(append.stream, append.expected_version, tip.version)
            try:
                return await self._write(append, tip, attempt)
            except Conflict:
                tip = None
        raise Unavailable(f"{append.stream}: others were faster at each of {MOST_TRIES} tries; try again")

    def _guessed(self, append: Append) -> Tip | None:
        """What is probably known of a stream: the service refuses the append if it is not so."""
        tip = self._tips.get(append.stream)
        return Tip() if tip is None and append.expected_version == 0 else tip

    async def _look(self, stream: Stream, command_id: str | None) -> tuple[Tip, Document | None]:
        found = await self._container.query(_HEAD, stream.id, category=stream.category, command=command_id or "")
        return self._tip_in(stream, found), _with_command(found, command_id)

    async def tip(self, stream: Stream) -> Tip:
        """The stream as it is now. Raises: Unavailable."""
        return (await self._look(stream, None))[0]

    def _tip_in(self, stream: Stream, found: Sequence[Document]) -> Tip:
        tip = next((layout.tip_of(one) for one in found if one["kind"] == "head"), Tip())
        self._tips.keep(stream, tip)
        return tip

    async def _write(self, append: Append, tip: Tip, attempt: Attempt) -> Receipt:
        """One transactional batch. Raises: Conflict if the stream is not as it was thought to be, or knows the id."""
        if not append.events:
            return await self._write_receipt(append, tip, attempt)
        now = self._ambient.now()
        time = recorded_at(now, tip.recorded_at)
        if tip.recorded_at is not None and time < tip.recorded_at:
            warn(now, tip.recorded_at)
        next_ = Tip(tip.version + len(append.events), tip.etag, time)
        documents = self._documents(append, tip, next_, time)
        written = await self._settled(append, operations(documents, tip.etag), attempt)
        self._tips.keep(append.stream, Tip(next_.version, written.etags[1], time))
        self._reached.keep(append.stream, (next_.version, written.lsn))
        await self._learn_of(written)
        position = self._position(append.stream, places.offset(written.lsn, len(append.events)))
        return self._as_receipt(append.stream, next_.version, len(append.events), position, append.command_id)

    async def _learn_of(self, written: Written) -> None:
        """If the range has split, the receipt names the new partition. The append is stored in any case."""
        try:
            if self.in_range is not None:
                await self.in_range(written.range)
        except TwofoldError as error:
            log.warning("%s: the new feed ranges cannot be read yet: %s", self._container.place, error)

    def _documents(self, append: Append, tip: Tip, next_: Tip, time: datetime) -> list[Document]:
        """Raises: InvalidEvent."""
        try:
            commit = layout.commit(append, tip, time)
        except UnicodeDecodeError as error:
            raise InvalidEvent(f"{append.stream}: the store refuses the data: it is not UTF-8 ({error})") from error
        documents = [commit, self.head(append.stream, next_, commit)]
        size = layout.size(documents)
        if size > layout.MOST_BYTES:
            raise self._too_large(append, size)
        return documents

    def head(self, stream: Stream, tip: Tip, commit: Document) -> Document:
        """The head after a commit; others read the newest state in it, where that is stored. Raises: InvalidInput."""
        if self.sole is not None and stream.category != self.sole:
            raise InvalidInput(
                f"{stream}: {self._container.place} was created for streams of the category {self.sole} alone: store "
                f"others in another container, or create one without `category`"
            )
        state = None
        if stream.category in self.documents:
            type_, schema, data = commit["events"][-1]
            state = {"type": type_, "schema": schema, "state": layout.as_json(data)}
        return layout.head(stream, tip, state, self.sole)

    def _too_large(self, append: Append, size: int) -> InvalidEvent:
        return InvalidEvent(
            f"{append.stream}: the documents of this append have {size:,} bytes, but Azure Cosmos DB accepts at most "
            f"{layout.MOST_BYTES:,} (2 MB) at once: split its events, or append them with several commands"
        )

    async def _settled(self, append: Append, operations: Sequence[Operation], attempt: Attempt) -> Written:
        try:
            return await settled(self._container, operations, append.stream.id, attempt)
        except TooLarge as error:
            raise self._too_large(append, layout.size([arguments[-1] for _, arguments, _ in operations])) from error

    async def _write_receipt(self, append: Append, tip: Tip, attempt: Attempt) -> Receipt:
        await self._settled(append, [layout.created(layout.receipt(append, tip))], attempt)
        attempt.unsure = True  # as long as its position is not read
        offset = await self._place(append.stream, tip.version)
        return self._as_receipt(append.stream, tip.version, 0, offset, append.command_id)

    async def load(
        self, stream: Stream, command_id: str | None = None, last: int | None = None, after: int = 0
    ) -> Loaded:
        """See `Log.load`."""
        found: Sequence[Document] = ()
        if after:
            looked = await self._container.query(
                _SINCE, stream.id, category=stream.category, after=after, command=command_id or ""
            )
            if _with_command(looked, command_id) is None:
                if self._tip_in(stream, looked).version <= after:
                    return Loaded([], after, self._position(stream, 0), None)
                found = await self._newer(stream, after, command_id)
        found = found or await self._all_of(stream)
        tip = self._tip_in(stream, found)
        first = max(after, tip.version - last if last else 0)
        events = [tuple(event) for one in found for event in _events(one, first, tip.version)]
        known = _with_command(found, command_id)
        version, offset = (tip.version, layout.place(found, tip.version)) if events else (after, 0)
        receipt = None if known is None else self._known(known, found)
        return Loaded(events, version, self._position(stream, offset), receipt)

    async def _newer(self, stream: Stream, after: int, command_id: str | None) -> Sequence[Document]:
        """What was written after a version and perhaps some before it, with the head; nothing if that is not enough."""
        version, lsn = self._reached.get(stream) or (0, 0)
        if not 0 < version <= after:
            return ()
        found = await self._all_of(stream, lsn)
        enough = any(one["kind"] == "head" for one in found) and _with_command(found, command_id) is None
        return found if enough else ()

    async def read_stream(self, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        """See `Log.read_stream`."""
        if limit < 1:
            return []
        first, partition = max(1, from_version), self.partition_of(stream.id)
        commits = [one for one in await self._all_of(stream) if one["kind"] == "commit" and one["last"] >= first]
        entries = [entry for one in commits for entry in layout.entries(layout.written(one), partition)]
        return [entry for entry in entries if first <= entry.version < first + limit]

    async def _all_of(self, stream: Stream, lsn: int = 0) -> list[Document]:
        """Its documents after an LSN in order of commit, with their LSNs, which only the change feed returns."""
        found = await self._container.changes_of(stream.id, lsn)
        mine = {one["id"]: one for one in found if one.get("category") == stream.category}
        documents = sorted(mine.values(), key=lambda one: one["_lsn"])
        newest = next((one for one in reversed(documents) if one["kind"] == "commit"), None)
        if newest is not None:
            self._reached.keep(stream, (newest["last"], newest["_lsn"]))
        return documents

    async def _receipt(self, known: Document) -> Receipt:
        stream = Stream.parse(known["stream"])
        return self._known(known, await self._all_of(stream))

    def _known(self, known: Document, found: Sequence[Document]) -> Receipt:
        stream = Stream.parse(known["stream"])
        events = known["count"] if known["kind"] == "receipt" else len(known["events"])
        position = self._position(stream, layout.place(found, known["last"]))
        return self._as_receipt(stream, known["last"], events, position, known["command"], repeated=True)

    async def _place(self, stream: Stream, version: int) -> Position:
        offset = layout.place(await self._all_of(stream), version) if version else 0
        return self._position(stream, offset)

    def _position(self, stream: Stream, offset: int) -> Position:
        return Position(self.partition_of(stream.id), offset)

    def _as_receipt(
        self, stream: Stream, version: int, events: int, position: Position, command_id: str, repeated: bool = False
    ) -> Receipt:
        if not repeated:
            self.heard(position.partition, places.lsn_of(position.offset))
        return Receipt(stream, version, events, position, command_id, self._log_id(), repeated)


def operations(documents: Sequence[Document], etag: str | None) -> list[Operation]:
    """The batch that writes a commit, and a head whose ETag is this one; None: there is none yet."""
    commit, head = documents
    return [layout.created(commit), layout.created(head) if etag is None else layout.replaced(head, etag)]


def _with_command(found: Sequence[Document], command_id: str | None) -> Document | None:
    if command_id is None:
        return None
    return next((one for one in found if one.get("command") == command_id), None)


def _events(document: Document, after: int, upto: int) -> list[Any]:
    if document["kind"] != "commit" or document["last"] > upto:
        return []
    events: list[Any] = document["events"]
    return events[max(0, after - document["first"] + 1) :]
