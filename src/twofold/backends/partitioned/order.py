"""The one order over all partitions: pure.

A cut is a vector: for each partition the offset up to which its events belong to this cut or an earlier one. The
merged feed is cut 1, cut 2, …; within a cut the events are ordered by time, then partition, then position. The time of
an event here is the latest stored time in its partition since the start of the cut, so that a clock that goes back
never reverses the order within a partition.

A merged position is (cut, index): event number `index` of the cut. After its last event the position is `end_of(cut)`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate

from twofold.feed.feed import FeedPage
from twofold.messages import BEGINNING, Entry, Position

MOST_IN_CUT = 1_024  # events of one partition
MOST_PARTS = 1_000  # so that an index is always below LAST

_BITS = 24
LAST = (1 << _BITS) - 1
_EARLIEST = datetime.min.replace(tzinfo=UTC)

Vector = tuple[int, ...]


def end_of(cut: int) -> Position:
    """The position after the last event of a cut. Cut 0 ends before the first event."""
    return Position(0, cut << _BITS | LAST) if cut else BEGINNING


def place(position: Position) -> tuple[int, int]:
    """Cut and index."""
    return position.offset >> _BITS, position.offset & LAST


def cut_behind(position: Position) -> int:
    """The cut that contains the next event."""
    cut, index = place(position)
    return cut + 1 if index == LAST or cut == 0 else cut


def before(position: Position) -> Position:
    """The position directly before an event."""
    cut, index = place(position)
    return Position(0, position.offset - 1) if index > 1 else end_of(max(0, cut - 1))


def next_cut(vector: Vector, pages: Sequence[FeedPage]) -> Vector:
    """The cut after `vector`, given for each partition the page of events after it.

    If a partition has more events than its page, events of the others may come after the missing ones. The cut then
    ends at the same time in all partitions: the earliest end of such a page.
    """
    times = [list(_times(page.entries)) for page in pages]
    ends = [
        times_of_page[-1] if times_of_page else _EARLIEST
        for times_of_page, page in zip(times, pages, strict=True)
        if page.more
    ]
    end = min(ends, default=None)
    return tuple(map(_upto, vector, pages, times, [end] * len(vector)))


def _upto(after: int, page: FeedPage, times: Sequence[datetime], end: datetime | None) -> int:
    if end is None or not times or times[-1] <= end:
        return page.upto.offset
    taken = bisect_right(times, end)
    return page.entries[taken - 1].position.offset if taken else after


def in_order(first: int, vectors: Sequence[Vector], parts: Sequence[Sequence[Entry]]) -> list[Entry]:
    """The events of the cuts from number `first` on, with their merged positions.

    `vectors` holds the vector of the cut before them, then one for each of these cuts. `parts` holds the events of each
    partition after the first vector; events beyond the last one are left out.
    """
    merged: list[Entry] = []
    at = [0] * len(parts)
    for cut, vector in enumerate(vectors[1:], first):
        ends = [_behind(entries, upto) for entries, upto in zip(parts, vector, strict=True)]
        slices = [entries[begin:end] for entries, begin, end in zip(parts, at, ends, strict=True) if begin < end]
        merged += _one_cut(cut, slices)
        at = ends
    return merged


def _one_cut(cut: int, parts: Sequence[Sequence[Entry]]) -> list[Entry]:
    entries = [entry for part in parts for entry in part]
    if len(parts) > 1:  # a stable sort: events of one time stay ordered by partition, then position
        times = [time for part in parts for time in _times(part)]
        entries = [entries[index] for index in sorted(range(len(entries)), key=times.__getitem__)]
    base = cut << _BITS
    return [
        Entry(Position(0, offset), e.stream, e.version, e.type, e.schema, e.data, e.meta, e.recorded_at)
        for offset, e in enumerate(entries, base + 1)
    ]


def _times(entries: Sequence[Entry]) -> accumulate[datetime]:
    """Each event's time for ordering: the latest so far."""
    return accumulate((entry.recorded_at for entry in entries), max)


def _behind(entries: Sequence[Entry], upto: int) -> int:
    return bisect_right(entries, upto, key=_offset)


def _offset(entry: Entry) -> int:
    return entry.position.offset


def offset_behind(entries: Sequence[Entry], position: Position) -> int:
    """The index of the first entry beyond a position."""
    return _behind(entries, position.offset)
