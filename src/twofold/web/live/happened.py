"""Events of the log as messages, each with the row that it led to. They are read and encoded once for all clients."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from twofold.app import HISTORY_PAGE, Running
from twofold.errors import ConfigurationError, InvalidToken, RowUnreadable, Unavailable
from twofold.messages import Entry, Position, Recorded, Stream, Token
from twofold.read.columns import Values
from twofold.read.projection import Projection
from twofold.read.query import row_of

AT_ONCE = 100  # events: what a slow client keeps in memory
MOST_ROWS = 1_000  # of the latest events, to fold on from
LOOK_EVERY_S = 1.0  # if no doorbell rings, and while the store cannot be reached

_ENCODE = msgspec.json.Encoder().encode

log = logging.getLogger("twofold.watch")


class Happened(msgspec.Struct, frozen=True):
    """An event as a message. `values` are those of the row after it; None if there is none, or it cannot be made."""

    position: Position
    token: str
    message: bytes
    values: Values | None


class _Reading:
    """A page that is being read, and how many wait for it."""

    def __init__(self, page: asyncio.Task[Sequence[Happened]]) -> None:
        self.page, self.waiting = page, 0


class Happening:
    """What happens in a running App, as far as these events tell: `{"type", member, "token"}`.

    `names` are the types by class, and `written` makes the JSON of a row. The row is folded from the event's stream up
    to the event, so it is the one that could be read then, however late the message is sent, and the same each time.

    Raises: ConfigurationError for a projection whose rows are not those of streams.
    """

    def __init__(
        self,
        running: Running,
        projection: Projection[Any],
        names: Mapping[type, str],
        member: str,
        written: Callable[[Any], bytes],
    ) -> None:
        if projection.key is not None:
            raise ConfigurationError(f"{projection.owner} has key=, so an event does not tell its row: use another one")
        self._running, self.projection = running, running.app.folding(projection)
        self._names = {stored: name for cls, name in names.items() for stored in running.app.codec.names([cls])}
        self._member, self._written = member, written
        self._readings: dict[Position, _Reading] = {}
        self._rows: dict[str, tuple[int, Values | None]] = {}  # of the latest events, by stream, with its version

    async def place(self, after: str | None) -> Position:
        """Where a client begins: after a token, or now. Raises: InvalidToken, LogReplaced, Unavailable."""
        if after is None:
            return await self._running.log.head()
        await self._running.check_token(after)
        position = Token.parse(after).position
        if position.partition != self._running.log.partition:
            raise InvalidToken(f"{after!r:.80} is of one partition of the log: send the token of a message", after)
        return position

    def token(self, place: Position) -> str:
        """The token of a place."""
        return str(Token(self._running.log.log_id, place))

    async def after(self, place: Position) -> Sequence[Happened]:
        """The next events after a place, once there are any. Raises: LogReplaced."""
        reading = self._readings.get(place)
        if reading is None:
            reading = self._readings[place] = _Reading(asyncio.create_task(self._read(place), name="reading events"))
        reading.waiting += 1
        try:
            return await asyncio.shield(reading.page)
        finally:
            reading.waiting -= 1
            if not reading.waiting:
                del self._readings[place]
                reading.page.cancel()

    async def _read(self, place: Position) -> Sequence[Happened]:
        feed = self._running.log
        while True:
            try:
                page = await feed.read(place, AT_ONCE, frozenset(self._names))
                if page.entries:
                    return [await self._happened(entry) for entry in page.entries]
                place = page.upto
                if not page.more:
                    await feed.wait(place, LOOK_EVERY_S)
            except Unavailable as error:
                log.warning("clients that wait for events wait longer: %s", error)
                await asyncio.sleep(LOOK_EVERY_S)

    async def _happened(self, entry: Entry) -> Happened:
        """Raises: Unavailable."""
        name, token = self._names[entry.type], self.token(entry.position)
        values, row = None, b"null"
        try:
            values = await self._values(entry)
            row = b"null" if values is None else self._written(row_of(self.projection, values))
        except Unavailable:
            raise
        except Exception as error:  # decoding, folds and `returns=` are user code; such a row is parked
            values = None
            log.error(
                "no row of %s after the event at %s: %s", self.projection.name, entry.position, type(error).__name__
            )
        message = b'{"type":%b,"%b":%b,"token":%b}' % (_ENCODE(name), self._member.encode(), row, _ENCODE(token))
        return Happened(entry.position, token, message, values)

    async def _values(self, entry: Entry) -> Values | None:
        """The row after an event. Raises: RowUnreadable, Unavailable, UndecodableEvent."""
        key, projection = (Stream.parse(entry.stream).id,), self.projection
        version, values = self._rows.pop(entry.stream, (0, None))
        if version > entry.version:
            version, values = 0, None
        found = await self._events(entry, version + 1)
        events = [one for one in found if isinstance(one.event, projection.event_types)]
        folded = projection.fold(key, values, events)
        if folded.error is not None:
            raise RowUnreadable(projection.name, key, type(folded.error).__name__)
        self._rows[entry.stream] = entry.version, folded.values
        if len(self._rows) > MOST_ROWS:
            del self._rows[next(iter(self._rows))]
        return folded.values

    async def _events(self, upto: Entry, version: int) -> Sequence[Recorded]:
        """The events of a stream from a version on, up to one of them."""
        if version == upto.version:
            return [self._running.app.codec.recorded(upto)]
        events: list[Recorded] = []
        while version <= upto.version:
            limit = min(HISTORY_PAGE, upto.version - version + 1)
            page = await self._running.log.read_stream(Stream.parse(upto.stream), version, limit)
            events += map(self._running.app.codec.recorded, page)
            version += limit
        return events
