"""The feed of one partition: a feed range of the container, or those into which it has split since."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from twofold.backends.cosmos import layout, places
from twofold.backends.cosmos.changes import Changes
from twofold.backends.cosmos.client import Container
from twofold.backends.cosmos.layout import Document
from twofold.backends.cosmos.poll import POLL_S, Poll
from twofold.backends.cosmos.ranges import Physical, Ranges
from twofold.backends.cosmos.refusals import RangeGone
from twofold.backends.cosmos.streams import Streams
from twofold.backends.partitioned.waiting import all_of
from twofold.errors import InvalidToken, TwofoldError
from twofold.feed.checkpoints import Checkpoints
from twofold.feed.doorbell import Doorbell
from twofold.feed.feed import FeedPage, PartitionSplit, check_not_beyond
from twofold.messages import Append, Entry, Position, Receipt, Stream
from twofold.write.log import Loaded

MOST_DOCUMENTS = 1_000  # of one page
FEWEST_DOCUMENTS = 32
PAGE_BYTES = 8 * 1024 * 1024
MOST_COUNTED = 10_000  # events; beyond, lag is estimated
BEHIND_S = (0.05, 0.2, 1.0)  # how long a replica is waited for, before the log counts as an older one

_SMALL = 2


class Registry:
    """What a part has to know of its log. `refresh` asks the service for its ranges."""

    def __init__(self, ranges: Ranges, refresh: Callable[[], Awaitable[None]]) -> None:
        self.ranges, self._refresh, self.log_id = ranges, refresh, ""

    def parents(self) -> Sequence[int | None]:
        """See `Lineage.parents`."""
        return self.ranges.parents()

    async def refresh(self) -> None:
        """See `Lineage.refresh`."""
        await self._refresh()

    def is_leaf(self, number: int) -> bool:
        """Whether a partition has not split."""
        return any(leaf.number == number for leaf in self.ranges.leaves)

    def sources(self, number: int) -> Sequence[Physical]:
        """The feed ranges in which a partition's documents lie now."""
        return [leaf.range for leaf in self.ranges.leaves if self.is_within(leaf.number, number)]

    def is_known(self, number: int) -> bool:
        """Whether this log has, or had, such a partition."""
        return 1 <= number <= len(self.ranges.all)

    def is_within(self, number: int | None, ancestor: int) -> bool:
        """Whether a partition is another one, or was split from it."""
        while number is not None and number != ancestor:
            number = self.ranges.all[number - 1].parent
        return number == ancestor


class Part:
    """See `LogStore`. Once its range has split, it can only be read up to an `until`, and ends where it did."""

    apart = True

    def __init__(
        self, number: int, container: Container, registry: Registry, streams: Streams, checkpoints: Checkpoints
    ) -> None:
        self.partition, self._container, self._registry, self._streams = number, container, registry, streams
        self.limits, self.checkpoints = streams.limits, checkpoints
        self._bell = Doorbell()
        self._newest = 0
        self._poll = Poll(self.head)

    @property
    def log_id(self) -> str:
        """See `Feed.log_id`."""
        return self._registry.log_id

    def heard(self, lsn: int) -> None:
        """This process has written something."""
        if lsn > self._newest:
            self._newest = lsn
            self._bell.ring()

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """See `Log.commit`."""
        return await self._streams.commit(batch)

    async def load(
        self, stream: Stream, command_id: str | None = None, last: int | None = None, after: int = 0
    ) -> Loaded:
        """See `Log.load`."""
        return await self._streams.load(stream, command_id, last, after)

    async def read_stream(self, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        """See `Log.read_stream`."""
        return await self._streams.read_stream(stream, from_version, limit)

    async def head(self) -> Position:
        """See `Feed.head`: the end of the newest LSN, which may be that of another document."""
        pages = await self._changes(self._newest, 1)
        self._newest = max(self._newest, min(page.newest for page in pages))
        return Position(self.partition, places.end(min(page.newest for page in pages)))

    async def read(
        self, after: Position, limit: int, types: frozenset[str] | None = None, until: Position | None = None
    ) -> FeedPage:
        """See `Feed.read`. Raises: also PartitionSplit, without `until`."""
        entries: list[Entry] = []
        upto, more, size = after, True, 0
        while more and len(entries) < limit and size < PAGE_BYTES:
            if until is not None and upto >= until:
                break
            page = await self._page(upto, limit - len(entries), until)
            entries += page.entries
            size += sum(len(entry.data) for entry in page.entries)
            upto, more = page.upto, page.more
        wanted = entries if types is None else [entry for entry in entries if entry.type in types]
        return FeedPage(wanted, upto, more and (until is None or upto < until))

    async def _page(self, after: Position, limit: int, until: Position | None) -> FeedPage:
        documents = max(FEWEST_DOCUMENTS, min(_SMALL * limit, MOST_DOCUMENTS))
        pages, newest = await self._changes_after(after, documents)
        if until is None and not self._registry.is_leaf(self.partition):
            raise PartitionSplit(self.partition)
        if after > newest:
            check_not_beyond(after, newest)
        upto = Position(self.partition, places.end(min(page.upto for page in pages)))
        upto = max(after, upto if until is None else min(upto, until))
        found = sorted(self._entries(pages, after, upto), key=lambda entry: entry.position.offset)
        if len(found) > limit:
            del found[limit:]
            upto = found[-1].position
        elif found and size_of(found) >= PAGE_BYTES:
            found, upto = _cut(found, upto)
        return FeedPage(found, upto, more=upto < (newest if until is None else min(newest, until)))

    def _entries(self, pages: Iterable[Changes], after: Position, upto: Position) -> Iterable[Entry]:
        """The events between two places, each once, though a page may come twice and in any order."""
        commits = {(one.key, one.id): one for page in pages for one in page.commits()}
        for commit in commits.values():
            for entry in layout.entries(commit, self.partition):
                if after < entry.position <= upto:
                    yield entry

    async def _changes(self, after: int, limit: int) -> Sequence[Changes]:
        """A page of each feed range in which this partition lies now."""
        while True:
            sources = self._registry.sources(self.partition)
            try:
                return await all_of(self._container.changes(source, after, limit) for source in sources)
            except RangeGone:
                await self._registry.refresh()

    async def _changes_after(self, after: Position, limit: int) -> tuple[Sequence[Changes], Position]:
        """A page of each feed range, and how far they go. A replica may be behind the one that was read before."""
        pauses_s = iter(BEHIND_S)
        while True:
            pages = await self._changes(places.read_from(after.offset), limit)
            newest = Position(self.partition, places.end(min(page.newest for page in pages)))
            pause_s = next(pauses_s, None)
            if after <= newest or pause_s is None:
                return pages, newest
            await asyncio.sleep(pause_s)

    async def documents(self, upto: int | None) -> list[Document]:
        """The newest version of all documents up to an LSN, or to the end. Raises: Unavailable."""
        found: dict[tuple[object, object], Document] = {}  # where ranges end apart, some are read again
        after = 0
        while True:
            pages = await self._changes(after, MOST_DOCUMENTS)
            documents = [one for page in pages for one in page.documents() if upto is None or one["_lsn"] <= upto]
            found |= {(one.get("key"), one["id"]): one for one in documents}
            left = [page.upto for page in pages if page.upto < page.newest and (upto is None or page.upto < upto)]
            if not left:
                return list(found.values())
            after = min(left)

    async def wait(self, after: Position, timeout_s: float) -> None:
        """See `Feed.wait`. What this process writes rings; for what others write there is one poll for all."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_s
        while places.end(self._newest) <= after.offset and (left_s := deadline - clock()) > 0:
            await self._poll.once()
            if places.end(self._newest) <= after.offset:
                await self._bell.wait(min(POLL_S, left_s))

    def before(self, position: Position) -> Position:
        """See `Feed.before`."""
        return Position(position.partition, places.before(position.offset))

    async def distance(self, after: Position, to: Position) -> int:
        """See `Feed.distance`. Above about `MOST_COUNTED` it is an estimate: the rest has as many events per LSN."""
        counted, at = 0, after
        while at < to and counted < MOST_COUNTED:
            page = await self.read(at, MOST_COUNTED, None, to)
            if page.upto == at:
                return counted
            counted, at = counted + len(page.entries), page.upto
        read, left = (places.lsn_of(one.offset) for one in (at, to))
        begun = places.lsn_of(after.offset)
        return counted + round(counted / max(1, read - begun) * max(0, left - read))

    async def behind(self, after: Position) -> int:
        """See `Feed.behind`."""
        _, head = await self._changes_after(after, 1)
        check_not_beyond(after, head)
        return await self.distance(after, head)

    async def covering(self, position: Position) -> Position | None:
        """See `Feed.covering`."""
        if not self._registry.is_within(self.partition, position.partition) and not self._registry.is_within(
            position.partition, self.partition
        ):
            raise InvalidToken(f"{position} is in partition {position.partition}, which this log does not have")
        return Position(self.partition, position.offset)

    async def new_id(self, log_id: str | None = None) -> None:
        """Does nothing: the log has the id."""

    async def close(self) -> None:
        """Does nothing: the log has the connections."""


def size_of(entries: Iterable[Entry]) -> int:
    """The bytes of their data."""
    return sum(len(entry.data) for entry in entries)


def _cut(found: list[Entry], upto: Position) -> tuple[list[Entry], Position]:
    size = 0
    for index, entry in enumerate(found, 1):
        size += len(entry.data)
        if size >= PAGE_BYTES and index < len(found):
            return found[:index], found[index - 1].position
    return found, upto
