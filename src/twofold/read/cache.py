"""What the holder of a checkpoint knows of its rows: nobody else writes them, so they need not be read again."""

from __future__ import annotations

from collections.abc import Mapping
from sys import getsizeof

from twofold.read.columns import Values
from twofold.read.evicted import Evicted
from twofold.read.projection import Key

CACHE_BYTES = 16 * 1024 * 1024
ALL_CACHES_BYTES = 64 * 1024 * 1024


def cache_bytes(projections: int) -> int:
    """How much each of so many projections of a process may keep: together they keep no more than 64 MB."""
    return min(CACHE_BYTES, ALL_CACHES_BYTES // max(1, projections))


class RowCache:
    """Rows as they will be when everything that was folded is committed; None where there is no row.

    With `complete` it begins as all there is to know, which is so before the first event; a key that it neither holds
    nor has let go has no row then. `shrink` holds it to about `limit` bytes and may only be called when everything is
    committed: what it lets go is read from the store again.

    It has two halves. Rows that change go into the newer one; when that is full, the older one is let go as a whole,
    and the newer one takes its place. So nothing is kept in order, and what changes often stays.
    """

    def __init__(self, *, complete: bool, limit: int = CACHE_BYTES) -> None:
        self._evicted = Evicted(most_bytes=limit) if complete else None
        self._limit = limit
        self._newer: dict[Key, Values | None] = {}
        self._older: dict[Key, Values | None] = {}
        self._bytes = self._older_bytes = 0  # of the newer half, and of the older one

    def is_unknown(self, key: Key) -> bool:
        """Whether the row must be read from the store."""
        if key in self._newer or key in self._older:
            return False
        return self._evicted is None or key in self._evicted

    def get(self, key: Key) -> Values | None:
        """A row that is not unknown."""
        return self._newer[key] if key in self._newer else self._older.get(key)

    def keep(self, rows: Mapping[Key, Values | None]) -> None:
        """These rows were folded; they are now the newest."""
        for key, values in rows.items():
            if key in self._newer:
                self._bytes -= _size(key, self._newer[key])
            self._newer[key] = values
            self._bytes += _size(key, values)

    def shrink(self) -> None:
        """Let go of rows that have not been changed for long, if there are too many."""
        if self._bytes > self._limit // 2:
            self._let_the_older_go()
            self._older, self._older_bytes = self._newer, self._bytes
            self._newer, self._bytes = {}, 0
        if self._older_bytes + self._bytes > self._limit:  # a page of large rows
            self._let_the_older_go()

    def _let_the_older_go(self) -> None:
        for key, values in self._older.items():
            if self._evicted is None:
                break
            if values is not None and key not in self._newer:  # of a row that was deleted there is nothing to read
                self._evicted.add(key)
                if self._evicted.full:
                    self._evicted = None
        self._older, self._older_bytes = {}, 0


def _size(key: Key, values: Values | None) -> int:
    return getsizeof(key) + sum(map(getsizeof, values or ())) + 250  # with its share of the dict
