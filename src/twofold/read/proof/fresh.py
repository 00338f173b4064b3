"""A fresh fold: a projection folded from the beginning of the feed into a store of its own, beside the live one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal

import msgspec

from twofold.codec import Codec
from twofold.errors import ConfigurationError, NewerSchema
from twofold.failures import error_text, failure
from twofold.feed.checkpoints import Claim, FollowerId, Parked
from twofold.feed.feed import Feed, pages
from twofold.feed.partitions import feed_of
from twofold.messages import Entry, Position, Recorded, Stream
from twofold.progress import Progress
from twofold.read.columns import Values
from twofold.read.folding import EVENTS_PER_SLICE
from twofold.read.parked import ParkedKeys
from twofold.read.projection import Key, Projection, key_text
from twofold.read.proof.examine import Fault, examined
from twofold.read.store import Changes, Query, ReadStore

MOST_FAILURES = 1_000
MOST_FAULTS = 3


class Failure(msgspec.Struct, frozen=True):
    """A row or a stream that cannot be folded any further, the event at which it failed, and why."""

    kind: Literal["row", "stream"]
    key: str
    position: Position
    event: str
    raised: BaseException

    @property
    def error(self) -> str:
        """The error in one line."""
        return error_text(self.raised)


class Sorter:
    """Groups events by the rows that they touch; `wanted` limits this to some keys."""

    def __init__(self, projection: Projection[Any], codec: Codec, wanted: Callable[[Key], bool] | None = None) -> None:
        self.projection, self._codec, self._wanted = projection, codec, wanted
        self.types = codec.names(projection.event_types)
        self.faults: list[Fault] = []

    async def sort(
        self, entries: Sequence[Entry], waiting: ParkedKeys
    ) -> tuple[dict[Key, list[Recorded]], list[Failure]]:
        """The events of each row in order, except parked ones. A stream that fails is added to `waiting`."""
        events: dict[Key, list[Recorded]] = {}
        failures: list[Failure] = []
        for number, entry in enumerate(entries, start=1):
            if number % EVENTS_PER_SLICE == 0:
                await asyncio.sleep(0)
            if waiting.stream(entry.stream, entry.position):
                continue
            try:
                recorded, keys = self._keyed(entry)
            except NewerSchema:
                raise  # the event is fine, but this code is too old
            except BaseException as error:  # decoding and key= are user code
                failed = Failure("stream", entry.stream, entry.position, _id(entry), failure(error))
                waiting.add(failed)
                failures.append(failed)
                continue
            for key in keys:
                if recorded is not None and not waiting.row(key, entry.position):
                    events.setdefault(key, []).append(recorded)
        return events, failures

    def _keyed(self, entry: Entry) -> tuple[Recorded | None, list[Key]]:
        wanted = self._wanted
        if wanted and self.projection.key is None and not wanted(self._key_of_stream(entry)):
            return None, []  # without reading it
        recorded = self._codec.recorded(entry)
        keys = self.projection.keys(recorded)
        if (
            self.projection.key is not None
            and self.projection.keys(recorded) != keys
            and len(self.faults) < MOST_FAULTS
        ):
            what = "key is not deterministic: the same event gave other keys the second time"
            self.faults.append(Fault(what, "", recorded.id))
        return recorded, [key for key in keys if wanted(key)] if wanted else keys

    def _key_of_stream(self, entry: Entry) -> Key:
        return self.projection.key_of_stream(Stream.parse(entry.stream))


class FreshFold:
    """The rows folded from the feed alone, up to any position of each partition, and on from there.

    What is parked in the live read model is left out here too. `failures`: what fails here and is not parked there.
    `faults`: evidence that the projection is not a pure fold.
    """

    def __init__(self, sorter: Sorter, log: Feed, store: ReadStore, *, progress: Progress) -> None:
        self.projection = sorter.projection
        self.events = self.rows = 0
        self.failures: list[Failure] = []
        self.faults: list[Fault] = sorter.faults
        self._sorter, self._log, self._store, self._progress = sorter, log, store, progress
        self._table = msgspec.structs.replace(self.projection.table, indexes=())
        self._claims: dict[int, Claim] = {}
        self._at: dict[int, Position] = {}
        self._live = ParkedKeys()
        self._waiting = ParkedKeys()

    async def advance(self, to: Sequence[Position], parked: Sequence[Parked]) -> None:
        """Fold to exactly these positions, one for each partition, without what is parked in the live read model.

        If something that was left out before is no longer parked, everything is folded again from the beginning.
        Raises: ConfigurationError, LogReplaced, NewerSchema, Unavailable.
        """
        live = ParkedKeys(parked)
        if not self._claims or not self._live.same_until(self._at, live):
            await self._begin([place.partition for place in to])
        self._live, self._waiting = live, ParkedKeys([*parked, *self.failures])
        feeds = [feed_of(self._log, place.partition) for place in to]
        lengths = [await feed.distance(Position(feed.partition, 0), end) for feed, end in zip(feeds, to, strict=True)]
        before = 0
        for feed, end, length in zip(feeds, to, lengths, strict=True):
            beginning, at = Position(feed.partition, 0), self._at[feed.partition]
            async with aclosing(pages(feed, at, end, self._sorter.types)) as history:
                async for page in history:
                    await self._fold(self._claims[feed.partition], page.entries, page.upto)
                    self._progress("folding", before + await feed.distance(beginning, page.upto), sum(lengths))
            before += length

    async def pages(self, after: Key | None, size: int) -> AsyncGenerator[Sequence[Values], None]:
        """The rows after a key, in the order of the key."""
        while True:
            rows = (await self._store.find(self._table, in_key_order(self.projection, size, after))).rows
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

    async def _claim(self, follower: FollowerId) -> Claim:
        seen = await self._store.checkpoints.read(follower)
        claim = await self._store.checkpoints.claim(seen, "fresh fold") if seen is not None else None
        if claim is None:
            raise ConfigurationError(f"the store for the fresh fold of {follower} is in use: use a separate one")
        return claim

    async def _fold(self, claim: Claim, entries: Sequence[Entry], upto: Position) -> None:
        events, failures = await self._sorter.sort(entries, self._waiting)
        for failed in failures:
            self._fail(failed)
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
        await self._store.commit(self._table, claim, self._at[upto.partition], upto, Changes(rows))
        self._at[upto.partition] = upto

    def _folded(self, key: Key, values: Values | None, events: Sequence[Recorded]) -> Values | None:
        outcome = examined(self.projection, key, values, events)
        self.events += len(events)
        if outcome.fault is not None and len(self.faults) < MOST_FAULTS:
            self.faults.append(outcome.fault)
        failed, error = outcome.folded.failed, outcome.folded.error
        if failed is not None and error is not None:
            row = Failure("row", key_text(key), failed.position, failed.id, error)
            self._waiting.add(row)
            self._fail(row)
        return outcome.folded.values

    def _fail(self, failed: Failure) -> None:
        self.failures.append(failed)
        if len(self.failures) > MOST_FAILURES:
            raise ConfigurationError(
                f"{self._table.follows}: more than {MOST_FAILURES} keys cannot be folded, the last one "
                f"{failed.key} at {failed.position}: {failed.error}. The read model was built by other code"
            )


def in_key_order(projection: Projection[Any], limit: int, after: Key | None) -> Query:
    """A query for a page of all rows."""
    return Query((), [(name, False) for name in projection.table.key], limit, after)


def _id(entry: Entry) -> str:
    return f"{entry.stream}@{entry.version}"
