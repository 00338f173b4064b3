"""Rows that the holder of a checkpoint knows: only the holder writes them, so they need not be read again."""

from __future__ import annotations

from collections.abc import Mapping
from sys import getsizeof

from twofold.read.columns import Values
from twofold.read.evicted import Evicted
from twofold.read.projection import Key

CACHE_BYTES = 16 * 1024 * 1024
ALL_CACHES_BYTES = 64 * 1024 * 1024


def cache_bytes(projections: int) -> int:
    """How much each of a process's projections may cache: together at most 64 MB."""
    return min(CACHE_BYTES, ALL_CACHES_BYTES // max(1, projections))


class RowCache:
    """Rows as they will be when everything that was folded is committed; None if there is no row.

    With `complete` it knows all rows at first, as is the case before the first event: a key that is neither cached nor
    was evicted has no row. `shrink` limits it to about `limit` bytes and may only be called when everything is
    committed, since evicted rows are read from the store again.

    It has two halves. Changed rows go into the newer one; when that is full, the older one is evicted as a whole, and
    the newer one becomes the older. So no order is maintained, and rows that change often stay.
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
        """The row, or None if there is none. Only for keys that are not unknown."""
        return self._newer[key] if key in self._newer else self._older.get(key)

    def keep(self, rows: Mapping[Key, Values | None]) -> None:
        """Store folded rows as the newest."""
        for key, values in rows.items():
            if key in self._newer:
                self._bytes -= _size(key, self._newer[key])
            self._newer[key] = values
            self._bytes += _size(key, values)

    def shrink(self) -> None:
        """Evict rows that have not changed for long, if there are too many."""
        if self._bytes > self._limit // 2:
            self._evict_older()
            self._older, self._older_bytes = self._newer, self._bytes
            self._newer, self._bytes = {}, 0
        if self._older_bytes + self._bytes > self._limit:  # a page of large rows
            self._evict_older()

    def _evict_older(self) -> None:
        for key, values in self._older.items():
            if self._evicted is None:
                break
            if values is not None and key not in self._newer:  # a deleted row need not be read again
                self._evicted.add(key)
                if self._evicted.full:
                    self._evicted = None
        self._older, self._older_bytes = {}, 0


def _size(key: Key, values: Values | None) -> int:
    return getsizeof(key) + sum(map(getsizeof, values or ())) + 250  # with its share of the dict
