"""A batch of appends on SQLite, inside one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import apsw
import msgspec

from twofold.backends.sqlite.connection import written_time
from twofold.backends.statements import statements
from twofold.errors import TwofoldError, VersionConflict
from twofold.messages import Append, Position, Receipt
from twofold.write.clock import recorded_at, warn

_SQL = statements("twofold.backends.sqlite", "log.sql")


class Batch:
    """A batch inside one transaction: each append sees those before it.

    Streams and commands are looked up for the whole batch first, and everything is written at its end: `executemany`
    costs a fraction of as many single statements.
    """

    def __init__(
        self,
        db: apsw.Connection,
        log_id: str,
        partition: int,
        clock: datetime,
        batch: Sequence[Append],
        newest: tuple[int, str | None],
    ) -> None:
        self._db, self._log_id, self._partition, self._batch = db, log_id, partition, batch
        self._clock, (self._offset, self._newest) = clock, newest
        self._time = written_time(clock)
        if self._newest is not None and self._newest > self._time:
            self._time = written_time(recorded_at(clock, datetime.fromisoformat(self._newest)))
        self._ends: dict[str, tuple[int, int]] = {}  # by stream: version, position
        self._known: dict[
            tuple[str, str], tuple[int, int, int]
        ] = {}  # by stream and command: version, events, position
        self._events: list[tuple[Any, ...]] = []
        self._commands: list[tuple[Any, ...]] = []

    def outcomes(self) -> list[Receipt | TwofoldError]:
        """Write the batch; returns a receipt or a conflict for each append."""
        asked = [(str(append.stream), append.command_id) for append in self._batch]
        rows = self._db.executemany(_SQL["known"], asked)
        for key, (version, offset, *receipt) in zip(asked, rows, strict=True):
            self._ends[key[0]] = (version, offset)
            if receipt[0] is not None:
                self._known[key] = tuple(receipt)
        outcomes: list[Receipt | TwofoldError] = [
            self._outcome(append, key) for append, key in zip(self._batch, asked, strict=True)
        ]
        self._db.executemany(_SQL["append_event"], self._events)
        self._db.executemany(_SQL["keep_receipt"], self._commands)
        return outcomes

    def warn_if_clock_went_back(self) -> None:
        """After the commit: warn if the recorded time went back."""
        if self._events and self._newest is not None and self._time < self._newest:
            warn(self._clock, datetime.fromisoformat(self._newest))

    def _outcome(self, append: Append, key: tuple[str, str]) -> Receipt | VersionConflict:
        known = self._known.get(key)
        if known is not None:
            return self._receipt(append, known, repeated=True)
        stream, command_id = key
        version, offset = self._ends[stream]
        if append.expected_version is not None and append.expected_version != version:
            return VersionConflict(append.stream, append.expected_version, version)
        events = append.events
        if events:
            meta = msgspec.json.encode(append.meta).decode()
            for event in events:
                self._offset += 1
                version += 1
                row = (self._offset, stream, version, event.type, event.schema, event.data.decode(), meta, self._time)
                self._events.append(row)
            offset = self._offset
            self._ends[stream] = (version, offset)
        self._known[key] = stored = (version, len(events), offset)
        self._commands.append((stream, command_id, *stored))
        return self._receipt(append, stored, repeated=False)

    def _receipt(self, append: Append, stored: tuple[int, int, int], *, repeated: bool) -> Receipt:
        version, events, offset = stored
        position = Position(self._partition, offset)
        return Receipt(append.stream, version, events, position, append.command_id, self._log_id, repeated)
