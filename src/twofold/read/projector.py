"""The projector: folds pages of the feed into rows, each event exactly once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from twofold.ambient import Ambient
from twofold.codec import Codec
from twofold.errors import NewerSchema
from twofold.feed.checkpoints import Claim, Follows, Parked
from twofold.feed.feed import FeedPage
from twofold.messages import Entry, Position, Recorded
from twofold.read.projection import Key, Projection, key_text
from twofold.read.store import Changes, ReadStore

EVENTS_PER_SLICE = 250
LARGEST_PAGE = 4_096

ParkedKind = Literal["row", "stream"]

log = logging.getLogger("twofold.projector")


class Projector:
    """Follows the feed for one projection (a `Follower`).

    Reading, decoding and folding happen outside any transaction. What cannot be folded is parked: the row's key, or,
    where no key can be known, the stream. Its later events wait, everything else goes on.
    """

    start: Literal["beginning"] = "beginning"
    largest_page = LARGEST_PAGE

    def __init__(
        self, projection: Projection[Any], store: ReadStore, codec: Codec, ambient: Ambient, *, documents: bool
    ) -> None:
        self.projection, self.documents = projection, documents
        self._store, self._codec, self._ambient = store, codec, ambient
        self.types = codec.names(projection.event_types)
        self._published = False

    @property
    def follows(self) -> Follows:
        """The projection and its version."""
        return self.projection.follows

    async def handle(self, claim: Claim, after: Position, page: FeedPage) -> None:
        """Fold a page and commit rows and checkpoint together. Raises: LeaseLost, Unavailable."""
        batch = _Batch(self.projection, self._codec, self._ambient)
        for entries in _slices(page.entries):
            batch.take(entries)
            await asyncio.sleep(0)  # folding shares its thread with the requests of a server
        changes = await self._folded(batch)
        await self._store.commit(self.projection.table, claim, after, page.upto, changes)
        if not self._published and not await self._store.checkpoints.parked(self.follows):
            self._published = await self._store.publish(self.projection.table)
        for parked in changes.parked:
            log.error(
                "%s: %s %s parked at %s: %s", self.follows, parked.kind, parked.key, parked.position, parked.error
            )

    async def _folded(self, batch: _Batch) -> Changes:
        if not batch.events and not batch.parked:
            return Changes({})
        table = self.projection.table
        found = await self._store.rows(table, sorted(batch.events))
        batch.leave_out(found.parked)
        rows: dict[Key, Any] = {}
        since_pause = 0
        for key, events in batch.events.items():
            before = found.rows.get(key)
            folded = self.projection.fold(key, before, events, self.documents)
            if folded.failed is not None and folded.error is not None:
                batch.park("row", key_text(key), folded.failed.position, folded.error)
            if folded.values != before:
                rows[key] = folded.values
            since_pause += len(events)
            if since_pause >= EVENTS_PER_SLICE:
                since_pause = 0
                await asyncio.sleep(0)
        return Changes(dict(sorted(rows.items())), tuple(batch.parked.values()))


class _Batch:
    """The events of a page, sorted by the row that they touch, and what had to be parked on the way."""

    def __init__(self, projection: Projection[Any], codec: Codec, ambient: Ambient) -> None:
        self._projection, self._codec, self._ambient = projection, codec, ambient
        self.events: dict[Key, list[Recorded]] = {}
        self.parked: dict[tuple[ParkedKind, str], Parked] = {}

    def take(self, entries: Iterable[Entry]) -> None:
        """Read entries and find out whose they are; a stream that fails here is parked from that event on."""
        for entry in entries:
            if ("stream", entry.stream) in self.parked:
                continue
            try:
                recorded = self._codec.recorded(entry)
                keys = self._projection.keys(recorded)
            except NewerSchema:
                raise  # not the event is at fault, but who reads it: newer code is to take over
            except Exception as error:  # decoding and key= are the user's
                self.park("stream", entry.stream, entry.position, error)
                continue
            for key in keys:
                self.events.setdefault(key, []).append(recorded)

    def park(self, kind: ParkedKind, key: str, position: Position, error: Exception) -> None:
        """Note what waits from this position on."""
        text = f"{type(error).__name__}: {error}"[:2_000]
        self.parked[kind, key] = Parked(kind, key, position, text, self._ambient.now())

    def leave_out(self, parked: Sequence[Parked]) -> None:
        """What was parked before still waits: its events stay in the feed, in order."""
        waiting = {(one.kind, one.key) for one in parked}
        if not waiting:
            return
        self.parked = {name: one for name, one in self.parked.items() if name not in waiting}
        for key in list(self.events):
            if ("row", key_text(key)) in waiting:
                del self.events[key]
                continue
            mine = [r for r in self.events[key] if ("stream", str(r.stream)) not in waiting]
            if mine:
                self.events[key] = mine
            else:
                del self.events[key]


def _slices(entries: Sequence[Entry]) -> Iterable[Sequence[Entry]]:
    for start in range(0, len(entries), EVENTS_PER_SLICE):
        yield entries[start : start + EVENTS_PER_SLICE]
