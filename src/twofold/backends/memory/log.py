"""The log: a list of entries in commit order, and the same entries by stream."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from twofold.ambient import Ambient
from twofold.backends.memory.checkpoints import MemoryCheckpoints
from twofold.backends.memory.copies import MemoryCopies
from twofold.backends.memory.requests import MemoryRequests
from twofold.codec import MAX_EVENT_BYTES
from twofold.errors import TwofoldError, VersionConflict
from twofold.feed.doorbell import Doorbell
from twofold.feed.feed import DenseFeed, FeedPage, check_not_beyond
from twofold.messages import Append, Entry, Position, Receipt, Stream
from twofold.write.clock import recorded_at, warn
from twofold.write.log import MAX_APPEND_BYTES, MAX_APPEND_EVENTS, Loaded, LogLimits

PAGE_BYTES = 8 * 1024 * 1024


class MemoryLog(DenseFeed):
    """A log and its feed. A part of a partitioned log gets the number of its partition, and the id of that log."""

    limits = LogLimits(MAX_EVENT_BYTES, MAX_APPEND_BYTES, MAX_APPEND_EVENTS, reads_at_once=1)
    checkpoints: MemoryCheckpoints
    requests: MemoryRequests
    importing: MemoryCopies
    exporting: MemoryCopies

    def __init__(self, ambient: Ambient | None = None, *, partition: int = 0, log_id: str | None = None) -> None:
        self._ambient, self.partition = ambient or Ambient(), partition
        self.log_id = log_id or self._ambient.new_id()[:16]
        self.checkpoints = MemoryCheckpoints()
        self.requests = MemoryRequests(self._ambient, lambda: self.log_id)
        self._entries: list[Entry] = []
        self._time: datetime  # of the batch that is being committed
        self._streams: dict[str, list[Entry]] = defaultdict(list)
        self._receipts: dict[tuple[str, str], Receipt] = {}
        self._bell = Doorbell()
        self.importing = self.exporting = MemoryCopies(
            self._entries, self._streams, self._receipts, lambda: self.log_id, partition
        )

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """See `Log.commit`."""
        await asyncio.sleep(0)  # other tasks run here, as while another backend waits for its disk
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
            return replace(known, repeated=True)
        stream = self._streams[str(append.stream)]
        if append.expected_version is not None and append.expected_version != len(stream):
            return VersionConflict(append.stream, append.expected_version, len(stream))
        meta = msgspec.json.encode(append.meta)
        for event in append.events:
            position = Position(self.partition, len(self._entries) + 1)
            entry = Entry(
                position, str(append.stream), len(stream) + 1, event.type, event.schema, event.data, meta, self._time
            )
            self._entries.append(entry)
            stream.append(entry)
        position = stream[-1].position if stream else Position(self.partition, 0)
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
            entries[-1].position if entries else Position(self.partition, 0),
            receipt and replace(receipt, repeated=True),
        )

    async def read_stream(self, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        """See `Log.read_stream`."""
        return self._streams.get(str(stream), [])[max(from_version, 1) - 1 :][: max(limit, 0)]

    async def head(self) -> Position:
        """See `Feed.head`."""
        return Position(self.partition, len(self._entries))

    async def read(
        self, after: Position, limit: int, types: frozenset[str] | None = None, until: Position | None = None
    ) -> FeedPage:
        """See `Feed.read`."""
        await asyncio.sleep(0)
        check_not_beyond(after, await self.head())
        end = len(self._entries) if until is None else min(until.offset, len(self._entries))
        looked_at: list[Entry] = []
        size = 0
        for entry in self._entries[after.offset : min(after.offset + limit, end)]:
            looked_at.append(entry)
            size += len(entry.data)
            if size >= PAGE_BYTES:
                break
        upto = looked_at[-1].position if looked_at else after
        wanted = [entry for entry in looked_at if types is None or entry.type in types]
        return FeedPage(wanted, upto, more=upto.offset < end)

    async def wait(self, after: Position, timeout_s: float) -> None:
        """See `Feed.wait`."""
        if len(self._entries) <= after.offset:
            await self._bell.wait(timeout_s)

    async def new_id(self, log_id: str | None = None) -> None:
        """See `LogStore.new_id`."""
        self.log_id = log_id or self._ambient.new_id()[:16]
        receipts, rows = self._receipts, self.checkpoints.rows
        receipts.update({command: replace(receipt, log_id=self.log_id) for command, receipt in receipts.items()})
        rows.update({follower: replace(row, log_id=self.log_id) for follower, row in rows.items()})

    async def close(self) -> None:
        """Does nothing: the store lives as long as something refers to it."""
