"""The projector: folds pages of the feed into rows, each event exactly once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from twofold.ambient import Ambient
from twofold.codec import Codec
from twofold.errors import NewerSchema
from twofold.feed.checkpoints import Claim, Follows, Parked
from twofold.feed.feed import FeedPage
from twofold.messages import Entry, Position, Recorded
from twofold.read.cache import RowCache
from twofold.read.columns import Values
from twofold.read.projection import Key, Projection, key_text
from twofold.read.store import Changes, ReadStore

EVENTS_PER_SLICE = 250
LARGEST_PAGE = 4_096

ParkedKind = Literal["row", "stream"]

log = logging.getLogger("twofold.projector")


class Projector:
    """Follows the feed for one projection (a `Follower`).

    Reading, decoding and folding happen outside any transaction, and while the page before is being committed. What
    cannot be folded is parked: the row's key, or, where no key can be known, the stream. Its later events wait,
    everything else goes on.
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
        self._held: _Held | None = None
        self._committing: asyncio.Task[None] | None = None

    @property
    def follows(self) -> Follows:
        """The projection and its version."""
        return self.projection.follows

    async def handle(self, claim: Claim, after: Position, page: FeedPage) -> None:
        """Fold a page, then begin to commit rows and checkpoint together. Raises: LeaseLost, Unavailable.

        It goes on when the page before is committed; what became of this one, the next call says, or `settle`.
        """
        held = await self._holding(claim, after)
        batch = _Batch(self.projection, self._codec, self._ambient)
        for entries in _slices(page.entries):
            batch.take(entries)
            await asyncio.sleep(0)  # folding shares its thread with the requests of a server
        batch.leave_out(held.parked)
        changes = await self._folded(batch, held.rows)
        await self.settle()
        held.rows.shrink()
        held.rows.keep(changes.rows)
        held.parked.update((one.kind, one.key) for one in changes.parked)
        self._committing = asyncio.create_task(self._commit(claim, after, page.upto, changes))

    async def settle(self) -> None:
        """Wait until everything that was handled is committed. Raises: LeaseLost, Unavailable."""
        if self._committing is not None:
            await asyncio.wait((self._committing,))
            committed, self._committing = self._committing, None
            committed.result()

    async def _holding(self, claim: Claim, after: Position) -> _Held:
        """What is known under this claim; it ends with the claim, and where a commit fails.

        The very same claim: a store that crashed may give out an epoch for a second time.
        """
        if self._held is None or self._held.claim is not claim:
            await self.settle()
            parked = await self._store.checkpoints.parked(self.follows)
            waiting = {(one.kind, one.key) for one in parked}
            self._held = _Held(claim, RowCache(complete=after.offset == 0), waiting)
        return self._held

    async def _folded(self, batch: _Batch, known: RowCache) -> Changes:
        fetched: Mapping[Key, Values] = {}
        if unknown := known.unknown(batch.events):
            fetched = (await self._store.rows(self.projection.table, sorted(unknown))).rows
        rows: dict[Key, Values | None] = {}
        since_pause = 0
        for key, events in batch.events.items():
            before = fetched.get(key) or known.get(key)
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

    async def _commit(self, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        try:
            await self._store.commit(self.projection.table, claim, after, to, changes)
        except BaseException:
            self._held = None  # what was folded on top of it is void
            raise
        for one in changes.parked:
            log.error("%s: %s %s parked at %s: %s", self.follows, one.kind, one.key, one.position, one.error)
        if not self._published and self._held is not None and not self._held.parked:
            self._published = await self._store.publish(self.projection.table)


@dataclass
class _Held:
    """What the holder of a claim knows: rows, and what waits."""

    claim: Claim
    rows: RowCache
    parked: set[tuple[ParkedKind, str]]


class _Batch:
    """The events of a page, sorted by the row that they touch, and what had to be parked on the way."""

    def __init__(self, projection: Projection[Any], codec: Codec, ambient: Ambient) -> None:
        self._projection, self._codec, self._ambient = projection, codec, ambient
        self.events: dict[Key, list[Recorded]] = {}
        self.parked: dict[tuple[ParkedKind, str], Parked] = {}

    def take(self, entries: Iterable[Entry]) -> None:
        """Read entries and find out whose they are; a stream that fails here is parked from that event on."""
        recorded_from, keys_of, events = self._codec.recorded, self._projection.keys, self.events
        for entry in entries:
            if self.parked and ("stream", entry.stream) in self.parked:
                continue
            try:
                recorded = recorded_from(entry)
                keys = keys_of(recorded)
            except NewerSchema:
                raise  # not the event is at fault, but who reads it: newer code is to take over
            except Exception as error:  # decoding and key= are the user's
                self.park("stream", entry.stream, entry.position, error)
                continue
            for key in keys:
                if key in events:
                    events[key].append(recorded)
                else:
                    events[key] = [recorded]

    def park(self, kind: ParkedKind, key: str, position: Position, error: Exception) -> None:
        """Note what waits from this position on."""
        text = f"{type(error).__name__}: {error}"[:2_000]
        self.parked[kind, key] = Parked(kind, key, position, text, self._ambient.now())

    def leave_out(self, waiting: Set[tuple[ParkedKind, str]]) -> None:
        """What was parked before still waits: its events stay in the feed, in order."""
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
