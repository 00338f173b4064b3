"""Which keys were evicted from a cache, in about 12 bits each: a Bloom filter that grows."""

from __future__ import annotations

from twofold.read.projection import Key

BITS_PER_KEY = 12
PROBES = 4  # with 12 bits for each key, fewer than 1 % of other keys are false positives
FIRST_BYTES = 64 * 1024
LARGE_FIRST_BYTES = 1024 * 1024  # where there is room: each further filter costs every lookup as much again


class Evicted:
    """A set of keys without false negatives, and with few false positives.

    When a filter is full another one of twice its size is added, as long as all of them take no more than
    `most_bytes`. The hashes are Python's own, so an instance is valid only in its process.
    """

    def __init__(self, most_bytes: int) -> None:
        self._filters: list[bytearray] = []
        self._room, self._most_bytes = 0, most_bytes
        self._next_bytes = LARGE_FIRST_BYTES if most_bytes >= 4 * LARGE_FIRST_BYTES else FIRST_BYTES

    @property
    def full(self) -> bool:
        """Whether the filter is full: no more keys may be added."""
        return self._room == 0 and sum(map(len, self._filters)) + self._next_bytes > self._most_bytes

    def add(self, key: Key) -> None:
        """Remember a key."""
        if self._room == 0:
            self._filters.append(bytearray(self._next_bytes))
            self._room = self._next_bytes * 8 // BITS_PER_KEY
            self._next_bytes *= 2
        self._room -= 1
        bits = self._filters[-1]
        last = len(bits) * 8 - 1
        place, step = _hashes(key)
        for _ in range(PROBES):
            place &= last
            bits[place >> 3] |= 1 << (place & 7)
            place += step

    def __contains__(self, key: Key) -> bool:
        """False if the key was certainly not added."""
        return bool(self._filters) and any(_holds(bits, key) for bits in self._filters)


def _holds(bits: bytearray, key: Key) -> bool:
    last = len(bits) * 8 - 1
    place, step = _hashes(key)
    for _ in range(PROBES):
        place &= last
        if not bits[place >> 3] & 1 << (place & 7):
            return False
        place += step
    return True


def _hashes(key: Key) -> tuple[int, int]:
    """The place of the first probe, and the distance between probes."""
    hashed = hash(key) & 0xFFFF_FFFF_FFFF_FFFF
    return hashed, hashed >> 32 | 1
