"""Rounds of changed rows of one projection: one reader for all of its watchers in a process.

The read model's doorbell says that it has reached Q. The feed between P and Q, through the projection's own `key`,
names the rows that changed, and these are read once. Nothing is stored for it, so it works in every process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from twofold.codec import Codec
from twofold.errors import TwofoldError, Unavailable
from twofold.failures import failure
from twofold.feed.feed import Feed, pages
from twofold.feed.partitions import feed_of
from twofold.messages import Entry
from twofold.read.columns import Values
from twofold.read.freshness import Freshness
from twofold.read.projection import Key, Projection
from twofold.read.store import Query, QueryResult, ReadStore
from twofold.read.watched import Places, Round, WatchToken

LOOK_EVERY_S = 1.0  # if no doorbell rings
BETWEEN_ROUNDS_S = 0.01
MOST_ROWS = 10_000  # of a round; beyond, a snapshot costs less
KEYS_AT_ONCE = 1_000

log = logging.getLogger("twofold.watch")


class Watcher(Protocol):
    """Who is told. None of these methods may wait."""

    @property
    def key(self) -> Key | None:
        """The key of the only row that it watches; None if it watches more."""
        ...

    def take(self, round: Round) -> None:
        """Rows have changed."""
        ...

    def begin_again(self) -> None:
        """Rows have changed in a way that only a new snapshot shows."""
        ...

    def fail(self, error: TwofoldError) -> None:
        """There will be no more rounds."""
        ...


class Rounds:
    """Tells the watchers of one projection what changed, in order: never an older state of a row after a newer one."""

    def __init__(
        self, projection: Projection[Any], store: ReadStore, feed: Feed, codec: Codec, freshness: Freshness
    ) -> None:
        self._projection, self._store, self._log, self._codec = projection, store, feed, codec
        self._freshness, self._types = freshness, codec.names(projection.event_types)
        self._watchers = _Watchers()
        self._reading = asyncio.Lock()
        self._at: WatchToken | None = None
        self._parked = 0
        self._task: asyncio.Task[None] | None = None

    async def join(self, watcher: Watcher, since: WatchToken) -> bool:
        """Tell a watcher what has changed since its token, then every round until it leaves.

        Returns False if only a snapshot would show what has changed: it has not joined. Raises: LogReplaced,
        Unavailable.
        """
        async with self._reading:
            if self._at is None:
                await self._look()
            at = self._at
            if at is None or not since.leads_to(_latest(since, at)):
                return False
            changed = await self._round(since.places, _latest(since, at), self._parked)
            if changed is None:
                return False
            self._watchers.add(watcher)
            watcher.take(changed)
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._run(), name=f"watching {self._projection.name}")
            return True

    async def leave(self, watcher: Watcher) -> None:
        """The inverse of `join`. The last one stops the reader."""
        self._watchers.discard(watcher)
        if not self._watchers and self._task is not None:
            task, self._task, self._at = self._task, None, None
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        try:
            while True:
                try:
                    async with self._reading:
                        await self._look()
                    await asyncio.sleep(BETWEEN_ROUNDS_S)
                    await self._wait()
                except Unavailable as error:
                    log.warning("watchers of %s wait: %s", self._projection.name, error)
                    await asyncio.sleep(LOOK_EVERY_S)
        except TwofoldError as error:
            for watcher in self._watchers.all():
                watcher.fail(error)
            self._at = None

    async def _look(self) -> None:
        """Compare the read model with what was told, and tell the difference. Raises: LogReplaced, Unavailable."""
        found = await self._standing()
        now, before, parked = WatchToken.at(found.checkpoints), self._at, len(found.parked)
        changed = None
        if before is None or not before.leads_to(now):
            self._watchers.begin_again(before is not None)
        elif (before.places, self._parked) != (now.places, parked):
            changed = await self._round(before.places, now, parked)
            if changed is None:
                self._watchers.begin_again(True)
        self._at, self._parked = now, parked
        if changed is not None:
            self._watchers.tell(changed)

    async def _standing(self) -> QueryResult:
        """The checkpoints and what is parked, from one snapshot, without rows."""
        table = self._projection.table
        query = Query([], [(name, False) for name in table.key], 0)
        return (await self._freshness.at_least(None, 0, lambda: self._store.find(table, query))).found

    async def _round(self, after: Places, now: WatchToken, parked: int) -> Round | None:
        """What changed between two places; None if that is too much for a round."""
        keys = await self._touched(after, now.places)
        if keys is None:
            return None
        rows: dict[Key, Values | None] = {}
        ordered = list(keys)
        for start in range(0, len(ordered), KEYS_AT_ONCE):
            some = ordered[start : start + KEYS_AT_ONCE]
            stored = await self._store.rows(self._projection.table, some)
            rows |= {key: stored.get(key) for key in some}
        return Round(rows, now, parked)

    async def _touched(self, after: Places, upto: Places) -> set[Key] | None:
        """The keys of the rows that events in between may have changed; None if there are too many."""
        keys: set[Key] = set()
        for partition, place in upto.items():
            feed = feed_of(self._log, partition)
            async with aclosing(pages(feed, after[partition], place, self._types)) as between:
                async for page in between:
                    keys.update(self._keys(page.entries))
                    if len(keys) > MOST_ROWS:
                        return None
                    await asyncio.sleep(0)
        return keys

    def _keys(self, entries: Sequence[Entry]) -> Iterable[Key]:
        for entry in entries:
            try:
                yield from self._projection.keys(self._codec.recorded(entry))
            except (
                BaseException
            ) as error:  # decoding and key= are user code; such an event is parked, and changes no row
                failure(error)

    async def _wait(self) -> None:
        """Wait until a doorbell rings, in any partition."""
        at, follows = self._at, self._projection.follows
        places = () if at is None else at.places.values()
        waits = [
            asyncio.ensure_future(self._store.wait(follows.in_partition(place.partition), place, LOOK_EVERY_S))
            for place in places
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


class _Watchers:
    """The watchers, those of a single row by its key."""

    def __init__(self) -> None:
        self._of_row: dict[Key, dict[Watcher, None]] = {}
        self._of_more: dict[Watcher, None] = {}
        self._parked = 0

    def __bool__(self) -> bool:
        return bool(self._of_row or self._of_more)

    def add(self, watcher: Watcher) -> None:
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

    def tell(self, round: Round) -> None:
        if round.parked != self._parked:
            self._parked, told = round.parked, self.all()
        else:
            told = [*self._of_more, *(watcher for key in round.rows for watcher in self._of_row.get(key, ()))]
        for watcher in told:
            watcher.take(round)

    def begin_again(self, really: bool) -> None:
        """All of them leave: each joins again with its new snapshot."""
        if really:
            for watcher in self.all():
                watcher.begin_again()
            self._of_row.clear()
            self._of_more.clear()


def _latest(one: WatchToken, other: WatchToken) -> WatchToken:
    """The second token, at the later place in each partition: a snapshot may be newer than the last round."""
    if one.places.keys() != other.places.keys():
        return other
    places = {partition: max(place, one.places[partition]) for partition, place in other.places.items()}
    return WatchToken(other.log_id, other.version, other.generation, places)
