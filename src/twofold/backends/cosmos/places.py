"""Positions in a feed range: the LSN of a commit and the number of the event in it, in one integer. Pure.

All documents of a transactional batch have one LSN, and a batch holds one commit, so this numbers the events of a range
in order of commit. `end(lsn)` is the place after everything that has this LSN, whether or not it is a commit.
"""

from __future__ import annotations

BITS = 14
MOST_EVENTS = (1 << BITS) - 2  # of one commit, so that no event is at `end`
_LAST = (1 << BITS) - 1


def offset(lsn: int, index: int) -> int:
    """Event number `index` (from 1) of the commit with this LSN."""
    return lsn << BITS | index


def end(lsn: int) -> int:
    """After everything with this LSN; 0, the beginning, if nothing has one yet."""
    return lsn << BITS | _LAST if lsn > 0 else 0


def before(offset: int) -> int:
    """Immediately before an event."""
    return offset - 1 if offset & _LAST != 1 else end((offset >> BITS) - 1)


def read_from(offset: int) -> int:
    """The LSN after which to read for the events beyond this place; those at or before it may come again."""
    lsn = offset >> BITS
    return lsn if offset & _LAST == _LAST or lsn == 0 else lsn - 1


def lsn_of(offset: int) -> int:
    """The LSN in a place."""
    return offset >> BITS
