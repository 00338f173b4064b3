"""What was appended to each partition, and the one order over all of them, computed without the engine."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from zlib import crc32

from msgspec.structs import replace

from twofold.feed.checkpoints import Checkpoint
from twofold.messages import Entry, Position

BITS = 24
END = (1 << BITS) - 1


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


class Courses:
    """The courses of a log by partition number. With several partitions, 0 is the merged feed, which grows by cuts."""

    def __init__(self, partitions: int) -> None:
        self.partitions: Sequence[int] = [0] if partitions == 1 else range(1, partitions + 1)
        self._of = {number: Course() for number in {0, *self.partitions}}
        self.vector: Sequence[int] = [0] * partitions
        self.cuts = 0

    def __getitem__(self, partition: int) -> Course:
        return self._of[partition]

    @property
    def events(self) -> int:
        """The number of events in all partitions."""
        return sum(len(self._of[number].entries) for number in self.partitions)

    def lengths(self) -> Mapping[int, int]:
        """The current number of events of each feed."""
        return {number: len(course.entries) for number, course in self._of.items()}

    def partition_of(self, id: str) -> int:
        """The partition of the streams with this id."""
        return crc32(id.encode()) % len(self.partitions) + 1 if len(self.partitions) > 1 else 0

    def take_cut(self, data: str | bytes) -> Sequence[Entry] | None:
        """The next cut's events in the merged order; None if some do not exist, or it ends before the last cut."""
        vector: Sequence[int] = json.loads(data)
        ends = [len(self._of[number].entries) for number in self.partitions]
        if any(not begin <= at <= end for begin, at, end in zip(self.vector, vector, ends, strict=True)):
            return None
        self.cuts += 1
        timed = []
        for number, begin, at in zip(self.partitions, self.vector, vector, strict=True):
            own = self._of[number].entries[begin:at]
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
            if partition in found:
                found[partition] = course.index(one.position)
            else:
                for entry in course.entries[: course.index(one.position)]:
                    found[self.partition_of(entry.stream.partition("-")[2])] += 1
        return found

    def merged(self, entry: Entry) -> Entry | None:
        """The same event in the merged feed; None if no cut has it yet."""
        of = (entry.stream, entry.version)
        return next((one for one in self._of[0].entries if (one.stream, one.version) == of), None)
