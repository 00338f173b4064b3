"""Copying a log to and from PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from twofold.backends.postgres.connection import DATA, Database, brief_transaction
from twofold.backends.postgres.pool import Connection
from twofold.backends.statements import statements
from twofold.errors import BatchRefused, InvalidInput, LogReplaced
from twofold.messages import Entry, Position
from twofold.write.copies import CHANGED, MOVED, Copied, KeptCommand, not_a_copy_of

_SQL = statements("twofold.backends.postgres", "copies.sql")


class PostgresCopies:
    """See `Export` and `Import`.

    `log_id` returns the log id this process opened, `replaced` the error to raise when the log has another one. Every
    change is idempotent, so it can be retried after a lost connection.
    """

    def __init__(self, database: Database, log_id: Callable[[], str], replaced: Callable[[], LogReplaced]) -> None:
        self._database, self._log_id, self._replaced = database, log_id, replaced

    async def commands(self, upto: Position, after: KeptCommand | None, limit: int) -> Sequence[KeptCommand]:
        """See `Export.commands`."""
        last = ("", "") if after is None else (after.stream, after.command_id)
        values = (self._log_id(), *last, upto.offset, limit)
        rows = await self._database.run(lambda c: c.fetch(_SQL["commands"], *values))
        if not rows:
            raise self._replaced()
        return [] if rows[0][0] is None else [KeptCommand(*row) for row in rows]

    async def copied(self) -> Copied | None:
        """See `Import.copied`."""
        return (await self._database.run(_copied))[0]

    async def begin(self, source: str, beginnings: Sequence[Position]) -> Copied:
        """See `Import.begin`."""

        async def begun(connection: Connection) -> Copied:
            async with self._locked(connection) as (head, holds_something):
                copied, taken = await _copied(connection)
                why = not_a_copy_of(source, copied) if copied or holds_something else None
                self._refuse(why or (CHANGED if head != taken else None))
                places = [at.partition for at in beginnings], [at.offset for at in beginnings]
                await connection.execute(_SQL["begin"], source, *places)
                return (await _copied(connection))[0] or Copied(source, beginnings, False)

        return await self._database.run(begun)

    async def take(self, source: str, after: Position, upto: Position, entries: Sequence[Entry]) -> None:
        """See `Import.take`."""

        async def taken(connection: Connection, copied: Copied, head: int) -> None:
            if upto in copied.upto:
                return
            self._refuse(None if after in copied.upto else MOVED)
            await connection.execute(_SQL["take"], head, *_columns(entries))
            await connection.execute(_SQL["move"], upto.offset, head + len(entries), upto.partition)
            await connection.execute(_SQL["ring"], head + len(entries))

        try:
            await self._going_on(source, taken)
        except ValueError as error:  # the driver cannot encode it: UnicodeError, or its own DataError
            raise BatchRefused(str(error)) from error

    async def keep(self, source: str, commands: Sequence[KeptCommand]) -> None:
        """See `Import.keep`."""

        async def kept(connection: Connection, copied: Copied, head: int) -> None:
            columns = zip(
                *[(kept.stream, kept.command_id, kept.version, kept.events) for kept in commands], strict=True
            )
            await connection.execute(_SQL["keep"], *columns)

        await self._going_on(source, kept)

    async def end(self, source: str) -> None:
        """See `Import.end`."""

        async def ended(connection: Connection, copied: Copied, head: int) -> None:
            await connection.execute(_SQL["end"])

        await self._going_on(source, ended)

    async def _going_on(self, source: str, change: Callable[[Connection, Copied, int], Awaitable[None]]) -> None:
        """Change the copy of this source in one transaction, if nothing else was appended to it."""

        async def changed(connection: Connection) -> None:
            async with self._locked(connection) as (head, _):
                copied, taken = await _copied(connection)
                if copied is None or copied.ended or copied.source != source:
                    raise InvalidInput(f"{self._database.address}: {MOVED}")
                self._refuse(CHANGED if head != taken else None)
                await change(connection, copied, taken)

        await self._database.run(changed)

    @asynccontextmanager
    async def _locked(self, connection: Connection) -> AsyncIterator[tuple[int, bool]]:
        """A transaction that excludes appends. Yields the log's head, and whether the log holds anything."""
        try:
            async with brief_transaction(connection):
                await connection.execute(_SQL["lock"])
                row = await connection.fetchrow(_SQL["head"], self._log_id())
                if row is None:
                    raise self._replaced()
                yield row[0], row[1]
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "").startswith(DATA):
                raise BatchRefused(str(error)) from error
            raise

    def _refuse(self, why: str | None) -> None:
        if why is not None:
            raise InvalidInput(f"{self._database.address}: {why}")


async def _copied(connection: Connection) -> tuple[Copied | None, int]:
    """The copy's state, and the position of the last event that was copied."""
    rows = await connection.fetch(_SQL["copied"])
    if not rows:
        return None, 0
    upto = [Position(partition, position) for _, partition, position, _, _ in rows]
    return Copied(rows[0][0], upto, rows[0][4]), max(head for *_, head, _ in rows)


def _columns(entries: Sequence[Entry]) -> tuple[Sequence[Any], ...]:
    return (
        [entry.stream for entry in entries],
        [entry.version for entry in entries],
        [entry.type for entry in entries],
        [entry.schema for entry in entries],
        [_text(entry.data) for entry in entries],
        [_text(entry.meta) for entry in entries],
        [entry.recorded_at for entry in entries],
    )


def _text(json: str | bytes) -> str:
    return json if isinstance(json, str) else json.decode()
