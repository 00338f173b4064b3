"""What the holder of a checkpoint knows of its rows: nobody else writes them, so they need not be read again."""

from __future__ import annotations

from collections.abc import Mapping
from sys import getsizeof

from twofold.read.columns import Values
from twofold.read.projection import Key

CACHE_BYTES = 16 * 1024 * 1024


class RowCache:
    """Rows as they will be when everything that was folded is committed; None where there is no row.

    With `complete` it begins as all there is to know, which is so before the first event. `shrink` holds it to about
    `limit` bytes and may only be called when everything is committed: what it lets go is read from the store again.
    """

    def __init__(self, *, complete: bool, limit: int = CACHE_BYTES) -> None:
        self.complete, self._limit = complete, limit
        self._rows: dict[Key, Values | None] = {}
        self._bytes = 0

    def is_unknown(self, key: Key) -> bool:
        """Whether the row must be read from the store."""
        return not self.complete and key not in self._rows

    def get(self, key: Key) -> Values | None:
        """A row that is not unknown."""
        return self._rows.get(key)

    def keep(self, rows: Mapping[Key, Values | None]) -> None:
        """These rows were folded; they are now the newest."""
        for key, values in rows.items():
            if key in self._rows:
                self._bytes -= _size(key, self._rows.pop(key))
            self._rows[key] = values
            self._bytes += _size(key, values)

    def shrink(self) -> None:
        """Let go of the rows that have not been changed for longest, as far as there are too many."""
        while self._bytes > self._limit:
            key = next(iter(self._rows))
            self._bytes -= _size(key, self._rows.pop(key))
            self.complete = False


def _size(key: Key, values: Values | None) -> int:
    return getsizeof(key) + sum(map(getsizeof, values or ())) + 250  # with its share of the dict
