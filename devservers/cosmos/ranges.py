"""Ranges of places: how a container is divided, and divided again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FIRST, END = "", "FF"
PLACES = 1 << 126  # hashes of version 2 lie below this
DIGITS = 32


@dataclass(slots=True)
class Range:
    """The places from `low` on, before `high`. Its LSN is that of its newest change."""

    number: int
    low: str
    high: str
    parents: tuple[int, ...]
    lsn: int
    gone: bool = False

    @property
    def session(self) -> str:
        """The session token after its newest change."""
        return f"{self.number}:0#{self.lsn}"

    @property
    def width(self) -> int:
        """How many places it has."""
        return _number(self.high) - _number(self.low)

    @property
    def middle(self) -> str:
        """The place that halves it."""
        return _place((_number(self.low) + _number(self.high)) // 2)


def divided(count: int) -> list[tuple[str, str]]:
    """The bounds of `count` ranges of about the same size."""
    inner = [_place(PLACES * index // count) for index in range(1, count)]
    return list(zip([FIRST, *inner], [*inner, END], strict=True))


def holding(live: Sequence[Range], place: str) -> Range:
    """The range that a place is in."""
    return live[bisect_right(live, place, key=lambda one: one.low) - 1]


def in_order(ranges: Iterable[Range]) -> list[Range]:
    """Those that still exist, by their places."""
    return sorted((one for one in ranges if not one.gone), key=lambda one: one.low)


def _place(number: int) -> str:
    return f"{max(number - 1, 0):0{DIGITS}X}"


def _number(place: str) -> int:
    return PLACES if place == END else int(place.ljust(DIGITS, "0")[:DIGITS], 16)
