"""Rounds of changed rows of one projection: one reader for all of its watchers in a process.

The read model's doorbell says that it has reached Q. The feed between P and Q, through the projection's own `key`,
names the rows that changed, and these are read once. Nothing is stored for it, so it works in every process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import islice
from typing import Any, Protocol

from twofold.codec import Codec
from twofold.errors import Unavailable
from twofold.failures import failure
from twofold.feed.feed import Feed, pages
from twofold.feed.partitions import feed_of
from twofold.messages import MAX_OFFSET, Entry, Position
from twofold.read.columns import Values
from twofold.read.freshness import Freshness
from twofold.read.projection import Key, Projection
from twofold.read.store import Query, ReadStore
from twofold.read.watched import Places, Round, Standing, WatchToken

LOOK_EVERY_S = 1.0  # if no doorbell rings
BETWEEN_ROUNDS_S = 0.01  # also between looks that find nothing; one of them may follow a round at once
FOR_EACH_WATCHER_S = 0.0001  # further rounds wait until these have been delivered, and then hold several changes
KEYS_AT_ONCE = 250  # in a round, so that several fit into the room of a client
NEAR_EVENTS = 100  # about how far behind a watcher may join
FAR_EVENTS = 10_000  # to resume from further away costs more than a snapshot

log = logging.getLogger("twofold.watch")


class Watcher(Protocol):
    """A receiver of rounds. None of these methods may wait."""

    @property
    def key(self) -> Key | None:
        """The key of the only row that it watches; None if it watches more."""
        ...

    def take(self, round: Round) -> bool:
        """Rows have changed. Returns whether this wakes the watcher: one that is slow is not woken again."""
        ...

    def begin_again(self) -> None:
        """Rows have changed in a way that only a new snapshot shows."""
        ...

    def fail(self, error: Exception) -> None:
        """There will be no more rounds."""
        ...


class _WentBack(Exception):
    """Rows are older than the read model was: it has crashed, or they have changed without an event."""


class Rounds:
    """Tells the watchers of one projection what changed, in order: never an older state of a row after a newer one."""

    def __init__(
        self, projection: Projection[Any], store: ReadStore, feed: Feed, codec: Codec, freshness: Freshness
    ) -> None:
        self._projection, self._store, self._log, self._codec = projection, store, feed, codec
        self._freshness, self._types = freshness, codec.names(projection.event_types)
        self._watchers = _Watchers()
        self._reading = asyncio.Lock()
        self._joining = 0
        self._now: Standing | None = None
        """What the watchers know; None while there are none."""
        self._task: asyncio.Task[None] | None = None
        self._waits_for_store = False
        self._told = 0
        """How often the last look woke a watcher."""

    async def is_near(self, since: WatchToken) -> bool:
        """Whether a watcher can resume from a token, and need not read too much for it. Raises: as `join`."""
        now = await self._standing()
        return now.follows(since) and await self._distance(since.places, now.places) <= FAR_EVENTS

    async def missed(self, since: WatchToken) -> AsyncGenerator[Round, None]:
        """What has changed since a token, until what is left is little enough for `join`, which others wait for."""
        while (now := await self._standing()).follows(since):
            if await self._distance(since.places, now.places) <= NEAR_EVENTS:
                return
            try:
                async with aclosing(self._between(since.places, now)) as rounds:
                    async for changed in rounds:
                        yield changed
                        since = changed.token
            except _WentBack:
                return

    async def join(self, watcher: Watcher, since: WatchToken) -> bool:
        """Tell a watcher what has changed since its token, then every round until it leaves.

        Returns False if only a snapshot would show what has changed: it has not joined. Raises: LogReplaced,
        Unavailable.
        """
        self._joining += 1
        try:
            async with self._reading:
                if self._now is None or not self._now.follows(since):  # a snapshot may be newer than the last round
                    await self._look()
                now = self._now
                if now is None or not now.follows(since):
                    return False
                try:
                    async with aclosing(self._between(since.places, now)) as rounds:
                        missed = [changed async for changed in rounds]
                except _WentBack:
                    await self._look()
                    return False
                self._watchers.add(watcher, now.parked)
                for changed in missed:
                    watcher.take(changed)
                if self._task is None or self._task.done():
                    self._task = asyncio.create_task(self._run(), name=f"watching {self._projection.name}")
                return True
        finally:
            self._joining -= 1
            self._rest()

    async def leave(self, watcher: Watcher) -> None:
        """The inverse of `join`. The last one stops the reader."""
        self._watchers.discard(watcher)
        ended = self._rest()
        if ended is not None:
            await asyncio.wait([ended])

    async def stop(self) -> None:
        """Stop the reader."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _rest(self) -> asyncio.Task[None] | None:
        """Stop the reader if nobody needs it. Returns its task, which is about to end."""
        if self._watchers or self._joining:
            return None
        task, self._task, self._now = self._task, None, None
        if task is not None:
            task.cancel()
        return task

    async def _run(self) -> None:
        try:
            while True:
                await self._next()
        except Exception as error:  # whatever it is, the watchers must not wait for ever
            self._now = None
            for watcher in self._watchers.all():
                watcher.fail(error)

    async def _next(self) -> None:
        try:
            async with self._rings() as rings:
                async with self._reading:
                    told = await self._look()
                self._waits_for_store = False
                await self._pause(told)
                await asyncio.wait(rings, return_when=asyncio.FIRST_COMPLETED)
        except Unavailable as error:
            if not self._waits_for_store:
                log.warning("watchers of %s wait: %s", self._projection.name, error)
            self._waits_for_store = True
            await asyncio.sleep(LOOK_EVERY_S)

    async def _pause(self, told: int) -> None:
        """Limit the rate of looks. One that finds nothing right after a round delays nobody.

        A store may ring twice for one change: SQLite's file does so at once, and again when it is polled for changes by
        other processes.
        """
        before, self._told = self._told, told
        if told or not before:
            await asyncio.sleep(BETWEEN_ROUNDS_S + told * FOR_EACH_WATCHER_S)

    async def _look(self) -> int:
        """Compare the read model with what the watchers know, and tell them the difference.

        Returns how often this wakes a watcher. Raises: LogReplaced, Unavailable.
        """
        now, before, told = await self._standing(), self._now, 0
        if before is not None and not now.follows(before.token()):
            self._watchers.begin_again()
        elif before is not None and (before.places, before.parked) != (now.places, now.parked):
            try:
                async with aclosing(self._between(before.places, now)) as rounds:
                    async for changed in rounds:
                        told += self._watchers.tell(changed)
            except _WentBack:
                self._watchers.begin_again()
                now = await self._standing()
        self._now = now
        return told

    async def _standing(self) -> Standing:
        table = self._projection.table
        query = Query([], [(name, False) for name in table.key], 0)
        found = (await self._freshness.at_least(None, 0, lambda: self._store.find(table, query))).found
        return Standing(found.checkpoints, found.parked)

    async def _distance(self, after: Places, to: Places) -> int:
        feeds = [(feed_of(self._log, partition), after[partition], place) for partition, place in to.items()]
        return sum([await feed.distance(start, end) for feed, start, end in feeds if start < end])

    async def _between(self, after: Places, now: Standing) -> AsyncGenerator[Round, None]:
        """At least one round of what changed between two places, a page of the feed at a time."""
        places, keys = dict(after), dict[Key, None]()
        for partition, place in now.places.items():
            feed = feed_of(self._log, partition)
            async with aclosing(pages(feed, after[partition], place, self._types)) as between:
                async for page in between:
                    keys.update(dict.fromkeys(self._keys(page.entries)))
                    while len(keys) > KEYS_AT_ONCE:  # not yet all of this page, so it is not resumed from its end
                        part = dict.fromkeys(islice(keys, KEYS_AT_ONCE))
                        yield await self._round(part, now, dict(places))
                        keys = {key: None for key in keys if key not in part}
                    places[partition] = page.upto
                    await asyncio.sleep(0)
        yield await self._round(keys, now, now.places)

    async def _round(self, keys: Iterable[Key], now: Standing, upto: Places) -> Round:
        """Raises: _WentBack if the rows are from before `now`; later nothing would show that they were."""
        ordered = list(keys)
        rows: dict[Key, Values] = {}
        if ordered:
            found = await self._store.get_all(self._projection.table, ordered)
            if not Standing(found.checkpoints, found.parked).follows(now.token()):
                raise _WentBack
            rows = {self._projection.key_in(values): values for values in found.rows}
        return Round({key: rows.get(key) for key in ordered}, now.token(upto), now.parked)

    def _keys(self, entries: Sequence[Entry]) -> Iterable[Key]:
        for entry in entries:
            try:
                yield from self._projection.keys(self._codec.recorded(entry))
            except BaseException as error:  # decoding and `key` are user code; such an event is parked
                failure(error)

    @asynccontextmanager
    async def _rings(self) -> AsyncIterator[Sequence[asyncio.Future[None]]]:
        """A future for each partition: done once its doorbell has rung.

        It is listened to before the rows are read. A ring meanwhile may be for a change that this read has not seen,
        and no position shows it later if rows have changed where the checkpoint stands.
        """
        numbers = () if self._now is None else self._now.places
        rings = [asyncio.ensure_future(self._ring(number)) for number in numbers]
        try:
            await asyncio.sleep(0)  # until they listen
            yield rings
        finally:
            for ring in rings:
                ring.cancel()
            await asyncio.gather(*rings, return_exceptions=True)

    async def _ring(self, partition: int) -> None:
        follower = self._projection.follows.in_partition(partition)
        await self._store.wait(follower, Position(partition, MAX_OFFSET), LOOK_EVERY_S)  # beyond all: for any news


class _Watchers:
    """The watchers, those of a single row by its key."""

    def __init__(self) -> None:
        self._of_row: dict[Key, dict[Watcher, None]] = {}
        self._of_more: dict[Watcher, None] = {}
        self._parked = 0
        """What all of them know: each gets it when it joins."""

    def __bool__(self) -> bool:
        return bool(self._of_row or self._of_more)

    def add(self, watcher: Watcher, parked: int) -> None:
        self._parked = parked
        of = self._of_more if watcher.key is None else self._of_row.setdefault(watcher.key, {})
        of[watcher] = None

    def discard(self, watcher: Watcher) -> None:
        self._of_more.pop(watcher, None)
        if watcher.key is not None and watcher.key in self._of_row:
            of = self._of_row[watcher.key]
            of.pop(watcher, None)
            if not of:
                del self._of_row[watcher.key]

    def all(self) -> list[Watcher]:
        return [*self._of_more, *(watcher for of in self._of_row.values() for watcher in of)]

    def tell(self, round: Round) -> int:
        """Returns how many it wakes."""
        if round.parked != self._parked:
            self._parked, told = round.parked, self.all()
        else:
            told = [*self._of_more, *(watcher for key in round.rows for watcher in self._of_row.get(key, ()))]
        return sum([watcher.take(round) for watcher in told])

    def begin_again(self) -> None:
        """All of them leave: each joins again with its new snapshot."""
        for watcher in self.all():
            watcher.begin_again()
        self._of_row.clear()
        self._of_more.clear()
