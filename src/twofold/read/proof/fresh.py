"""A fresh fold: a projection folded from the beginning of the feed into a store of its own, beside the live one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from twofold.codec import Codec
from twofold.errors import ConfigurationError
from twofold.feed.checkpoints import Claim, FollowerId, Parked
from twofold.feed.feed import Feed
from twofold.feed.partitions import feed_of
from twofold.messages import Position, Recorded
from twofold.progress import Progress
from twofold.read.columns import Values
from twofold.read.folding import EVENTS_PER_SLICE
from twofold.read.parked import ParkedKeys
from twofold.read.projection import Key, Projection, key_text
from twofold.read.proof.examine import Fault, examined
from twofold.read.rollup import Rollup
from twofold.read.rollups import Rollups
from twofold.read.selector import Failure, Selector
from twofold.read.store import Changes, Query, ReadStore

MOST_FAILURES = 1_000
MOST_FAULTS = 3


class FreshFold:
    """The rows folded from the feed alone, up to any position of each partition, and on from there.

    A Rollup is computed from its source, which is folded. What is parked in the live read model is left out here too.
    `failures`: what fails here and is not parked there. `faults`: evidence that the projection is not a pure fold.
    """

    def __init__(
        self,
        projection: Projection[Any],
        codec: Codec,
        wanted: Callable[[Key], bool] | None,
        log: Feed,
        store: ReadStore,
        *,
        progress: Progress,
    ) -> None:
        self.projection = projection
        self._rollup = projection if isinstance(projection, Rollup) else None
        self._folded_by = projection = projection if self._rollup is None else self._rollup.of
        self.events = self.rows = 0
        self.failures: list[Failure] = []
        self.faults: list[Fault] = []
        self._selector = Selector(projection, codec, wanted if self._rollup is None else None, self._keys)
        self._log, self._store, self._progress = log, store, progress
        self._table = msgspec.structs.replace(projection.table, indexes=())
        self._rollups = Rollups(store, self._table, [] if self._rollup is None else [self._rollup.table])
        self._claims: dict[int, Claim] = {}
        self._at: dict[int, Position] = {}
        self._live = ParkedKeys()
        self._waiting = ParkedKeys()

    async def advance(self, to: Sequence[Position], parked: Sequence[Parked]) -> None:
        """Fold to exactly these positions, one for each partition, without what is parked in the live read model.

        If something that was left out before is no longer parked, or a partition has split, everything is folded again
        from the beginning.
        Raises: ConfigurationError, LogReplaced, NewerSchema, Unavailable.
        """
        live = ParkedKeys(parked)
        partitions = [place.partition for place in to]
        if self._claims.keys() != set(partitions) or not self._live.same_until(self._at, live):
            await self._begin(partitions)
        self._live, self._waiting = live, ParkedKeys([*parked, *self.failures])
        feeds = [feed_of(self._log, place.partition) for place in to]
        lengths = [await feed.distance(Position(feed.partition, 0), end) for feed, end in zip(feeds, to, strict=True)]
        before = 0
        for feed, end, length in zip(feeds, to, lengths, strict=True):
            beginning, at = Position(feed.partition, 0), self._at[feed.partition]
            async with aclosing(self._selector.pages(feed, at, end, self._waiting)) as history:
                async for page in history:
                    for failed in page.failures:
                        self._fail(failed)
                    await self._fold(self._claims[feed.partition], page.events, page.upto)
                    self._progress("folding", before + await feed.distance(beginning, page.upto), sum(lengths))
            before += length

    async def pages(self, after: Key | None, size: int) -> AsyncGenerator[Sequence[Values], None]:
        """The rows after a key, in the order of the key."""
        while True:
            table = self._table if self._rollup is None else self._rollup.table
            rows = (await self._store.find(table, in_key_order(self.projection, size, after))).rows
            if rows:
                yield rows
            if len(rows) < size:
                return
            after = self.projection.key_in(rows[-1])

    async def _begin(self, partitions: Sequence[int]) -> None:
        await self._store.prepare(self._table)
        self._at = {partition: Position(partition, 0) for partition in partitions}
        self.events, self.rows, self.failures = 0, 0, []
        followers = [self._table.follows.in_partition(partition) for partition in partitions]
        for follower in followers:
            await self._store.checkpoints.register(follower, self._log.log_id, self._at[follower.partition])
        await self._store.clear(self._table, self._log.log_id)
        self._claims = {follower.partition: await self._claim(follower) for follower in followers}
        if self._rollup is not None:
            await self._store.prepare(self._rollup.table)
            [partition] = partitions
            follower, beginning = self._rollup.follows.in_partition(partition), Position(partition, 0)
            await self._store.checkpoints.register(follower, self._log.log_id, beginning)
            await self._rollups.begin(self._claims[partition], beginning)

    async def _claim(self, follower: FollowerId) -> Claim:
        seen = await self._store.checkpoints.read(follower)
        claim = await self._store.checkpoints.claim(seen, "fresh fold") if seen is not None else None
        if claim is None:
            raise ConfigurationError(f"the store for the fresh fold of {follower} is in use: use a separate one")
        return claim

    async def _fold(self, claim: Claim, events: Mapping[Key, Sequence[Recorded]], upto: Position) -> None:
        before = await self._store.rows(self._table, sorted(events)) if events else {}
        rows: dict[Key, Values | None] = {}
        since_pause = 0
        for key, of_key in sorted(events.items()):
            was = before.get(key)
            rows[key] = now = self._folded(key, was, of_key)
            self.rows += (now is not None) - (was is not None)
            since_pause += len(of_key)
            if since_pause >= EVENTS_PER_SLICE:
                since_pause = 0
                await asyncio.sleep(0)
        changes = await self._rollups.complete(Changes(rows), {key: before.get(key) for key in rows})
        await self._store.commit(self._table, claim, self._at[upto.partition], upto, changes)
        self._at[upto.partition] = upto

    def _keys(self, recorded: Recorded) -> list[Key]:
        """The keys of an event, twice: `key` must be deterministic."""
        keys = self._folded_by.keys(recorded)
        if self._folded_by.key is not None and self._folded_by.keys(recorded) != keys:
            what = "key is not deterministic: the same event gave other keys the second time"
            self._note(Fault(what, "", recorded.id))
        return keys

    def _folded(self, key: Key, values: Values | None, events: Sequence[Recorded]) -> Values | None:
        outcome = examined(self._folded_by, key, values, events)
        self.events += len(events)
        if outcome.fault is not None:
            self._note(outcome.fault)
        failed, error = outcome.folded.failed, outcome.folded.error
        if failed is not None and error is not None:
            row = Failure("row", key_text(key), failed.position, failed.id, error)
            self._waiting.add(row)
            self._fail(row)
        return outcome.folded.values

    def _note(self, fault: Fault) -> None:
        """Once, although what is folded again shows it again."""
        known = any((one.key, one.event) == (fault.key, fault.event) for one in self.faults)
        if not known and len(self.faults) < MOST_FAULTS:
            self.faults.append(fault)

    def _fail(self, failed: Failure) -> None:
        self.failures.append(failed)
        if len(self.failures) > MOST_FAILURES:
            raise ConfigurationError(
                f"{self._table.follows}: more than {MOST_FAILURES} keys cannot be folded; the last one is "
                f"{failed.key} at {failed.position}: {failed.error}. Other code built this read model"
            )


def in_key_order(projection: Projection[Any], limit: int, after: Key | None) -> Query:
    """A query for a page of all rows."""
    return Query((), [(name, False) for name in projection.table.key], limit, after)
