"""One watcher: which rows it was shown, what waits for it, and what it gets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import msgspec

from twofold.errors import RowUnreadable
from twofold.read.columns import Values
from twofold.read.projection import Key, Projection
from twofold.read.query import StoredPage, row_of
from twofold.read.room import Room, Waiting
from twofold.read.rounds import Rounds
from twofold.read.store import Condition
from twofold.read.watched import Round, WatchToken, view_of

R = TypeVar("R")

log = logging.getLogger("twofold.watch")


class RowChanges(msgspec.Struct, Generic[R], frozen=True):
    """Rows by key, a tuple if it has several fields; None for a row that is gone.

    With `snapshot` they replace everything before them, otherwise they are merged into it. `token` resumes from here;
    it is None while more pages of a snapshot follow. `parked` counts the parked rows of the whole read model, and those
    of these rows that could not be read: they are left out, or reported as gone.
    """

    rows: Mapping[Any, R | None]
    token: str | None
    snapshot: bool
    parked: int


class OneWatcher:
    """One consumer: which rows it was shown, and what waits for it."""

    def __init__(self, projection: Projection[Any], conditions: Sequence[Condition], room: Room) -> None:
        self.projection, self.room = projection, room
        self._waiting = Waiting(room)
        names, columns = projection.table.key, [column.name for column in projection.table.columns]
        self._tests = [(columns.index(one.column), one.holds) for one in conditions]
        self._of_key = [(names.index(one.column), one.holds) for one in conditions if one.column in names]
        fixed = {one.column: one.value for one in conditions if one.operator == "eq"}
        self._key = tuple([fixed[name] for name in names]) if fixed.keys() >= set(names) else None
        self._view = view_of(projection.name, conditions)
        self._shown: set[Key] | None = None
        """With conditions, the keys of the rows that its client knows; None if it resumed, so that they are unknown."""
        self.told: WatchToken | None = None
        """How far the client's view has come; None in the middle of a snapshot."""
        self.page_bytes = 0
        """About, of the last page of a snapshot."""
        self._news = asyncio.Event()
        self._parked = self._told_parked = -1
        self._error: Exception | None = None
        self._begin_rounds()

    def _begin_rounds(self) -> None:
        self._again = False
        self._waiting.clear()
        self._at: WatchToken | None = None

    @property
    def key(self) -> Key | None:
        """See `rounds.Watcher`."""
        return self._key

    async def resumes(self, rounds: Rounds, after: Any) -> WatchToken | None:
        """The token to resume from; None if that takes a snapshot. Raises: InvalidToken, LogReplaced, Unavailable."""
        since, view = WatchToken.parse(after)
        self.told = since if view == self._view and await rounds.is_near(since) else None
        return self.told

    def begin(self) -> None:
        """A snapshot begins."""
        self.told, self._shown = None, set()

    def shows(self, page: StoredPage, begins: bool, token: WatchToken | None) -> RowChanges[Any]:
        """A page of a snapshot; the last one has the token."""
        self.raise_if_failed()
        rows = {self.projection.key_in(values): values for values in page.rows}
        if self._tests and self._shown is not None:
            self._shown.update(rows)
        self.page_bytes = self._waiting.take_page(rows)
        self._parked = self._told_parked = len(page.parked)
        self.told = token
        objects, unreadable = self._objects(rows)
        for key in unreadable:
            del objects[key]
        return RowChanges(
            objects, None if token is None else token.text(self._view), begins, self._parked + len(unreadable)
        )

    async def follow(self, rounds: Rounds, since: WatchToken | None) -> AsyncGenerator[RowChanges[Any], None]:
        """What has changed since a token, then every round, until a new snapshot is needed. Raises: Closed, …"""
        self._begin_rounds()
        if since is None:
            return
        try:
            async with aclosing(rounds.missed(since)) as missed:
                async for changed in missed:
                    self.take(changed)
                    since = changed.token
                    del changed
                    if self._again:
                        return
                    if (changes := self._taken()) is not None:
                        yield changes
                    self._waiting.done()
                    del changes
            self.raise_if_failed()
            if await rounds.join(self, since):
                async with aclosing(self._rounds()) as joined:
                    async for changes in joined:
                        yield changes
                        del changes
        finally:
            self._waiting.clear()
            await rounds.leave(self)

    async def _rounds(self) -> AsyncGenerator[RowChanges[Any], None]:
        while True:
            await self._news.wait()
            self._news.clear()
            self.raise_if_failed()
            if self._again:
                return
            if (changes := self._taken()) is not None:
                yield changes
            self._waiting.done()
            del changes

    def took_page(self) -> None:
        """The client has taken what `shows` returned."""
        self._waiting.done()

    def take(self, round: Round) -> bool:
        """See `rounds.Watcher`."""
        if self._again:
            return False
        self._at, self._parked = round.token, round.parked
        before = self.room.bytes
        if self._key is None and not self._tests:
            if round.rows:
                self._waiting.put_round(round)
        else:
            self._take_some(round)
        if self.room.is_full and self._waiting and (before or len(round.rows) > 1):  # even a large row can be sent
            self.begin_again()
        if self._news.is_set() or not (self._waiting or self._parked != self._told_parked):
            return False
        self._news.set()
        return True

    def _take_some(self, round: Round) -> None:
        concerned = round.rows if self._key is None else [self._key] if self._key in round.rows else []
        for key in concerned:
            if all(holds(key[place]) for place, holds in self._of_key):
                self._merge(key, round.rows[key], round.sizes[key])

    def _merge(self, key: Key, values: Values | None, size: int) -> None:
        """Only the newest state of a row waits."""
        matches = values is not None and all(holds(values[place]) for place, holds in self._tests)
        if not matches and self._tests:
            if self._shown is None:
                self.begin_again()  # the client may know this row, which no longer matches
                return
            if key not in self._shown:
                self._waiting.drop(key)
                return
        self._waiting.put(key, values if matches else None, size)

    def begin_again(self) -> None:
        """See `rounds.Watcher`."""
        self._begin_rounds()
        self._again = True
        self._news.set()

    def fail(self, error: Exception) -> None:
        """See `rounds.Watcher`."""
        self._error = error
        self._news.set()

    def raise_if_failed(self) -> None:
        """Raises: what `fail` was called with."""
        if self._error is not None:
            raise self._error

    def _taken(self) -> RowChanges[Any] | None:
        """What waits; None if that is nothing, for example because a row came and went."""
        at, self.told = self._at, self._at
        if at is None or not (self._waiting or self._parked != self._told_parked):
            return None
        taken, self._told_parked = self._waiting.take(), self._parked
        if isinstance(taken, Round):
            return self._whole(taken, at)
        if self._tests and self._shown is not None:
            self._shown.update(key for key, values in taken.items() if values is not None)
            self._shown.difference_update(key for key, values in taken.items() if values is None)
        return self._changes(taken, at)

    def _whole(self, round: Round, at: WatchToken) -> RowChanges[Any]:
        """A round as it is for all watchers that read these rows in the same way, without conditions."""
        known = round.shown.get(self.projection)
        if known is None or known[0] != (at, self._parked):
            known = round.shown[self.projection] = (at, self._parked), self._changes(round.rows, at)
        changes: RowChanges[Any] = known[1]
        return changes

    def _changes(self, rows: Mapping[Key, Values | None], at: WatchToken) -> RowChanges[Any]:
        objects, unreadable = self._objects(rows)
        return RowChanges(objects, at.text(self._view), False, self._parked + len(unreadable))

    def _objects(self, rows: Mapping[Key, Values | None]) -> tuple[dict[Any, Any], list[Any]]:
        """The rows by key, and the keys of those that could not be read, which are None."""
        objects: dict[Any, Any] = {}
        unreadable = []
        for key, values in rows.items():
            name = key[0] if len(key) == 1 else key
            try:
                objects[name] = None if values is None else row_of(self.projection, values)
            except RowUnreadable as error:
                log.error("a row of %s cannot be read: %s", error.projection, error.error.partition(":")[0])
                objects[name] = None
                unreadable.append(name)
        return objects, unreadable
