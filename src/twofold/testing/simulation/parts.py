"""The logs of a history: an ordinary one, or the parts of a partitioned one and the log of its cuts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog
from twofold.backends.memory.inspection import LogInspection, log_of
from twofold.feed.doorbell import Doorbell
from twofold.messages import Entry, Position
from twofold.testing.simulation.remote import Remote

LogBecomes = Literal["an older copy", "another log"]


class Part:
    """One log behind its own network. Its content is durable: a crash loses only requests in flight."""

    def __init__(self, log: MemoryLog, link: Remote) -> None:
        self.link, self.bell = link, Doorbell()
        self._put(log)

    def _put(self, log: MemoryLog) -> None:
        self.log, self.inside = log, LogInspection(log)

    @property
    def number(self) -> int:
        """The number of the partition."""
        return self.log.partition

    @property
    def head(self) -> Position:
        """The current end of the log."""
        return Position(self.number, len(self.entries))

    @property
    def entries(self) -> Sequence[Entry]:
        """All its entries."""
        return self.inside.entries

    def replace(self, by: LogBecomes, ambient: Ambient) -> None:
        """Replace it by another log, or by a copy that ends one event earlier, with the reactors as they were then."""
        if by == "an older copy":
            self._put(self.inside.older_copy(ambient))
        else:
            twice = enumerate([*self.entries, *self.entries], start=1)
            elsewhere = [_elsewhere(entry, Position(self.number, offset)) for offset, entry in twice]
            self._put(log_of(elsewhere, ambient, partition=self.number))


def name_of_part(number: int, partitions: int) -> str:
    """Its name in the history."""
    if partitions == 1:
        return "the log"
    return f"partition {number}" if number else "the log of the cuts"


def _elsewhere(entry: Entry, position: Position) -> Entry:
    return msgspec.structs.replace(entry, position=position, stream=f"{entry.stream}-there")
