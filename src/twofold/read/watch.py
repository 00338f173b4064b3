"""Watch a query: a snapshot of its rows, then every change, resumable by token in any process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import msgspec

from twofold.codec import Codec
from twofold.errors import Closed, NotReached, RowUnreadable, TwofoldError
from twofold.feed.checkpoints import FollowerId
from twofold.feed.feed import Feed
from twofold.read.columns import Values
from twofold.read.conditions import query_of
from twofold.read.freshness import DEFAULT_WAIT_S, After
from twofold.read.projection import Key, Projection
from twofold.read.query import Queries, StoredPage, key_values, row_of
from twofold.read.rounds import Rounds
from twofold.read.store import Condition, Query, ReadStore
from twofold.read.watched import Round, WatchToken

R = TypeVar("R")

SNAPSHOT_PAGE = 500
PENDING_BYTES = 1024 * 1024  # for each watcher; one that is slower gets a snapshot

log = logging.getLogger("twofold.watch")


class RowChanges(msgspec.Struct, Generic[R], frozen=True):
    """Rows by key, a tuple if it has several fields; None for a row that is gone.

    With `snapshot` they replace all that came before, otherwise they are merged into it. `token` resumes from here; it
    is None while more of the same round follows. `parked` counts the parked rows of the whole read model.
    """

    rows: Mapping[Any, R | None]
    token: str | None
    snapshot: bool
    parked: int


class Watching:
    """Watches the projections of one App, from one event loop."""

    def __init__(self, queries: Queries, store: ReadStore, feed: Feed, codec: Codec) -> None:
        self._queries, self._store, self._feed, self._codec = queries, store, feed, codec
        self._rounds: dict[FollowerId, Rounds] = {}
        self._watchers: set[_Watcher] = set()

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
        **conditions: Any,
    ) -> AsyncGenerator[RowChanges[R], None]:
        """See `Running.watch`."""
        query = query_of(projection, {**where, **conditions}, order_by, SNAPSHOT_PAGE, scope)
        watcher, rounds = _Watcher(projection, query.conditions), self._rounds_of(projection)
        since = WatchToken.parse(after) if isinstance(after, str) and WatchToken.is_one(after) else None
        fresh = after if since is None else None
        self._watchers.add(watcher)
        try:
            while True:
                if since is None:
                    async with aclosing(self._snapshot(watcher, query, fresh, wait_s)) as pages:
                        async for page, token in pages:
                            yield page
                            since = token
                if since is not None and await watcher.joins(rounds, since):
                    async with aclosing(watcher.changes()) as rounds_of_changes:
                        async for changes in rounds_of_changes:
                            yield changes
                since = fresh = None
        finally:
            self._watchers.discard(watcher)
            await rounds.leave(watcher)

    async def until(self, projection: Projection[R], key: Any, predicate: Callable[[R], bool], timeout_s: float) -> R:
        """See `Running.until`."""
        parts = zip(projection.table.key, key if isinstance(key, tuple) else (key,), strict=False)
        key_values(projection, key)
        try:
            async with asyncio.timeout(timeout_s), aclosing(self.watch(projection, dict(parts))) as watched:
                async for changes in watched:
                    for row in changes.rows.values():
                        if row is not None and predicate(row):
                            return row
        except TimeoutError:
            raise NotReached(projection.name, key, timeout_s) from None
        raise AssertionError("watching ends only by an error")

    def stop(self) -> None:
        """End all watchers: they raise Closed."""
        for watcher in self._watchers:
            watcher.fail(Closed("the App"))

    def _rounds_of(self, projection: Projection[Any]) -> Rounds:
        rounds = self._rounds.get(projection.follows)
        if rounds is None:
            freshness = self._queries.freshness
            rounds = Rounds(projection, self._store, self._feed, self._codec, freshness)
            self._rounds[projection.follows] = rounds
        return rounds

    async def _snapshot(
        self, watcher: _Watcher, query: Query, after: After | None, wait_s: float
    ) -> AsyncGenerator[tuple[RowChanges[Any], WatchToken], None]:
        """All rows, in pages; the token is that of the first page, whose rows are the oldest."""
        token: WatchToken | None = None
        cursor = None
        while token is None or cursor is not None:
            page = await self._queries.page(watcher.projection, query, cursor, after if token is None else None, wait_s)
            begins, cursor = token is None, page.following
            token = token or WatchToken.at(page.checkpoints)
            rows = watcher.shows(page, begins=begins)
            yield RowChanges(rows, None if cursor else str(token), begins, len(page.parked)), token


class _Watcher:
    """One consumer: which rows it was shown, and what waits for it."""

    def __init__(self, projection: Projection[Any], conditions: Sequence[Condition]) -> None:
        self.projection, self._conditions = projection, conditions
        places = {column.name: place for place, column in enumerate(projection.table.columns)}
        self._tests = [(places[condition.column], condition.holds) for condition in conditions]
        fixed = {one.column: one.value for one in conditions if one.operator == "eq"}
        names = projection.table.key
        self._key = tuple([fixed[name] for name in names]) if fixed.keys() >= set(names) else None
        self._shown: set[Key] | None = None
        """With conditions, the keys of the rows that its client knows; None if it resumed, so that they are unknown."""
        self._news = asyncio.Event()
        self._parked = -1
        self._error: TwofoldError | None = None
        self._begin()

    def _begin(self) -> None:
        self._again = False
        self._pending: dict[Key, Values | None] = {}
        self._bytes = 0
        self._token: WatchToken | None = None

    @property
    def key(self) -> Key | None:
        """See `rounds.Watcher`."""
        return self._key

    async def joins(self, rounds: Rounds, since: WatchToken) -> bool:
        """Follow the rounds after a token. False if that takes a new snapshot."""
        await rounds.leave(self)
        self._begin()
        return await rounds.join(self, since) and not self._again

    def shows(self, page: StoredPage, *, begins: bool) -> dict[Any, Any]:
        """The rows of a page of a snapshot, by key."""
        if begins or self._shown is None:
            self._shown = set()
        rows = {self.projection.key_in(values): values for values in page.rows}
        if self._conditions:
            self._shown.update(rows)
        self._parked = len(page.parked)
        return self._objects(rows)

    def take(self, round: Round) -> None:
        """See `rounds.Watcher`."""
        if self._again:
            return
        self._token = round.token
        concerned = round.rows if self._key is None else {self._key} & round.rows.keys()
        for key in concerned:
            self._merge(key, round.rows[key], round.sizes[key])
        if self._bytes > PENDING_BYTES:
            self.begin_again()
        if self._pending or round.parked != self._parked:
            self._news.set()
        self._parked = round.parked

    def _merge(self, key: Key, values: Values | None, size: int) -> None:
        known = not self._conditions or self._shown is None or key in self._shown
        if values is not None and all(holds(values[place]) for place, holds in self._tests):
            self._pending[key] = values
        elif self._conditions and self._shown is None:
            self.begin_again()  # the client may know this row, which no longer matches
        elif known:
            self._pending[key] = None
        else:
            self._pending.pop(key, None)
        self._bytes += size

    def begin_again(self) -> None:
        """See `rounds.Watcher`."""
        self._begin()
        self._again = True
        self._news.set()

    def fail(self, error: TwofoldError) -> None:
        """See `rounds.Watcher`."""
        self._error = error
        self._news.set()

    async def changes(self) -> AsyncGenerator[RowChanges[Any], None]:
        """What waits, whenever something does, until a new snapshot is needed. Raises: Closed, LogReplaced."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._error is not None:
                raise self._error
            if self._again:
                return
            pending, self._pending, self._bytes = self._pending, {}, 0
            if self._conditions and self._shown is not None:
                self._shown.update(key for key, values in pending.items() if values is not None)
                self._shown.difference_update(key for key, values in pending.items() if values is None)
            yield RowChanges(self._objects(pending), str(self._token), False, self._parked)

    def _objects(self, rows: Mapping[Key, Values | None]) -> dict[Any, Any]:
        objects: dict[Any, Any] = {}
        for key, values in rows.items():
            try:
                objects[self._named(key)] = None if values is None else row_of(self.projection, values)
            except RowUnreadable as error:
                log.error("%s", error)
        return objects

    def _named(self, key: Key) -> Any:
        return key[0] if len(key) == 1 else key
