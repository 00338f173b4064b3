"""Copying a log to and from SQLite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw

from twofold.backends.sqlite.connection import File, transaction, written_time
from twofold.backends.statements import statements
from twofold.errors import BatchRefused, InvalidInput
from twofold.messages import Entry, Position
from twofold.write.copies import CHANGED, MOVED, Copied, KeptCommand, not_a_copy_of

_SQL = statements("twofold.backends.sqlite", "copies.sql")


class SqliteCopies:
    """See `Export` and `Import`.

    `newest` returns position and time of the newest event, and raises LogReplaced if the file holds another log.
    """

    def __init__(self, file: File, newest: Callable[[apsw.Connection], tuple[int, str | None]]) -> None:
        self._file, self._newest = file, newest

    async def commands(self, upto: Position, after: KeptCommand | None, limit: int) -> Sequence[KeptCommand]:
        """See `Export.commands`."""
        last = ("", "") if after is None else (after.stream, after.command_id)
        return await self._file.reader.run(self._commands, (*last, upto.offset, limit))

    def _commands(self, db: apsw.Connection, asked: tuple[Any, ...]) -> list[KeptCommand]:
        with transaction(db, "DEFERRED"):
            self._newest(db)
            return [KeptCommand(*row) for row in db.execute(_SQL["commands"], asked)]

    async def copied(self) -> Copied | None:
        """See `Import.copied`."""
        return await self._file.reader.run(lambda db: self._copied(db)[0])

    def _copied(self, db: apsw.Connection) -> tuple[Copied | None, int]:
        """The copy's state, and the position of the last event that was copied."""
        rows = list[tuple[str, int, int, int, int]](db.execute(_SQL["copied"]))
        if not rows:
            return None, 0
        upto = [Position(partition, position) for _, partition, position, _, _ in rows]
        return Copied(rows[0][0], upto, bool(rows[0][4])), max(head for *_, head, _ in rows)

    async def begin(self, source: str, beginnings: Sequence[Position]) -> Copied:
        """See `Import.begin`."""
        return await self._file.writer.run(self._begin, source, beginnings)

    def _begin(self, db: apsw.Connection, source: str, beginnings: Sequence[Position]) -> Copied:
        with transaction(db):
            copied, taken = self._copied(db)
            head, _ = self._newest(db)
            [(holds_something,)] = db.execute(_SQL["holds_something"])
            why = not_a_copy_of(source, copied) if copied or holds_something else None
            self._refuse(why or (CHANGED if head != taken else None))
            db.executemany(_SQL["begin"], [(source, at.partition, at.offset) for at in beginnings])
            return self._copied(db)[0] or Copied(source, beginnings, False)

    async def take(self, source: str, after: Position, upto: Position, entries: Sequence[Entry]) -> None:
        """See `Import.take`."""
        await self._file.writer.run(self._take, source, after, upto, entries)
        self._file.bell.ring()

    def _take(
        self, db: apsw.Connection, source: str, after: Position, upto: Position, entries: Sequence[Entry]
    ) -> None:
        try:
            with transaction(db):
                copied, head = self._going_on(db, source)
                if upto in copied.upto:
                    return
                self._refuse(None if after in copied.upto else MOVED)
                db.executemany(_SQL["take"], [_row(entry, head + n) for n, entry in enumerate(entries, start=1)])
                db.execute(_SQL["move"], (upto.offset, head + len(entries), upto.partition))
        except (apsw.ConstraintError, apsw.TooBigError, apsw.MismatchError, ValueError, OverflowError) as error:
            raise BatchRefused(str(error)) from error

    async def keep(self, source: str, commands: Sequence[KeptCommand]) -> None:
        """See `Import.keep`."""
        await self._file.writer.run(self._keep, source, commands)

    def _keep(self, db: apsw.Connection, source: str, commands: Sequence[KeptCommand]) -> None:
        with transaction(db):
            self._going_on(db, source)
            rows = [(kept.stream, kept.command_id, kept.version, kept.events) for kept in commands]
            db.executemany(_SQL["keep"], rows)

    async def end(self, source: str) -> None:
        """See `Import.end`."""
        await self._file.writer.run(self._end, source)

    def _end(self, db: apsw.Connection, source: str) -> None:
        with transaction(db):
            self._going_on(db, source)
            db.execute(_SQL["end"])

    def _going_on(self, db: apsw.Connection, source: str) -> tuple[Copied, int]:
        """The unfinished copy, and the position of its last event. Raises: InvalidInput, LogReplaced."""
        copied, taken = self._copied(db)
        head, _ = self._newest(db)
        if copied is None or copied.ended or copied.source != source:
            raise InvalidInput(f"{self._file.path}: {MOVED}")
        self._refuse(CHANGED if head != taken else None)
        return copied, taken

    def _refuse(self, why: str | None) -> None:
        if why is not None:
            raise InvalidInput(f"{self._file.path}: {why}")


def _row(entry: Entry, position: int) -> tuple[Any, ...]:
    at = written_time(entry.recorded_at)
    data, meta = _text(entry.data), _text(entry.meta)
    return position, entry.stream, entry.version, entry.type, entry.schema, data, meta, at


def _text(json: str | bytes) -> str:
    return json if isinstance(json, str) else json.decode()
