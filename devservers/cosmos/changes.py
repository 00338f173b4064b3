"""The change feed, in its latest-version mode: the newest version of each document, in order of LSN within a range."""

from __future__ import annotations

from dataclasses import dataclass

from devservers.cosmos.containers import Container
from devservers.cosmos.errors import Refused
from devservers.cosmos.ranges import END, FIRST, Range
from devservers.cosmos.storage import Storage

LONGEST_PAGE_BYTES = 4 * 1024 * 1024
USUAL_PAGE = 100
NOW = "*"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for changes: those of places from `low` before `high`, after an LSN, changed at `since` or later.

    `of_key`: `low` is the place of one key, and no other is asked for.
    """

    range: Range
    after: int
    low: str = FIRST
    high: str = END
    since: int = 0
    most: int = USUAL_PAGE
    of_key: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Documents with their LSN in them, and up to which LSN the reader has now seen everything."""

    documents: list[tuple[int, bytes]]
    until: int


def changes(storage: Storage, container: Container, ask: Ask) -> Page:
    """The next changes. What has one LSN is never divided: a page is longer than asked for rather than that."""
    documents, size, last = list[tuple[int, bytes]](), 0, ask.after
    if ask.of_key:
        rows = storage.rows("changes_of_key", container.number, ask.low, ask.after, ask.since)
    else:
        rows = storage.rows("changes", container.number, ask.range.number, ask.after, ask.low, ask.high, ask.since)
    for lsn, body in rows:
        if lsn > ask.range.lsn:  # it is not in this replica yet
            break
        full = len(documents) >= ask.most or size >= LONGEST_PAGE_BYTES
        if full and lsn != last:
            rows.close()
            return Page(documents, last)
        documents.append((lsn, body[:-1] + b',"_lsn":%d}' % lsn))
        size, last = size + len(body), lsn
    return Page(documents, max(ask.range.lsn, ask.after))


def position(if_none_match: str | None, range: Range) -> int:
    """The LSN that a request continues after. Raises: Refused."""
    if if_none_match is None:
        return 0
    if if_none_match == NOW:
        return range.lsn
    text = if_none_match.strip('"')
    if not text.isdecimal():
        raise Refused(400, f'If-None-Match must be an LSN of this feed such as "12", or *, not {if_none_match}.')
    return int(text)
