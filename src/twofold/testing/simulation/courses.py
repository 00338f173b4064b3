"""What was appended to each partition, and the one order over all of them, computed without the engine."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from zlib import crc32

from msgspec.structs import replace

from twofold.feed.checkpoints import Checkpoint
from twofold.messages import Entry, Position

BITS = 24
END = (1 << BITS) - 1
STORED = -1  # among the lengths of the feeds: how many events a container had, also in ranges without a number


class Course:
    """The events of one feed in order, whatever happens to the log."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._offsets: list[int] = []

    def add(self, entries: Iterable[Entry]) -> None:
        """The next ones."""
        self.entries += entries
        self._offsets += [entry.position.offset for entry in self.entries[len(self._offsets) :]]

    def index(self, position: Position) -> int:
        """The number of events at or before a position."""
        return bisect_right(self._offsets, position.offset)

    def between(self, after: int, upto: int) -> Sequence[Entry]:
        """The events between two offsets, `after` exclusive."""
        return self.entries[bisect_right(self._offsets, after) : bisect_right(self._offsets, upto)]


class Courses:
    """The courses of a log by partition number. With several partitions, 0 is the merged feed, which grows by cuts.

    `partitions` are those that have not split; a former one stays as it was.
    """

    def __init__(self, partitions: int) -> None:
        self.partitions: Sequence[int] = [0] if partitions == 1 else range(1, partitions + 1)
        self.parents: dict[int, int] = {}
        self.partition_of: Callable[[str], int] = self._by_number
        """The partition of the streams with this id."""
        self._of = {number: Course() for number in {0, *self.partitions}}
        self.vector: Sequence[int] = [0] * partitions
        self.cuts = 0
        self._stored: dict[tuple[str, int], int] = {}

    def __getitem__(self, partition: int) -> Course:
        return self._of[partition]

    @property
    def events(self) -> int:
        """The number of events in all partitions."""
        return sum(len(self._of[number].entries) for number in self.partitions)

    def lengths(self) -> Mapping[int, int]:
        """The current number of events of each feed."""
        return {STORED: len(self._stored), **{number: len(course.entries) for number, course in self._of.items()}}

    def stored(self, stream: str, version: int, events: int) -> None:
        """A container has stored the newest events of a stream. Their range may have no number yet."""
        for one in range(version - events + 1, version + 1):
            self._stored[stream, one] = len(self._stored)

    def _by_number(self, id: str) -> int:
        return crc32(id.encode()) % len(self.partitions) + 1 if len(self.partitions) > 1 else 0

    # ---- splits

    def split(self, number: int, parent: int) -> None:
        """A part of a partition has been numbered."""
        self.parents[number] = parent
        self._of[number] = Course()
        self.partitions = sorted({*self.partitions, number} - {parent})

    def lineage(self, number: int) -> Iterator[int]:
        """A partition, and those that it was split from."""
        at: int | None = number
        while at is not None:
            yield at
            at = self.parents.get(at)

    def same(self, one: Position, other: Position) -> bool:
        """Whether two positions are of one event, seen in a partition and in one that it was split from."""
        numbers = one.partition, other.partition
        kin = numbers[0] in self.lineage(numbers[1]) or numbers[1] in self.lineage(numbers[0])
        return kin and one.offset == other.offset

    def length_then(self, number: int, lengths: Mapping[int, int]) -> int:
        """The number of events of a feed when the feeds had these lengths, even if it did not exist then."""
        if number in lengths:
            return lengths[number]
        entries = self._of[number].entries
        return sum(self._stored[entry.stream, entry.version] < lengths[STORED] for entry in entries)

    # ---- the merged feed

    def take_cut(self, data: str | bytes, heads: Mapping[int, Position]) -> Sequence[Entry] | None:
        """The next cut's events in the merged order; None if some do not exist, or it ends before the last cut."""
        vector: Sequence[int] = json.loads(data)
        before = list(self.vector)
        for number in range(len(before) + 1, len(vector) + 1):
            before.append(before[self.parents[number] - 1])  # it begins where its parent ended
        if any(not begin <= at <= heads[n].offset for n, (begin, at) in enumerate(zip(before, vector, strict=True), 1)):
            return None
        self.cuts += 1
        timed = []
        for number, (begin, at) in enumerate(zip(before, vector, strict=True), 1):
            own = self._of[number].between(begin, at)
            times = accumulate((entry.recorded_at for entry in own), max)
            timed += [(time, number, entry.position.offset, entry) for time, entry in zip(times, own, strict=True)]
        timed.sort(key=lambda one: one[:3])
        self.vector = vector
        first = (self.cuts << BITS) + 1
        return [replace(one[3], position=Position(0, offset)) for offset, one in enumerate(timed, first)]

    def reached(self, checkpoints: Iterable[Checkpoint]) -> Mapping[int, int]:
        """How many events of each partition a follower with these checkpoints has handled."""
        found = dict.fromkeys(self.partitions, 0)
        for one in checkpoints:
            partition, course = one.follower.partition, self._of[one.follower.partition]
            if partition == 0 and 0 not in found:
                for entry in course.entries[: course.index(one.position)]:
                    found[self.partition_of(entry.stream.partition("-")[2])] += 1
            for number in found:
                if partition in self.lineage(number):
                    found[number] = self._of[number].index(one.position)
        return found

    def merged(self, entry: Entry) -> Entry | None:
        """The same event in the merged feed; None if no cut has it yet."""
        of = (entry.stream, entry.version)
        return next((one for one in self._of[0].entries if (one.stream, one.version) == of), None)
