"""How one process reaches a log in feed ranges that split: the log of Azure Cosmos DB, over a simulated service."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from msgspec.structs import replace

from twofold.ambient import Ambient
from twofold.backends.cosmos.address import Address
from twofold.backends.cosmos.changes import Changes
from twofold.backends.cosmos.layout import Document
from twofold.backends.cosmos.log import CosmosLog
from twofold.backends.cosmos.places import lsn_of
from twofold.backends.cosmos.ranges import Physical
from twofold.backends.cosmos.streams import LIMITS
from twofold.errors import TwofoldError
from twofold.messages import Append, Entry, Position, Receipt, Stream
from twofold.testing.simulation.container import RID, Container
from twofold.testing.simulation.remote import Remote, at_once
from twofold.testing.simulation.storage import Storage
from twofold.testing.simulation.stores import SimulatedLog, appended, available
from twofold.write.log import Loaded, final

log = logging.getLogger("twofold.log")


class SplitLog(CosmosLog):
    """Its ranges, partitions, feeds and cuts are the real ones. Streams and checkpoints are as simple as in memory."""

    def __init__(self, storage: Storage, container: Container, ambient: Ambient) -> None:
        super().__init__(Address("simulated", "", "", ""), ambient)
        self._beside_it = SimulatedLog(storage, ambient)
        self._data = _Ranges(container, self._beside_it.link)
        self._beside = _Registry(container, self._beside_it.link)
        self._streams = cast(Any, _Streams(storage, container, self.partition_of, ambient))
        self.checkpoints = cast(Any, self._beside_it.checkpoints)

    async def open(self) -> None:
        """See `Opens.open`."""
        await self._begin(self._beside_it)


class _Ranges:
    """See `cosmos.client.Container`: the ranges and their change feeds."""

    rid = RID

    def __init__(self, container: Container, beside: Remote) -> None:
        self._container, self._beside = container, beside

    async def ranges(self) -> list[Physical]:
        """See `Container.ranges`."""
        return await available(self._beside, lambda: [one.physical for one in self._container.ranges])

    async def changes(self, of: Physical, after: int, limit: int) -> Changes:
        """See `Container.changes`."""
        return await available(self._container.link_of(of), lambda: self._container.changes(of, after, limit))


class _Registry:
    """See `cosmos.client.Container`: the one document that the ranges are numbered in."""

    place = "the registry"

    def __init__(self, container: Container, link: Remote) -> None:
        self._container, self._link = container, link

    async def read(self, id: str, key: str) -> Document:
        """See `Container.read`."""
        return await available(self._link, lambda: self._container.registry)

    async def replace(self, document: Document, etag: str) -> None:
        """See `Container.replace`."""
        await available(self._link, lambda: self._container.register(document, etag))


class _Streams:
    """See `cosmos.streams.Streams`: each append is one request, which the service routes."""

    limits = LIMITS
    sole: str | None = None
    documents: frozenset[str] = frozenset()
    heard: Callable[[int, int], None]
    in_range: Callable[[str], Awaitable[None]]

    def __init__(
        self, storage: Storage, container: Container, partition_of: Callable[[str], int], ambient: Ambient
    ) -> None:
        self._storage, self._container, self._partition_of, self._ambient = storage, container, partition_of, ambient

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """See `Log.commit`. Appends to one stream follow one another."""
        return [await self._append(append) for append in batch]

    async def _append(self, append: Append) -> Receipt | TwofoldError:
        id_ = append.stream.id
        try:
            (outcome, range_), doubt = await appended(
                lambda: self._container.holding(id_).link,
                lambda: self._storage.append(append, self._ambient),
                append.command_id,
                self._ambient,
            )
        except TwofoldError as error:
            return error
        if not isinstance(outcome, Receipt):
            return final(outcome, append, doubt)
        if outcome.events and not outcome.repeated:
            try:
                await self.in_range(range_)
            except TwofoldError as error:
                log.warning("the new feed ranges cannot be read yet: %s", error)
        receipt = self._receipt(outcome)
        if not receipt.repeated:
            self.heard(receipt.position.partition, lsn_of(receipt.position.offset))
        return receipt

    def _receipt(self, outcome: Receipt) -> Receipt:
        place = self._place(outcome.stream, outcome.position)
        return replace(outcome, position=place, log_id=self._container.registry["log_id"])

    def _place(self, stream: Stream, position: Position) -> Position:
        return Position(self._partition_of(stream.id), self._container.streams(stream.id).offset(position))

    async def _look(self, stream: Stream, work: Callable[[], Any]) -> Any:
        return await available(self._container.holding(stream.id).link, work)

    async def load(
        self, stream: Stream, command_id: str | None = None, last: int | None = None, after: int = 0
    ) -> Loaded:
        """See `Log.load`."""
        streams = self._container.streams(stream.id)
        loaded: Loaded = await self._look(stream, lambda: at_once(streams.log.load(stream, command_id, last, after)))
        known = loaded.receipt and self._receipt(loaded.receipt)
        return Loaded(loaded.events, loaded.version, self._place(stream, loaded.position), known)

    async def read_stream(self, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        """See `Log.read_stream`."""
        streams = self._container.streams(stream.id)
        found: Sequence[Entry] = await self._look(
            stream, lambda: at_once(streams.log.read_stream(stream, from_version, limit))
        )
        return [replace(entry, position=self._place(stream, entry.position)) for entry in found]
