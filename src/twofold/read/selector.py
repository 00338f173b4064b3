"""The events of some rows, read from the feed again: for proofs, retries and repairs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from twofold.codec import Codec
from twofold.errors import NewerSchema
from twofold.failures import error_text, failure
from twofold.feed.checkpoints import ParkedKind
from twofold.feed.feed import Feed, pages
from twofold.messages import Entry, Position, Recorded, Stream
from twofold.read.folding import EVENTS_PER_SLICE
from twofold.read.parked import ParkedKeys
from twofold.read.projection import Key, Projection


class Failure(msgspec.Struct, frozen=True):
    """A row or a stream that cannot be folded any further, the event at which it failed, and why."""

    kind: ParkedKind
    key: str
    position: Position
    event: str
    raised: BaseException

    @property
    def error(self) -> str:
        """The error in one line."""
        return error_text(self.raised)


class Selected(msgspec.Struct, frozen=True):
    """From one page of the feed, which ends at `upto`: the events of each row in order, and the streams that failed."""

    events: Mapping[Key, Sequence[Recorded]]
    failures: Sequence[Failure]
    upto: Position


class Selector:
    """Groups events by the rows that they touch: those that are `wanted`. `keys` replaces `projection.keys`."""

    def __init__(
        self,
        projection: Projection[Any],
        codec: Codec,
        wanted: Callable[[Key], bool] | None = None,
        keys: Callable[[Recorded], list[Key]] | None = None,
    ) -> None:
        self._projection, self._codec, self._wanted = projection, codec, wanted
        self._keys = keys or projection.keys
        self._types = codec.names(projection.event_types)

    async def pages(
        self, feed: Feed, after: Position, upto: Position, parked: ParkedKeys
    ) -> AsyncGenerator[Selected, None]:
        """What is selected between two positions, without what is parked. A stream that fails is added to `parked`.

        Raises: like `feed.pages`, NewerSchema.
        """
        async with aclosing(pages(feed, after, upto, self._types)) as history:
            async for page in history:
                yield await self._select(page.entries, page.upto, parked)

    async def _select(self, entries: Sequence[Entry], upto: Position, parked: ParkedKeys) -> Selected:
        events: dict[Key, list[Recorded]] = {}
        failures: list[Failure] = []
        for number, entry in enumerate(entries, start=1):
            if number % EVENTS_PER_SLICE == 0:
                await asyncio.sleep(0)
            if parked.stream(entry.stream, entry.position):
                continue
            try:
                recorded, keys = self._keyed(entry)
            except NewerSchema:
                raise  # the event is fine, but this code is too old
            except BaseException as error:  # decoding and key= are user code
                event = f"{entry.stream}@{entry.version}"
                failures.append(Failure("stream", entry.stream, entry.position, event, failure(error)))
                parked.add(failures[-1])
                continue
            for key in keys:
                if recorded is not None and not parked.row(key, entry.position):
                    events.setdefault(key, []).append(recorded)
        return Selected(events, failures, upto)

    def _keyed(self, entry: Entry) -> tuple[Recorded | None, list[Key]]:
        wanted = self._wanted
        if wanted and self._projection.key is None:
            key = self._projection.key_of_stream(Stream.parse(entry.stream))
            if not wanted(key):
                return None, []  # without reading it
        recorded = self._codec.recorded(entry)
        keys = self._keys(recorded)
        return recorded, [key for key in keys if wanted(key)] if wanted else keys
