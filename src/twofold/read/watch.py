"""Watch a query: a snapshot of its rows, then every change, resumable by token in any process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from twofold.codec import Codec
from twofold.errors import Closed, InvalidQuery, NotReached, Unavailable
from twofold.feed.checkpoints import FollowerId
from twofold.feed.feed import Feed
from twofold.feed.standing import LONGEST_WAIT_S
from twofold.read.conditions import check_projection, query_of
from twofold.read.freshness import DEFAULT_WAIT_S, After
from twofold.read.projection import Projection
from twofold.read.query import Queries, key_values
from twofold.read.room import Room
from twofold.read.rounds import Rounds
from twofold.read.store import Query, ReadStore
from twofold.read.watched import Standing, WatchToken
from twofold.read.watcher import OneWatcher, RowChanges

R = TypeVar("R")

SNAPSHOT_PAGE = 500  # rows at most
PAGE_BYTES = 128 * 1024  # about
FIRST_ROW_BYTES = 4 * 1024  # as long as it is not known how large the rows are
AGAIN_AFTER_S = 1.0  # if the store cannot be reached

log = logging.getLogger("twofold.watch")


class Watching:
    """Watches the projections of one App, from one event loop."""

    def __init__(self, queries: Queries, store: ReadStore, feed: Feed, codec: Codec) -> None:
        self._queries, self._store, self._feed, self._codec = queries, store, feed, codec
        self._rounds: dict[FollowerId, Rounds] = {}
        self._row_bytes: dict[FollowerId, float] = {}
        self._watchers: dict[OneWatcher, None] = {}  # in order, so that they are ended in the same order in each run
        self._stopped = False

    async def watch(
        self,
        projection: Projection[R],
        where: Mapping[str, Any] = {},
        /,
        *,
        scope: Mapping[str, Any] = {},
        order_by: str | Sequence[str] = (),
        after: After | None = None,
        wait_s: float = DEFAULT_WAIT_S,
        room: Room | None = None,
        **conditions: Any,
    ) -> AsyncGenerator[RowChanges[R], None]:
        """See `Running.watch`. `where` and `scope` are as in `Queries`; `room` is shared by the watches of a client."""
        check_projection(projection)
        if (why := projection.unwatchable) is not None:
            raise InvalidQuery(why)
        query = query_of(projection, {**where, **conditions}, order_by, SNAPSHOT_PAGE, scope)
        watcher, rounds = OneWatcher(projection, query.conditions, room or Room()), self._rounds_of(projection)
        if self._stopped:
            raise Closed("the App")
        self._watchers[watcher] = None
        try:
            since = await watcher.resumes(rounds, after) if WatchToken.is_one(after) else None
            fresh = None if WatchToken.is_one(after) else after
            async with aclosing(self._watched(watcher, rounds, query, since, fresh, wait_s)) as watched:
                async for changes in watched:
                    yield changes
                    del changes  # here and below: changes are not kept until the next ones
        finally:
            self._watchers.pop(watcher)

    async def until(self, projection: Projection[R], key: Any, predicate: Callable[[R], bool], timeout_s: float) -> R:
        """See `Running.until`."""
        values = key_values(projection, key)
        of_key, parked = dict(zip(projection.table.key, key if isinstance(key, tuple) else values, strict=True)), 0
        if not isinstance(timeout_s, int | float) or not 0 < timeout_s <= LONGEST_WAIT_S:
            raise InvalidQuery(f"timeout_s must be a number of seconds above 0, not {timeout_s!r:.80}")
        if iscoroutinefunction(predicate):  # its result, a coroutine, is true
            raise InvalidQuery("the predicate gets a row and returns a bool: it cannot be a coroutine function")
        try:
            async with asyncio.timeout(timeout_s) as deadline, aclosing(self.watch(projection, of_key)) as watched:
                async for changes in watched:
                    parked = changes.parked
                    for row in changes.rows.values():
                        if row is not None and predicate(row):
                            return row
        except TimeoutError:
            if not deadline.expired():  # the predicate's own
                raise
        raise NotReached(projection.name, key, timeout_s, parked)

    async def stop(self) -> None:
        """End all watchers: they raise Closed."""
        self._stopped = True
        for watcher in self._watchers:
            watcher.fail(Closed("the App"))
        await asyncio.gather(*(rounds.stop() for rounds in self._rounds.values()))

    def _rounds_of(self, projection: Projection[Any]) -> Rounds:
        rounds = self._rounds.get(projection.follows)
        if rounds is None:
            freshness = self._queries.freshness
            rounds = Rounds(projection, self._store, self._feed, self._codec, freshness)
            self._rounds[projection.follows] = rounds
        return rounds

    async def _watched(
        self,
        watcher: OneWatcher,
        rounds: Rounds,
        query: Query,
        since: WatchToken | None,
        fresh: After | None,
        wait_s: float,
    ) -> AsyncGenerator[RowChanges[Any], None]:
        """A snapshot unless there is a token, then all changes. From the first ones on, it waits for the store."""
        begun = waits = False
        while True:
            watcher.raise_if_failed()  # it may have waited for the store until the App was closed
            try:
                if since is None:
                    async with aclosing(self._snapshot(watcher, query, fresh, wait_s)) as snapshot:
                        async for page in snapshot:
                            begun, waits, fresh = True, False, None
                            yield page
                            del page
                async with aclosing(watcher.follow(rounds, since or watcher.told)) as followed:
                    async for changes in followed:
                        begun, waits = True, False
                        yield changes
                        del changes
                since = None  # only a new snapshot shows what has changed
            except Unavailable as error:
                if not begun:
                    raise
                if not waits:  # each of them says so once
                    log.warning("a watcher of %s waits: %s", watcher.projection.name, error)
                waits = True
                await asyncio.sleep(AGAIN_AFTER_S)
                since = watcher.told

    async def _snapshot(
        self, watcher: OneWatcher, query: Query, after: After | None, wait_s: float
    ) -> AsyncGenerator[RowChanges[Any], None]:
        """All rows, in pages; the token is that of the first page, whose rows are the oldest.

        If rows have changed without an event since the first page, or the read store went back, it begins again.
        """
        cursor, token = None, None
        watcher.begin()
        if after is not None:  # nobody else has to wait for it
            await self._queries.page(watcher.projection, _pages_of(query, 1), None, after, wait_s)
        while token is None or cursor is not None:
            async with watcher.room.reading:
                part = _pages_of(query, self._rows_at_once(watcher.projection))
                page = await self._queries.page(
                    watcher.projection, part, cursor, after if token is None else None, wait_s
                )
                standing = Standing(page.checkpoints, page.parked)
                if token is not None and not standing.follows(token):
                    cursor, token = None, None
                    watcher.begin()
                    continue
                begins, cursor = token is None, page.following
                token = token or standing.token()
                changes = watcher.shows(page, begins, None if cursor is not None else token)
                if page.rows:
                    self._row_bytes[watcher.projection.follows] = watcher.page_bytes / len(page.rows)
                try:
                    yield changes
                finally:
                    watcher.took_page()
                del changes, page

    def _rows_at_once(self, projection: Projection[Any]) -> int:
        """How many rows a page of a snapshot has, so that it takes little room."""
        size = self._row_bytes.get(projection.follows, FIRST_ROW_BYTES)
        return max(1, min(SNAPSHOT_PAGE, int(PAGE_BYTES / size)))


def _pages_of(query: Query, rows: int) -> Query:
    """The same query with pages of this size."""
    return Query(query.conditions, query.order, rows)


def check_no_page(conditions: Mapping[str, Any]) -> None:
    """Raises: InvalidQuery for what only a page can have."""
    for name in ("limit", "cursor"):
        if name in conditions:
            raise InvalidQuery(
                f"watch has no {name}=, because it shows every row that matches: narrow it by conditions, or show the "
                f"pages of find (for a field of that name: {name}__eq=)"
            )
