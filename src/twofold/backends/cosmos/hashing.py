"""Where the service puts a partition key: pure. The SDK has the same, in classes for integers that are slow."""

from __future__ import annotations

import struct
from functools import lru_cache

MOST_REMEMBERED = 65_536

_MASK = (1 << 64) - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F


@lru_cache(maxsize=MOST_REMEMBERED)
def place_of(key: str) -> str:
    """The effective partition key of a string, version 2: what the bounds of feed ranges are compared with."""
    first, second = murmur_128(b"\x08" + key.encode() + b"\xff")
    return f"{second & 0x3FFFFFFFFFFFFFFF:016X}{first:016X}"  # the two highest bits stay free for the end, FF


def murmur_128(data: bytes) -> tuple[int, int]:
    """MurmurHash3, x64, 128 bits, with seed 0."""
    first = second = 0
    whole = len(data) & ~15
    for one, two in struct.iter_unpack("<QQ", data[:whole]):
        first ^= _scrambled(one, _C1, 31, _C2)
        first = ((_turned(first, 27) + second) * 5 + 0x52DCE729) & _MASK
        second ^= _scrambled(two, _C2, 33, _C1)
        second = ((_turned(second, 31) + first) * 5 + 0x38495AB5) & _MASK
    one, two = struct.unpack("<QQ", data[whole:].ljust(16, b"\0"))
    first ^= _scrambled(one, _C1, 31, _C2) ^ len(data)
    second ^= _scrambled(two, _C2, 33, _C1) ^ len(data)
    first = (first + second) & _MASK
    second = (second + first) & _MASK
    first, second = _mixed(first), _mixed(second)
    first = (first + second) & _MASK
    return first, (second + first) & _MASK


def _scrambled(value: int, by: int, bits: int, and_by: int) -> int:
    return _turned(value * by & _MASK, bits) * and_by & _MASK


def _turned(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


def _mixed(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ value >> 33
