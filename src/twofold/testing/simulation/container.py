"""A log in feed ranges that split, as a service keeps it: what all processes of a history share.

The service knows ranges and hashes; the numbers of partitions are in the registry, which the processes write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import json, to_builtins
from msgspec.structs import replace

from twofold.ambient import Ambient
from twofold.backends.cosmos import layout, places
from twofold.backends.cosmos.changes import EMPTY, Changes
from twofold.backends.cosmos.hashing import place_of
from twofold.backends.cosmos.layout import Document, Tip
from twofold.backends.cosmos.ranges import Physical
from twofold.backends.cosmos.refusals import Conflict, RangeGone
from twofold.backends.memory import MemoryLog
from twofold.backends.memory.inspection import LogInspection
from twofold.errors import TwofoldError
from twofold.messages import Append, Entry, Position, Receipt
from twofold.testing.simulation.remote import Remote, at_once

RID = "simulated"
MOST_IN_PAGE = 9
TWICE = 0.1  # of the pages

_FIRST, _END, _HASHES = "", "FF", 0x40 << 120


class Streams:
    """The streams of one id, in the order of their commits. `offsets` are their places in the feed."""

    def __init__(self, log: MemoryLog) -> None:
        self.log, self.inside = log, LogInspection(log)
        self.offsets: list[int] = []

    def offset(self, position: Position) -> int:
        """The place in the feed of an event that the log here has at this position."""
        return self.offsets[position.offset - 1] if position.offset else 0


class Range:
    """A feed range with its documents, by their LSNs. One that has split stays as it was."""

    def __init__(self, physical: Physical, link: Remote) -> None:
        self.physical, self.link = physical, link
        self.lsn = 0
        self.documents: list[tuple[int, Document]] = []
        self.events: list[tuple[int, Entry]] = []  # with their offsets

    def holds(self, hash_: str) -> bool:
        """Whether the streams with this hash lie here."""
        return self.physical.begin <= hash_ < self.physical.end

    def part(self, begin: str, end: str, id: str) -> Range:
        """A range of some of its hashes, with what it has of them. New documents get higher LSNs than all it has."""
        part = Range(Physical(begin, end, id), self.link)
        part.lsn = self.lsn
        part.documents = [(lsn, one) for lsn, one in self.documents if part.holds(place_of(one["key"]))]
        part.events = [(at, one) for at, one in self.events if part.holds(place_of(one.stream.partition("-")[2]))]
        return part


class Numbered:
    """A partition: the range that has its number (see `parts.Part`)."""

    def __init__(self, number: int, range: Range) -> None:
        self.number, self.range = number, range
        self._entries: list[Entry] = []

    @property
    def link(self) -> Remote:
        """The network in front of it."""
        return self.range.link

    @property
    def head(self) -> Position:
        """The end of its newest LSN."""
        return Position(self.number, places.end(self.range.lsn))

    @property
    def entries(self) -> Sequence[Entry]:
        """All its events."""
        for offset, entry in self.range.events[len(self._entries) :]:
            self._entries.append(replace(entry, position=Position(self.number, offset)))
        return self._entries


class Container:
    """The ranges of a log, the streams in them, and its registry. `draw` decides what a page holds.

    `learned` gets each partition that is new in the registry, and its parent.
    """

    def __init__(
        self,
        ambient: Ambient,
        links: Sequence[Remote],
        draw: Callable[[], float],
        log_id: str,
        learned: Callable[[Numbered, int], None],
    ) -> None:
        self._ambient, self._draw, self._learned = ambient, draw, learned
        self._of_id: dict[str, Streams] = {}
        bounds = [_FIRST, *(f"{_HASHES * n // len(links):032X}" for n in range(1, len(links))), _END]
        self.ranges = [Range(Physical(bounds[n], bounds[n + 1], str(n)), link) for n, link in enumerate(links)]
        self._ever = {one.physical.id: one for one in self.ranges}
        self.numbered = {number: Numbered(number, range_) for number, range_ in enumerate(self.ranges, 1)}
        known = [{"number": number, "range": to_builtins(one.range.physical)} for number, one in self.numbered.items()]
        self.registry: Document = {"log_id": log_id, "rid": RID, "ranges": known, "_etag": "0"}

    def partition_of(self, id: str) -> int:
        """The newest partition that the registry has for the streams with this id."""
        hash_ = place_of(id)
        return max(number for number, one in self.numbered.items() if one.range.holds(hash_))

    def register(self, registry: Document, etag: str) -> None:
        """Replace the registry. Raises: Conflict."""
        if etag != self.registry["_etag"]:
            raise Conflict("the registry has changed")
        self.registry = {**registry, "_etag": str(int(etag) + 1)}
        for one in registry["ranges"][len(self.numbered) :]:
            part = Numbered(one["number"], self._ever[one["range"]["id"]])
            self.numbered[part.number] = part
            self._learned(part, one["parent"])

    def part_of(self, range: Range) -> Numbered | None:
        """The partition that is this range; None if it has no number yet."""
        return next((part for part in self.numbered.values() if part.range is range), None)

    def link_of(self, physical: Physical) -> Remote:
        """The network in front of a range, even if it has split."""
        return self._ever[physical.id].link

    @property
    def is_numbered(self) -> bool:
        """Whether the registry has all ranges."""
        return all(self.part_of(one) is not None for one in self.ranges)

    def streams(self, id: str) -> Streams:
        """Those with this id."""
        if id not in self._of_id:
            self._of_id[id] = Streams(MemoryLog(self._ambient))
        return self._of_id[id]

    @property
    def names(self) -> Sequence[str]:
        """The names of all streams."""
        return [name for streams in self._of_id.values() for name in streams.inside.streams]

    def holding(self, id: str) -> Range:
        """The range in which the streams with this id lie now."""
        hash_ = place_of(id)
        return next(one for one in self.ranges if one.holds(hash_))

    def commit(self, append: Append) -> tuple[Receipt | TwofoldError, Range]:
        """Store an append, at the next LSN of its range."""
        range_, streams = self.holding(append.stream.id), self.streams(append.stream.id)
        known = len(streams.offsets)
        [outcome] = at_once(streams.log.commit([append]))
        if isinstance(outcome, Receipt) and not outcome.repeated:
            range_.lsn += 1
            new = streams.inside.entries[known:]
            streams.offsets += [places.offset(range_.lsn, index) for index, _ in enumerate(new, 1)]
            range_.events += zip(streams.offsets[known:], new, strict=True)
            range_.documents += [(range_.lsn, one) for one in _documents(append, new, outcome.version)]
        return outcome, range_

    def changes(self, of: Physical, after: int, limit: int) -> Changes:
        """A page of a range: some commits, in order but for the documents of one LSN. It may come a second time.

        Raises: RangeGone.
        """
        range_ = next((one for one in self.ranges if one.physical.id == of.id), None)
        if range_ is None:
            raise RangeGone(f"feed range {of.id} has split")
        later = [(lsn, document) for lsn, document in range_.documents if lsn > after]
        lsns = sorted({lsn for lsn, _ in later})[: min(limit, 1 + int(self._draw() * MOST_IN_PAGE))]
        if not lsns:
            return Changes(EMPTY, range_.lsn, range_.lsn)
        found = [(lsn, self._draw(), {**one, "_lsn": lsn}) for lsn, one in later if lsn <= lsns[-1]]
        documents = [one for *_, one in sorted(found, key=lambda of_one: of_one[:2])]
        upto = after if self._draw() < TWICE else lsns[-1]
        return Changes(json.encode({"Documents": documents}), upto, range_.lsn)

    def split(self, pick: float) -> Range:
        """Split a range, between two of its ids if it has as many. Returns the former one."""
        range_ = self.ranges.pop(int(pick * len(self.ranges)))
        begin, end = range_.physical.begin, range_.physical.end
        hashes = sorted(hash_ for hash_ in map(place_of, self._of_id) if range_.holds(hash_))
        between = hashes[1:] or [f"{(_number(begin) + min(_number(end), _HASHES)) // 2:032X}"]
        middle = between[int(self._draw() * len(between))]
        for bounds in ((begin, middle), (middle, end)):
            part = range_.part(*bounds, str(len(self._ever)))
            self._ever[part.physical.id] = part
            self.ranges.append(part)
        return range_


def _documents(append: Append, new: Sequence[Entry], version: int) -> list[Document]:
    """The documents that an append writes."""
    tip = Tip(version - len(new))
    if not new:
        return [layout.receipt(append, tip)]
    return [layout.commit(append, tip, new[0].recorded_at), layout.head(append.stream, Tip(version))]


def _number(hash_: str) -> int:
    return int(hash_.ljust(32, "0"), 16)
