"""A log in a container of Azure Cosmos DB: its feed ranges are its partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

import msgspec

from twofold.ambient import Ambient
from twofold.backends.cosmos import layout, places
from twofold.backends.cosmos.address import Address
from twofold.backends.cosmos.checkpoints import MOST_TRIES, CosmosCheckpoints
from twofold.backends.cosmos.client import opened
from twofold.backends.cosmos.copies import CosmosCopies
from twofold.backends.cosmos.cut_log import CutLog
from twofold.backends.cosmos.hashing import place_of
from twofold.backends.cosmos.layout import Document
from twofold.backends.cosmos.part import Part, Registry
from twofold.backends.cosmos.ranges import Numbered, Ranges
from twofold.backends.cosmos.refusals import Conflict
from twofold.backends.cosmos.requests import CosmosRequests
from twofold.backends.cosmos.streams import LIMITS, Streams
from twofold.backends.partitioned.cuts import Cuts, CutStore
from twofold.backends.partitioned.gated import Gated
from twofold.backends.partitioned.merged import Merged
from twofold.errors import ConfigurationError, Contended, TwofoldError, Unavailable
from twofold.feed.feed import Feed
from twofold.messages import Append, Entry, Position, Receipt, Stream
from twofold.write.log import Loaded

BESIDE = "-twofold"
"""The end of the name of the container for what is not in the feed: registry, cuts, checkpoints, requests."""

_LOG = "log"


class CosmosLog(Merged):
    """See `LogStore`. Read as a feed it is the merged feed of all partitions."""

    limits = LIMITS
    pause_s = 0.25  # between cuts: each is paid for
    checkpoints: CosmosCheckpoints
    requests: CosmosRequests
    importing: CosmosCopies
    exporting: CosmosCopies

    def __init__(self, address: Address, ambient: Ambient | None = None, *, create: bool = True) -> None:
        self._address, self._ambient, self._create = address, ambient or Ambient(), create
        self._stack = AsyncExitStack()
        self._refreshing = asyncio.Lock()
        self._all: dict[int, Part] = {}
        self.parts: dict[int, Part] = {}
        self.gated: dict[int, Feed] = {}
        self.former: dict[int, Feed] = {}
        self._told: list[Callable[[], None]] = []

    async def open(self) -> None:
        """See `Opens.open`."""
        container = await self._stack.enter_async_context(opened(self._address, create=self._create))
        self._data = await container(self._address.container)
        self._beside = await container(f"{self._address.container}{BESIDE}")
        self._streams = Streams(self._data, self.partition_of, lambda: self.log_id, self._ambient)
        self.checkpoints = CosmosCheckpoints(self._beside, self._ambient)
        self.requests = CosmosRequests(self._beside, self._ambient, lambda: self.log_id)
        self.importing = self.exporting = CosmosCopies(self._data, self._beside, self._streams, self._all_changes)
        await self._begin(CutLog(self._beside, lambda: self._registry.log_id, self.checkpoints))

    async def _begin(self, cuts: CutStore) -> None:
        self._registry = Registry(Ranges([]), self.refresh)
        self._streams.heard = self._heard
        self._streams.in_range = self._in_range
        super().__init__(self._all, Cuts(cuts, self._registry, self._ambient.new_id), self.parts)
        await self.refresh()

    @property
    def log_id(self) -> str:
        """See `Feed.log_id`."""
        return self._registry.log_id

    async def refresh(self) -> None:
        """Learn the feed ranges, and number new ones. Raises: ConfigurationError if some were merged; Unavailable."""
        async with self._refreshing:
            for _ in range(MOST_TRIES):
                stored = await self._beside.read(_LOG, _LOG) or await self._created()
                if stored["rid"] != self._data.rid:
                    raise self._replaced()
                self._check_category(stored.get("category"))
                known = Ranges(msgspec.convert(stored["ranges"], list[Numbered]))
                now = known.updated(await self._data.ranges())
                if now is known or await self._stored({**stored, "ranges": msgspec.to_builtins(now.all)}):
                    return self._learned(now, stored["log_id"])
            raise Contended(f"{self._beside.place}: others changed the registry at each of {MOST_TRIES} tries")

    async def _created(self) -> Document:
        if not self._create:
            raise ConfigurationError(f"{self._address}: there is no log: name the one that the App was opened on")
        document = {
            "id": _LOG,
            "key": _LOG,
            "command": _LOG,
            "log_id": self._ambient.new_id()[:16],
            "secret": self._ambient.new_id() + self._ambient.new_id(),
            "rid": self._data.rid,
            "category": self._address.category,
            "ranges": [],
        }
        with suppress(Conflict):  # another process was faster
            await self._beside.create(document)
        found: Document | None = await self._beside.read(_LOG, _LOG)
        if found is None:
            raise Unavailable(f"{self._beside.place}: the registry that was just written cannot be read yet")
        return found

    async def _stored(self, document: Document) -> bool:
        try:
            await self._beside.replace(document, document["_etag"])
        except Conflict:
            return False
        return True

    def _check_category(self, stored: str | None) -> None:
        if self._address.category not in (None, stored):
            raise ConfigurationError(
                f"{self._address}: this container was not created with category={self._address.category} "
                f"{f'but with {stored}' if stored else 'but for all of them'}: leave the option out"
            )
        self._streams.sole = stored

    def _replaced(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self._address}: the container was created again since {self._address.container}{BESIDE} was written: "
            f"delete that one, too, to begin an empty log, or put the container back"
        )

    def _learned(self, ranges: Ranges, log_id: str) -> None:
        known = len(self._all)
        self._registry.ranges, self._registry.log_id = ranges, log_id
        for one in ranges.all:
            if one.number not in self._all:
                part = Part(one.number, self._data, self._registry, self._streams, self.checkpoints)
                self._all[one.number] = part
        leaves = {one.number for one in ranges.leaves}
        for number in sorted(leaves - self.parts.keys()):
            self.parts[number] = self._all[number]
            self.gated[number] = Gated(self._all[number], self)
        for number in sorted(self._all.keys() - leaves):
            self.former[number] = self._all[number]
            self.parts.pop(number, None)
            self.gated.pop(number, None)
        if len(ranges.all) > known:
            for changed in self._told:
                changed()

    def parents(self) -> Sequence[int | None]:
        """See `Splitting.parents`."""
        return self._registry.parents()

    def tell(self, changed: Callable[[], None]) -> None:
        """See `Splitting.tell`."""
        self._told.append(changed)

    def tell_no_more(self, changed: Callable[[], None]) -> None:
        """See `Splitting.tell_no_more`."""
        self._told.remove(changed)

    async def _all_changes(self, upto: Position | None) -> list[Document]:
        """All documents, the newest version of each, up to a position of the merged feed."""
        ends = await self.covered_by([upto]) if upto is not None else ()
        at = {end.partition: places.lsn_of(end.offset) for end in ends}
        found: list[Document] = []
        for number, part in list(self.parts.items()):
            found += await part.documents(at.get(number))
        return found

    def entries(self, documents: Iterable[Mapping[str, Any]]) -> Sequence[Entry]:
        """The events in documents of the change feed, as another reader of it got them, each once, in order.

        A document without `_lsn` has no place in the feed and is left out.
        """
        commits = [layout.written(one) for one in documents if one.get("kind") == "commit" and "_lsn" in one]
        once = {(one.key, one.id): one for one in commits}.values()
        found = [entry for one in once for entry in layout.entries(one, self.partition_of(one.key))]
        return sorted(found, key=lambda entry: entry.position)

    def show_states(self, categories: Collection[str]) -> None:
        """See `ShowsStates`: in the heads of their streams."""
        self._streams.documents |= frozenset(categories)

    def partition_of(self, id: str) -> int:
        """The number of the partition that holds the streams with this id, whatever their category."""
        return self._registry.ranges.holding(place_of(id)).number

    def _heard(self, partition: int, lsn: int) -> None:
        self._all[partition].heard(lsn)

    async def _in_range(self, id: str) -> None:
        """A batch was written in this range."""
        if all(leaf.range.id != id for leaf in self._registry.ranges.leaves):
            await self.refresh()

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

    async def new_id(self, log_id: str | None = None) -> None:
        """See `LogStore.new_id`."""
        log_id = log_id or self._ambient.new_id()[:16]
        stored = None
        while stored is None:
            stored = await self._beside.read(_LOG, _LOG)
            if stored is not None and not await self._stored({**stored, "log_id": log_id, "rid": self._data.rid}):
                stored = None
        await self.checkpoints.rename_log(log_id)
        self._registry.log_id = log_id
        self.forget()

    async def close(self) -> None:
        """Close the connections."""
        await self._stack.aclose()
