"""The projector: folds pages of the feed into rows, each event exactly once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NoReturn

from twofold.ambient import Ambient
from twofold.codec import Codec
from twofold.errors import BatchRefused
from twofold.feed.checkpoints import Claim, FollowerId, Parked
from twofold.feed.feed import LARGEST_PAGE, Feed, FeedPage
from twofold.feed.parking_limit import ParkingLimit, too_many
from twofold.feed.partitions import feed_of
from twofold.messages import Position
from twofold.read.cache import CACHE_BYTES, RowCache
from twofold.read.folding import Folding
from twofold.read.parked import ParkedKeys
from twofold.read.projection import Projection
from twofold.read.publish import Publisher
from twofold.read.refused import without_refused
from twofold.read.rollups import Rollups
from twofold.read.store import Changes, ReadStore
from twofold.read.unpark import Unparking

log = logging.getLogger("twofold.projector")


class Projector:
    """Follows the feed for one projection (a `Follower`).

    Reading, decoding and folding happen outside any transaction, while the previous page is being committed. If an
    event cannot be folded, the row's key is parked, or the stream if no key can be known. Its later events are parked
    with it; everything else continues.
    """

    start: Literal["beginning"] = "beginning"
    largest_page = LARGEST_PAGE

    def __init__(
        self,
        projection: Projection[Any],
        store: ReadStore,
        log: Feed,
        codec: Codec,
        ambient: Ambient,
        *,
        partition: int = 0,
        cache: int = CACHE_BYTES,
    ) -> None:
        self.projection = projection
        self._store, self._log, self._codec, self._ambient = store, log, codec, ambient
        self.feed, self.follows = feed_of(log, partition), projection.follows.in_partition(partition)
        self.types = codec.names(projection.event_types)
        self.publisher = Publisher(projection.table, store, log)
        self._cache_bytes = cache
        self._of_rollups: dict[FollowerId, Publisher] = {}
        self._held: _Held | None = None
        self._committing: asyncio.Task[bool] | None = None
        self._limit = ParkingLimit()

    def unparking(self) -> Unparking:
        """Retries and discards what is parked of this projection."""
        return Unparking(
            self.projection,
            self._store,
            self._log,
            self._codec,
            self._ambient,
            partition=self.feed.partition,
        )

    async def handle(self, claim: Claim, after: Position, page: FeedPage) -> None:
        """Fold a page, then begin to commit rows and checkpoint together.

        Returns when the previous page is committed; this page's errors are raised by the next call or by `flush`.
        Raises: LeaseLost, Unavailable; ConfigurationError if too much would be parked (`ParkingLimit`).
        """
        folding, changes = await self._fold(claim, after, page)
        if not await self._finish_commit():  # this page was folded on rows that were not stored
            folding, changes = await self._fold(claim, after, page)
        next_one = self._limit.first_too_many(changes.parked)
        if next_one is not None:
            await self._stop_before(next_one, claim, after, page)
        held = await self._holding(claim, after)
        if held.rollups:
            folding.note_replaced(changes.rows)
        held.rows.shrink()
        held.rows.keep(changes.rows)
        held.parked = held.parked.and_also(changes.parked)
        self._committing = asyncio.create_task(self._commit(claim, after, page, changes, folding, held.rollups))

    async def _fold(self, claim: Claim, after: Position, page: FeedPage) -> tuple[Folding, Changes]:
        held = await self._holding(claim, after)
        folding = Folding(self.projection, self._codec, self._ambient, held.rows, held.parked)
        return folding, await folding.page(page.entries, partial(self._store.rows, self.projection.table))

    async def _holding(self, claim: Claim, after: Position) -> _Held:
        """What is known under this claim; it is discarded with the claim, or when a page is not stored as folded.

        Claims are compared by identity: a store that crashed may assign an epoch for a second time.
        """
        if self._held is None or self._held.claim is not claim:
            await self.flush()
            parked = await self._store.checkpoints.parked(self.follows)
            rollups = await Rollups.of(self._store, self.projection.table)
            await rollups.begin(claim, after)
            rows = RowCache(complete=after.is_beginning, limit=self._cache_bytes)
            self._held = _Held(claim, rows, ParkedKeys(parked), rollups)
        return self._held

    async def _finish_commit(self) -> bool:
        """Wait for the previous page. Returns whether its rows are as they were folded; if not, forgets them."""
        if self._committing is None:
            return True
        await asyncio.wait((self._committing,))
        commit, self._committing = self._committing, None
        as_folded = False
        try:
            as_folded = commit.result()
        finally:
            if not as_folded:
                self._held = None
        return as_folded

    async def _commit(
        self,
        claim: Claim,
        after: Position,
        page: FeedPage,
        changes: Changes,
        folding: Folding,
        rollups: Rollups,
    ) -> bool:
        """Store a page. Returns whether its rows are as they were folded: the store may have refused some."""
        table, as_folded = self.projection.table, True
        try:
            await self._store.commit(table, claim, after, page.upto, await rollups.complete(changes, folding.replaced))
        except BatchRefused as error:
            as_folded = False
            changes = await without_refused(
                changes,
                error,
                self.projection,
                self._store,
                lambda key: folding.events_of(key, page.entries),
                lambda key: None,  # a row that is parked is not folded
                now=self._ambient.now(),
            )
            next_one = self._limit.first_too_many(changes.parked)
            if next_one is not None:
                raise too_many(self.follows, next_one) from error
            rollups.forget()
            await self._store.commit(table, claim, after, page.upto, await rollups.complete(changes, folding.replaced))
        self._limit.count(changes.parked)
        for parked in changes.parked:
            log.error("%s: a %s parked at %s: %s", self.follows, parked.kind, parked.position, parked.error_type)
        if as_folded and self._held is not None and not self._held.parked:
            await self.publisher.publish()
            await self._publish_rollups(rollups)
        return as_folded

    async def _publish_rollups(self, rollups: Rollups, *, look_for_lost: bool = False) -> None:
        for one in rollups.rolling:
            publisher = self._of_rollups.setdefault(one.table.follows, Publisher(one.table, self._store, self._log))
            await publisher.publish(look_for_lost=look_for_lost)

    async def _stop_before(self, next_one: Parked, claim: Claim, after: Position, page: FeedPage) -> NoReturn:
        """Handle the page up to the event that exceeds the limit, then stop."""
        before = self.feed.before(next_one.position)
        if before > after:
            await self.handle(claim, after, FeedPage([e for e in page.entries if e.position <= before], before))
            await self.flush()
        raise too_many(self.follows, next_one)

    async def flush(self) -> None:
        """Wait until every handled page is committed. Raises: LeaseLost, Unavailable."""
        await self._finish_commit()

    async def tend(self, claim: Claim, position: Position) -> None:
        """Publish a version that has caught up, and bring rollups up to it, even if no more pages arrive."""
        held = self._held
        if held is None or held.claim is not claim or not self.publisher.done or held.rollups:
            held = await self._holding(claim, position)
            if not held.parked:
                await self.publisher.publish(look_for_lost=True)
                await self._publish_rollups(held.rollups, look_for_lost=True)

    async def wait(self, after: Position, timeout_s: float) -> None:
        """See `Follower.wait`."""
        await self._store.wait(self.follows, after, timeout_s)

    def will_retry(self, parked: Parked) -> bool:
        """False: a fold that failed fails again."""
        return False


@dataclass
class _Held:
    """What the holder of a claim knows: rows, and what is parked."""

    claim: Claim
    rows: RowCache
    parked: ParkedKeys
    rollups: Rollups
