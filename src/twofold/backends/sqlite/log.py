"""The log on SQLite. Positions are assigned inside `BEGIN IMMEDIATE`, so their order is the order of commits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw

from twofold.ambient import Ambient
from twofold.backends.sqlite.batch import Batch
from twofold.backends.sqlite.checkpoints import SqliteCheckpoints, create_checkpoints
from twofold.backends.sqlite.connection import READERS, File, seen, transaction
from twofold.backends.sqlite.copies import SqliteCopies
from twofold.backends.sqlite.requests import SqliteRequests, add_secret
from twofold.backends.statements import statements
from twofold.codec import MAX_EVENT_BYTES
from twofold.errors import BatchRefused, ConfigurationError, OutcomeUnknown, TwofoldError, Unavailable
from twofold.feed.feed import DenseFeed, FeedPage, another_log, check_not_beyond
from twofold.messages import Append, Entry, Position, Receipt, Stream
from twofold.write.log import MAX_APPEND_BYTES, MAX_APPEND_EVENTS, Loaded, LogLimits

SCHEMA = 1
PAGE_BYTES = 8 * 1024 * 1024

_SQL = statements("twofold.backends.sqlite", "log.sql")
_TABLES = statements("twofold.backends.sqlite", "schema_log.sql")


class SqliteLog(DenseFeed):
    """A log, its feed and the reactors' checkpoints in one file. Call `open` first; with `create=False` it must exist.

    A part of a partitioned log gets the number of its partition, and the id of that log; the file stores both.
    """

    limits = LogLimits(MAX_EVENT_BYTES, MAX_APPEND_BYTES, MAX_APPEND_EVENTS, READERS)
    checkpoints: SqliteCheckpoints
    requests: SqliteRequests
    importing: SqliteCopies
    exporting: SqliteCopies

    def __init__(
        self,
        path: Path,
        ambient: Ambient | None = None,
        *,
        create: bool = True,
        partition: int = 0,
        log_id: str | None = None,
    ) -> None:
        self._ambient, self._create = ambient or Ambient(), create
        self.partition, self._wanted_id = partition, log_id
        self._file = File(path, "FULL", self.limits.reads_at_once)
        self._head = Position(partition, 0)
        self.log_id = ""
        self.checkpoints = SqliteCheckpoints(self._file, self._check_is_this_log)
        self.requests = SqliteRequests(self._file, self._ambient, lambda: self.log_id)
        self.importing = self.exporting = SqliteCopies(self._file, self._newest)

    async def open(self) -> None:
        """Create missing tables. Raises: ConfigurationError, Unavailable."""
        if not self._create:
            await asyncio.to_thread(seen, self._file.path, self._check_is_log)
        self.log_id = await self._file.open(self._set_up)

    def _check_is_log(self, db: apsw.Connection) -> None:
        if holds(db, "twofold_tables") and not holds(db, "twofold_events") and holds(db, "twofold_checkpoints"):
            raise ConfigurationError(f"{self._file.path} holds read models, not a log: name the file of the log")
        if not self._create and not holds(db, "twofold_events"):
            raise ConfigurationError(f"{self._file.path} holds no log: name the store that the App was opened on")

    def _set_up(self, db: apsw.Connection) -> str:
        self._check_is_log(db)
        with transaction(db):
            for table in _TABLES.values():
                db.execute(table)
            create_checkpoints(db)
            _add_partition(db)
            db.execute(_SQL["create"], (self._wanted_id or self._ambient.new_id()[:16], SCHEMA, self.partition))
            add_secret(db)
            [(log_id, schema, partition)] = list[tuple[str, int, int]](db.execute(_SQL["identity"]))
            self._check_is_part(log_id, partition)
        if schema > SCHEMA:
            raise ConfigurationError(
                f"{self._file.path} was written by a newer twofold (its tables have schema {schema}, and this "
                f"twofold knows schemas up to {SCHEMA}): run the newer one"
            )
        return log_id

    def _check_is_part(self, log_id: str, partition: int) -> None:
        if partition != self.partition:
            raise ConfigurationError(
                f"{self._file.path} holds partition {partition} of its log, not partition {self.partition}: "
                f"name the file of this partition (an ordinary log is partition 0)"
            )
        if self._wanted_id not in (None, log_id):
            raise ConfigurationError(
                f"{self._file.path} is a part of log {log_id}, not of log {self._wanted_id}: name a file of this log. "
                f"If giving the log a new id was interrupted, open its parts without log_id=, and call `new_id` of the "
                f"`Partitioned` log again before its `open`"
            )

    async def new_id(self, log_id: str | None = None) -> None:
        """See `LogStore.new_id`."""
        log_id = log_id or self._ambient.new_id()[:16]
        await self._file.writer.run(self._rename, log_id)
        self.log_id = log_id

    def _rename(self, db: apsw.Connection, log_id: str) -> None:
        with transaction(db):
            self._check_is_this_log(db)
            db.execute(_SQL["rename"], (log_id,))
            db.execute(_SQL["rename_checkpoints"], (log_id,))

    async def close(self) -> None:
        """End the threads. What was committed is on disk."""
        await self._file.close()

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """See `Log.commit`."""
        outcomes = await self._file.writer.run(self._commit, batch)
        positions = [outcome.position for outcome in outcomes if isinstance(outcome, Receipt)]
        self._head = max(self._head, *positions) if positions else self._head
        self._file.bell.ring()
        return outcomes

    def _commit(self, db: apsw.Connection, batch: Sequence[Append]) -> list[Receipt | TwofoldError]:
        try:
            db.execute("BEGIN IMMEDIATE")
            writing = Batch(db, self.log_id, self.partition, self._ambient.now(), batch, self._newest(db))
            outcomes = writing.outcomes()
        except (apsw.ConstraintError, apsw.TooBigError, apsw.MismatchError, ValueError, OverflowError) as error:
            db.execute("ROLLBACK")
            raise BatchRefused(str(error)) from error
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        self._make_durable(db, batch)
        writing.warn_if_clock_went_back()
        return outcomes

    def _make_durable(self, db: apsw.Connection, batch: Sequence[Append]) -> None:
        try:
            db.execute("COMMIT")
        except (apsw.BusyError, apsw.FullError) as error:  # SQLite guarantees that nothing was written
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise Unavailable(f"SQLite, {self._file.path}: {error}") from error
        except apsw.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise OutcomeUnknown(batch[0].command_id, str(error)) from error

    async def load(
        self, stream: Stream, command_id: str | None = None, last: int | None = None, after: int = 0
    ) -> Loaded:
        """See `Log.load`."""
        return await self._file.reader.run(self._load, stream, command_id, last, after)

    def _load(
        self, db: apsw.Connection, stream: Stream, command_id: str | None, last: int | None, after: int
    ) -> Loaded:
        name = str(stream)
        with transaction(db, "DEFERRED"):
            self._check_is_this_log(db)
            receipt = _receipt(db, stream, command_id, self.log_id, self.partition) if command_id else None
            if last is None:
                events: list[Any] = db.execute(_SQL["events_after"], (name, after)).fetchall()
            else:
                events = db.execute(_SQL["last_events"], (name, after, last)).fetchall()[::-1]
            [(version, offset)] = db.execute(_SQL["stream_end"], (name,)) if events else [(after, 0)]
        return Loaded(events, version, Position(self.partition, offset), receipt)

    async def read_stream(self, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        """See `Log.read_stream`."""
        return await self._file.reader.run(self._read_stream, (str(stream), from_version, limit))

    def _read_stream(self, db: apsw.Connection, asked: tuple[str, int, int]) -> list[Entry]:
        with transaction(db, "DEFERRED"):
            self._check_is_this_log(db)
            return [_entry(self.partition, row) for row in db.execute(_SQL["stream"], asked)]

    async def head(self) -> Position:
        """See `Feed.head`."""
        offset, _ = await self._file.reader.run(self._newest)
        return Position(self.partition, offset)

    async def read(
        self, after: Position, limit: int, types: frozenset[str] | None = None, until: Position | None = None
    ) -> FeedPage:
        """See `Feed.read`."""
        heard = self._head
        page = await self._file.reader.run(self._page, after, limit, types, until)
        if until is None and page.upto == after < heard and self._head is heard:
            self._head = after  # the log is shorter than it was: do not wait for events that are gone
        return page

    async def wait(self, after: Position, timeout_s: float) -> None:
        """See `Feed.wait`."""
        if self._head <= after:
            await self._file.wait(timeout_s)

    def _newest(self, db: apsw.Connection) -> tuple[int, str | None]:
        """Position and time of the newest event. Raises: LogReplaced."""
        newest: tuple[int, str, str] | None = db.execute(_SQL["head"]).fetchone()
        if newest is None or newest[2] != self.log_id:
            self._check_is_this_log(db)
            return 0, None
        return newest[:2]

    def _check_is_this_log(self, db: apsw.Connection) -> None:
        if db.execute(_SQL["log_id"]).fetchone() != (self.log_id,):
            raise another_log(self._file.path, self.log_id)

    def _page(
        self, db: apsw.Connection, after: Position, limit: int, types: frozenset[str] | None, until: Position | None
    ) -> FeedPage:
        with transaction(db, "DEFERRED"):
            head, _ = self._newest(db)
            check_not_beyond(after, Position(self.partition, head))
            return _page(db, after, limit, types, head if until is None else min(head, until.offset))


def _add_partition(db: apsw.Connection) -> None:
    """Add a column that logs made by earlier versions lack."""
    if not db.execute("SELECT 1 FROM pragma_table_info('twofold_log') WHERE name = 'partition'").fetchone():
        db.execute("ALTER TABLE twofold_log ADD COLUMN partition INTEGER NOT NULL DEFAULT 0")


def _receipt(db: apsw.Connection, stream: Stream, command_id: str, log_id: str, partition: int) -> Receipt | None:
    row = db.execute(_SQL["receipt"], (str(stream), command_id)).fetchone()
    if row is None:
        return None
    version, events, offset = row
    return Receipt(stream, version, events, Position(partition, offset), command_id, log_id, repeated=True)


def holds(db: apsw.Connection, table: str) -> bool:
    """Whether the file contains this table."""
    return db.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)).fetchone() is not None


def _page(db: apsw.Connection, after: Position, limit: int, types: frozenset[str] | None, end: int) -> FeedPage:
    """At most `limit` events, none beyond `end`."""
    partition = after.partition
    upto = min(after.offset + limit, end)
    if upto <= after.offset:
        return FeedPage((), after)
    if types is None:
        cursor = db.execute(_SQL["page"], (after.offset, upto))
    else:
        cursor = db.execute(_SQL["page_of_types"], (after.offset, upto, json.dumps(sorted(types))))
    entries: list[Entry] = []
    size = 0
    aware = datetime.fromisoformat
    for offset, stream, version, type_, schema, data, meta, at in cursor:
        entries.append(Entry(Position(partition, offset), stream, version, type_, schema, data, meta, aware(at)))
        size += len(data)
        if size >= PAGE_BYTES:
            cursor.close()
            return FeedPage(entries, entries[-1].position, more=offset < end)
    return FeedPage(entries, Position(partition, upto), more=upto < end)


def _entry(partition: int, row: tuple[Any, ...]) -> Entry:
    offset, stream, version, type_, schema, data, meta, recorded_at = row
    return Entry(
        Position(partition, offset), stream, version, type_, schema, data, meta, datetime.fromisoformat(recorded_at)
    )
