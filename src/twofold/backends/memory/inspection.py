"""A look into the memory stores from outside the ports: what the simulator and tests compare, copy and put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from twofold.ambient import Ambient
from twofold.backends.memory.checkpoints import MemoryCheckpoints
from twofold.backends.memory.log import MemoryLog
from twofold.backends.memory.read_store import MemoryReadStore
from twofold.feed.checkpoints import FollowerId
from twofold.messages import Entry, Position, Receipt
from twofold.read.columns import Values
from twofold.read.projection import Key, Table


class LogInspection:
    """What is in a log. The collections are its own: they grow with it."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    @property
    def entries(self) -> Sequence[Entry]:
        """Every entry, in the order of commits."""
        return self._log._entries

    @property
    def streams(self) -> Mapping[str, Sequence[Entry]]:
        """The entries of each stream, by its name."""
        return self._log._streams

    @property
    def receipts(self) -> Mapping[tuple[str, str], Receipt]:
        """The receipts, by stream and command id."""
        return self._log._receipts

    def older_copy(self, ambient: Ambient) -> MemoryLog:
        """The log as in a backup that lacks the newest event: the same id, and no reactor beyond the end."""
        copy = log_of(self.entries[:-1], ambient, partition=self._log.partition)
        copy.log_id = self._log.log_id
        end = Position(copy.partition, len(copy._entries))
        copy._receipts = {name: receipt for name, receipt in self.receipts.items() if receipt.position <= end}
        for follower, row in self._log.checkpoints.rows.items():
            copy.checkpoints.rows[follower] = replace(row, position=min(row.position, end))
        return copy


def log_of(entries: Sequence[Entry], ambient: Ambient, *, partition: int = 0) -> MemoryLog:
    """A new log with these entries; it knows no receipts."""
    log = MemoryLog(ambient, partition=partition)
    log._entries = list(entries)
    for entry in entries:
        log._streams[entry.stream].append(entry)
    return log


Snapshot = Mapping[str, Mapping[str, Any]]
"""Everything in a read store at one moment."""


class RowsInspection:
    """The contents of a read store, read without waiting."""

    def __init__(self, store: MemoryReadStore) -> None:
        self._store = store

    @property
    def checkpoints(self) -> MemoryCheckpoints:
        """The checkpoints beside the rows."""
        return self._store._checkpoints

    @property
    def tables(self) -> Mapping[FollowerId, dict[Key, Values]]:
        """The rows of every table, by key."""
        return self._store._tables

    @property
    def described(self) -> Mapping[FollowerId, Table]:
        """What every table was prepared as."""
        return self._store._described

    def live(self, name: str) -> int:
        """The version that a projection's name shows."""
        return self._store._live[name]

    def snapshot(self) -> Snapshot:
        """A copy of everything, for `restore`."""
        return {"store": _dictionaries(self._store), "checkpoints": _dictionaries(self.checkpoints)}

    def restore(self, snapshot: Snapshot) -> None:
        """Put the store back to what it was. A snapshot can be restored once: from then on it belongs to the store."""
        vars(self._store).update(snapshot["store"])
        vars(self.checkpoints).update(snapshot["checkpoints"])


def _dictionaries(of: object) -> dict[str, Any]:
    return {name: _copied(value) for name, value in vars(of).items() if isinstance(value, dict)}


def _copied(value: dict[Any, Any]) -> dict[Any, Any]:
    """A copy of the dictionary and of those inside it; all other values are immutable."""
    copy = value.copy()
    for key, inner in copy.items():
        if isinstance(inner, dict):
            copy[key] = _copied(inner)
    return copy
