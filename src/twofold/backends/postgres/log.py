"""The log on PostgreSQL: one function appends a batch in one round trip, under the lock that defines the order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import asyncpg

from twofold.ambient import Ambient
from twofold.backends.postgres.batch import of_batch, of_one
from twofold.backends.postgres.calls import PostgresCalls
from twofold.backends.postgres.checkpoints import PostgresCheckpoints
from twofold.backends.postgres.connection import (
    BY_INDEX,
    DATA,
    LOST,
    PATIENCE_S,
    RETRY_S,
    Address,
    Database,
    brief_transaction,
    now,
)
from twofold.backends.postgres.copies import PostgresCopies
from twofold.backends.postgres.forms import install
from twofold.backends.postgres.listener import Listener
from twofold.backends.postgres.pool import Connection
from twofold.backends.postgres.requests import PostgresRequests
from twofold.backends.postgres.schema import migrate
from twofold.backends.statements import statements
from twofold.codec import MAX_EVENT_BYTES
from twofold.errors import (
    BatchRefused,
    Closed,
    ConfigurationError,
    LogReplaced,
    OutcomeUnknown,
    TwofoldError,
    Unavailable,
    VersionConflict,
)
from twofold.feed.feed import DenseFeed, FeedPage, another_log, check_not_beyond
from twofold.messages import BEGINNING, MAX_OFFSET, Append, Entry, Position, Receipt, Stream
from twofold.sql.forms import EventForm
from twofold.write.log import MAX_APPEND_BYTES, MAX_APPEND_EVENTS, Loaded, LogLimits, final

PAGE_BYTES = 8 * 1024 * 1024
RESOLVE_S = 10.0  # how long to ask for the outcome of a commit whose connection was lost
WRITERS = 2
READERS = 6

_SQL = statements("twofold.backends.postgres", "log.sql")
_WRONG_ISOLATION, _ANOTHER_LOG = "TF001", "TF002"


class PostgresLog(DenseFeed):
    """A log, its feed and the reactors' checkpoints. Call `open` first. With `create=False` the log must exist."""

    limits = LogLimits(MAX_EVENT_BYTES, MAX_APPEND_BYTES, MAX_APPEND_EVENTS, READERS)
    checkpoints: PostgresCheckpoints
    requests: PostgresRequests
    importing: PostgresCopies
    exporting: PostgresCopies
    sql: PostgresCalls

    def __init__(self, url: str, ambient: Ambient | None = None, *, create: bool = True) -> None:
        self._ambient, self._create = ambient or Ambient(), create
        self._address = Address.parse(url)
        self._writer = Database(self._address, WRITERS, LogReplaced, BY_INDEX)
        self._reader = Database(self._address, self.limits.reads_at_once, LogReplaced, BY_INDEX)
        self._listener: Listener | None = None
        self.log_id = ""
        self.checkpoints = PostgresCheckpoints(self._reader, "reactor", lambda: self.log_id)
        self.requests = PostgresRequests(self._reader, lambda: self.log_id, self._replaced)
        self.sql = PostgresCalls(self._address, lambda: self.log_id, self._replaced)
        self.importing = self.exporting = PostgresCopies(self._reader, lambda: self.log_id, self._replaced)

    async def open(self) -> None:
        """Create missing tables. Raises: ConfigurationError, Unavailable."""
        await self._reader.open()
        await migrate(self._reader, create=self._create)
        self.log_id = await self._reader.run(self._identity)
        self._listener = Listener.join(self._address)

    async def _identity(self, connection: Connection) -> str:
        log_id: str | None = await connection.fetchval(_SQL["log_id"])
        if log_id is None:
            if not self._create:
                raise ConfigurationError(
                    f"{self._address}: this database holds no log; name the store that the App was opened on"
                )
            await connection.execute(_SQL["create"], self._ambient.new_id()[:16])
            return await self._identity(connection)
        return log_id

    async def new_id(self, log_id: str | None = None) -> None:
        """See `LogStore.new_id`."""
        log_id = log_id or self._ambient.new_id()[:16]
        if not await self._writer.run(lambda c: _rename(c, log_id, self.log_id)):
            raise self._replaced()
        self.log_id = log_id

    async def install(self, app: str, forms: Sequence[EventForm]) -> None:
        """See `ChecksForms.install`."""
        await self._reader.run(lambda c: install(c, app, forms))

    async def close(self) -> None:
        """Close the connections."""
        async with AsyncExitStack() as stack:  # all of them, even if it is cancelled
            stack.push_async_callback(self._reader.close)
            stack.push_async_callback(self._writer.close)
            stack.push_async_callback(self.sql.close)
            if self._listener is not None:
                stack.push_async_callback(self._listener.leave)
                self._listener = None

    @property
    def _news(self) -> Listener:
        if self._listener is None:
            raise Closed(self._address)
        return self._listener

    # ---- writing

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """See `Log.commit`."""
        if not batch:
            return []
        if len(batch) == 1 and len(batch[0].events) == 1:
            result, doubt = await self._resolved("append_one", of_one(batch[0]), batch)
            results = [result]
        else:
            columns, doubt = await self._resolved("append", of_batch(batch), batch)
            results = list(zip(*columns, strict=True))
        self._news.heard_head(max((offset for outcome, _, _, offset in results if outcome == "appended"), default=0))
        outcomes = (self._outcome(append, *result) for append, result in zip(batch, results, strict=True))
        return [final(outcome, append, doubt) for outcome, append in zip(outcomes, batch, strict=True)]

    def _outcome(
        self, append: Append, outcome: str, version: int, events: int, offset: int
    ) -> Receipt | VersionConflict:
        if outcome == "conflict":
            return VersionConflict(append.stream, append.expected_version or 0, version)
        position, repeated = Position(0, offset), outcome == "repeated"
        return Receipt(append.stream, version, events, position, append.command_id, self.log_id, repeated)

    async def _resolved(
        self, statement: str, arguments: Sequence[Any], batch: Sequence[Append]
    ) -> tuple[Sequence[Any], str | None]:
        """The function's result. If the connection is lost, the same call is repeated, and the loss returned with it.

        The command ids make that safe: for what was stored the first time, the stored receipt is returned.
        """
        deadline = now() + PATIENCE_S
        doubt: BaseException | None = None
        while True:
            try:
                async with self._writer.connection(deadline) as connection:
                    result = await self._append(connection, statement, arguments)
                    return result, None if doubt is None else self._address.describe(doubt)
            except LOST as error:
                doubt, deadline = error, deadline if doubt is not None else now() + RESOLVE_S
            except (BatchRefused, Unavailable, LogReplaced, ConfigurationError) as error:
                # This attempt changed nothing, but an earlier one may have. Refused data was refused before, too.
                if doubt is None or isinstance(error, BatchRefused):
                    raise
            if doubt is not None and now() >= deadline:
                raise OutcomeUnknown(batch[0].command_id, self._address.describe(doubt)) from doubt
            await asyncio.sleep(RETRY_S)

    async def _append(self, connection: Connection, statement: str, arguments: Sequence[Any]) -> Sequence[Any]:
        try:
            result: Sequence[Any] = await connection.fetchrow(_SQL[statement], self.log_id, *arguments)
        except ValueError as error:  # the driver cannot encode it: UnicodeError, or its own DataError
            raise BatchRefused(str(error)) from error
        except LOST:
            raise
        except asyncpg.PostgresError as error:
            raise self._refusal(error) from error
        return result

    def _refusal(self, error: asyncpg.PostgresError) -> TwofoldError:
        state = error.sqlstate or ""
        if state.startswith(DATA):
            return BatchRefused(str(error))
        if state == _WRONG_ISOLATION:
            return ConfigurationError(
                f"{self._address.describe(error)}: set default_transaction_isolation of this role and database to "
                f"'read committed'"
            )
        return self._replaced() if state == _ANOTHER_LOG else self._writer.named(error)

    # ---- reading

    async def load(
        self, stream: Stream, command_id: str | None = None, last: int | None = None, after: int = 0
    ) -> Loaded:
        """See `Log.load`."""
        name = str(stream)
        rows = await self._reader.run(lambda c: c.fetch(_SQL["load"], self.log_id, name, command_id, last, after))
        if not rows:
            raise self._replaced()
        newest, at, *_, version, count, offset = rows[0]
        receipt = None
        if version is not None and command_id is not None:
            receipt = Receipt(stream, version, count, Position(0, offset), command_id, self.log_id, repeated=True)
        if newest is None:
            return Loaded((), after, BEGINNING, receipt)
        return Loaded([row[2:5] for row in reversed(rows)], newest, Position(0, at), receipt)

    async def read_stream(self, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        """See `Log.read_stream`."""
        values = (self.log_id, str(stream), from_version, max(limit, 0))
        rows = await self._reader.run(lambda c: c.fetch(_SQL["stream"], *values))
        if not rows:
            raise self._replaced()
        return [] if rows[0][0] is None else [_entry(row) for row in rows]

    async def head(self) -> Position:
        """See `Feed.head`."""
        head = await self._reader.run(lambda c: c.fetchval(_SQL["head"], self.log_id))
        if head is None:
            raise self._replaced()
        return Position(0, head)

    async def read(
        self, after: Position, limit: int, types: frozenset[str] | None = None, until: Position | None = None
    ) -> FeedPage:
        """See `Feed.read`."""
        heard = self._news.head
        wanted = None if types is None else sorted(types)
        last = min(after.offset + limit, MAX_OFFSET if until is None else until.offset)
        values = (self.log_id, after.offset, last, wanted, PAGE_BYTES)
        rows = await self._reader.run(lambda c: c.fetch(_SQL["page"], *values))
        if not rows:
            raise self._replaced()
        head: int = rows[0][0]
        if head < heard:
            self._news.head = head  # the log is shorter than it was: do not wait for events that are gone
        check_not_beyond(after, Position(0, head))
        return self._page(rows, after, min(head, last), head if until is None else min(head, until.offset))

    @staticmethod
    def _page(rows: Sequence[Sequence[Any]], after: Position, upto: int, end: int) -> FeedPage:
        if upto <= after.offset:
            return FeedPage((), after)
        if rows[0][2] is None:
            return FeedPage((), Position(0, upto), more=upto < end)
        entries = [
            Entry(Position(0, offset), stream, version, type_, schema, data, meta, at)
            for _, _, offset, stream, version, type_, schema, data, meta, at in rows
        ]
        if rows[-1][1] >= PAGE_BYTES:
            return FeedPage(entries, entries[-1].position, more=entries[-1].position.offset < end)
        return FeedPage(entries, Position(0, upto), more=upto < end)

    async def wait(self, after: Position, timeout_s: float) -> None:
        """See `Feed.wait`."""
        if self._news.head <= after.offset:
            await self._news.wait(self._news.appends, timeout_s)

    def _replaced(self) -> LogReplaced:
        return another_log(self._address, self.log_id)


async def _rename(connection: Connection, log_id: str, old: str) -> bool:
    async with brief_transaction(connection):
        renamed = await connection.fetchval(_SQL["rename"], log_id, old)
        if renamed:
            await connection.execute(_SQL["rename_checkpoints"], log_id)
    return bool(renamed)


def _entry(row: Sequence[Any]) -> Entry:
    return Entry(Position(0, row[0]), *row[1:])
