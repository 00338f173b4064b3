"""A cache of pieces of the merged feed that readers in this process have just read, or will read next."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

import msgspec

from twofold.backends.partitioned.order import end_of, place
from twofold.feed.feed import FeedPage
from twofold.messages import Entry, Position

PAGE_BYTES = 8 * 1024 * 1024
MOST_RUNS = 32
MOST_BYTES = 32 * 1024 * 1024


class Run(msgspec.Struct, frozen=True):
    """The events of the cuts `first` to `last`, complete and in order."""

    first: int
    last: int
    entries: Sequence[Entry]
    size: int

    @staticmethod
    def of(first: int, last: int, entries: Sequence[Entry]) -> Run:
        """A run with its size, in bytes of data."""
        return Run(first, last, entries, sum(len(entry.data) for entry in entries))

    def page(self, after: Position, limit: int, until: Position | None) -> FeedPage:
        """At most `limit` events after a position; `more` says whether this run has more of them, up to `until`."""
        entries = self.entries
        begin = _index_behind(entries, after)
        end = len(entries) if until is None else _index_behind(entries, until)
        stop = self._stop(begin, min(begin + limit, end))
        return FeedPage(entries[begin:stop], self._upto(stop, after, until), more=stop < end)

    def _stop(self, begin: int, stop: int) -> int:
        if self.size < PAGE_BYTES:
            return stop
        size = 0
        for index in range(begin, stop):
            size += len(self.entries[index].data)
            if size >= PAGE_BYTES:
                return index + 1
        return stop

    def _upto(self, stop: int, after: Position, until: Position | None) -> Position:
        """The position of the last event before `stop`, or the end of its cut if it was the last one there."""
        entries = self.entries
        following = place(entries[stop].position)[0] if stop < len(entries) else self.last + 1
        upto = max(after, end_of(following - 1))
        if stop and entries[stop - 1].position > upto:
            upto = entries[stop - 1].position
        return upto if until is None else min(upto, until)


class Runs:
    """The most recent runs, bounded in number and bytes."""

    def __init__(self) -> None:
        self._runs: deque[Run] = deque()
        self._size = 0

    def holding(self, cut: int) -> Run | None:
        """The run that contains this cut, if any."""
        return next((run for run in self._runs if run.first <= cut <= run.last), None)

    def keep(self, run: Run) -> None:
        """Add a run, and drop the oldest while there are too many, or too many bytes."""
        self._runs.appendleft(run)
        self._size += run.size
        while len(self._runs) > MOST_RUNS or (self._size > MOST_BYTES and len(self._runs) > 1):
            self._size -= self._runs.pop().size


def _index_behind(entries: Sequence[Entry], position: Position) -> int:
    return bisect_right(entries, position.offset, key=lambda entry: entry.position.offset)
