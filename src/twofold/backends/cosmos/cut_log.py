"""The log of the cuts: a document for each, beside the feed, so that a cut is no news to the followers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from twofold.backends.cosmos import layout
from twofold.backends.cosmos.client import Container
from twofold.backends.cosmos.poll import POLL_S, Poll
from twofold.backends.cosmos.refusals import Conflict
from twofold.backends.cosmos.streams import LIMITS
from twofold.errors import TwofoldError, VersionConflict
from twofold.feed.checkpoints import Checkpoints
from twofold.messages import Append, Entry, Position, Receipt, Stream
from twofold.write.log import Loaded

_HEAD = "newest"
_EARLIEST = datetime.min.replace(tzinfo=UTC)


class CutLog:
    """What `Cuts` needs of a log: one stream, whose positions are its versions."""

    partition = 0
    limits = LIMITS

    def __init__(self, container: Container, log_id: Callable[[], str], checkpoints: Checkpoints) -> None:
        self._container, self._log_id, self.checkpoints = container, log_id, checkpoints
        self._poll, self._newest = Poll(self._look), dict[Stream, int]()  # by the log's id

    @property
    def log_id(self) -> str:
        """See `Log.log_id`."""
        return self._log_id()

    async def head(self) -> Position:
        """There is nothing else in this log."""
        return Position(0, 0)

    async def load(
        self, stream: Stream, command_id: str | None = None, last: int | None = None, after: int = 0
    ) -> Loaded:
        """The newest cut, if it is beyond `after`."""
        newest = await self._container.read(_HEAD, str(stream))
        if newest is not None:
            self._newest[stream] = max(self._newest.get(stream, 0), newest["number"])
        if newest is None or newest["number"] <= after:
            return Loaded([], after, Position(0, after), None)
        event = ("Cut", 1, msgspec.json.encode(newest["vector"]))
        return Loaded([event], newest["number"], Position(0, newest["number"]), None)

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """See `Log.commit`, for one append of one event with an expected version."""
        [append] = batch
        number, key = (append.expected_version or 0) + 1, str(append.stream)
        vector = msgspec.json.decode(append.events[0].data)
        cut = {"id": str(number), "key": key, "command": str(number), "number": number, "vector": vector}
        head = {**cut, "id": _HEAD, "command": _HEAD}
        seen = await self._container.read(_HEAD, key)
        actual = 0 if seen is None else seen["number"]
        if actual != number - 1:
            return [VersionConflict(append.stream, number - 1, actual)]
        moved = layout.created(head) if seen is None else layout.replaced(head, seen["_etag"])
        try:
            await self._container.batch([layout.created(cut), moved], key)
        except Conflict:
            return [VersionConflict(append.stream, number - 1, number)]
        return [Receipt(append.stream, number, 1, Position(0, number), append.command_id, self.log_id)]

    async def read_stream(self, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        """See `Log.read_stream`."""
        found = await self._container.query(
            "SELECT c.number, c.vector FROM c WHERE c.number >= @first AND c.number < @end AND c.id != @head",
            str(stream),
            first=from_version,
            end=from_version + limit,
            head=_HEAD,
        )
        return [
            Entry(
                Position(0, one["number"]),
                str(stream),
                one["number"],
                "Cut",
                1,
                msgspec.json.encode(one["vector"]),
                b"{}",
                _EARLIEST,
            )
            for one in sorted(found, key=lambda one: one["number"])
        ]

    async def wait(self, after: Position, timeout_s: float) -> None:
        """Return when there is a cut beyond this one, or when the time is up."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_s
        while self._known <= after.offset and (left_s := deadline - clock()) > 0:
            await self._poll.once()
            if self._known <= after.offset:
                await asyncio.sleep(min(POLL_S, left_s))

    @property
    def _stream(self) -> Stream:
        return Stream("cut", self.log_id)

    @property
    def _known(self) -> int:
        return self._newest.get(self._stream, 0)

    async def _look(self) -> None:
        await self.load(self._stream)
