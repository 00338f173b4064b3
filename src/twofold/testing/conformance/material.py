"""Appends without a domain, for the tests of the log and the feed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import count
from typing import Any

import msgspec

from twofold.errors import TwofoldError
from twofold.feed.feed import Feed
from twofold.feed.partitions import feed_of, partition_of
from twofold.messages import BEGINNING, Append, Encoded, Entry, Meta, Position, Receipt, StoredEvent, Stream
from twofold.write.log import Log

UNUSUAL_IDS = (
    "a-b--c-",
    'o\'reilly "quoted" `back`',
    "100% of %s and _ and \\",
    "; DROP TABLE twofold_events --",
    "{}[]:/?#&=$1",
    " ",
    "Größe",
    "Gro\u0308ße",  # looks the same, but is different to a store
    "größe",
    "שלום-عليكم",
    "日本語",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "\u00a0",
    "x" * 200,
    "🦊" * 200,
)

_fresh = (f"command {number}" for number in count(1))


def event(value: object = None, type: str = "Noted", schema: int = 1) -> Encoded:
    """An event whose JSON is `{"value": …}`."""
    return Encoded(type, schema, msgspec.json.encode({"value": value}), None)


def append(
    stream: str = "note-1",
    *events: Encoded,
    expected: int | None = None,
    command_id: str | None = None,
) -> Append:
    """An append with a new command id, unless one is given."""
    command_id = command_id or next(_fresh)
    return Append(Stream.parse(stream), events, expected, Meta(command_id, command_id))


async def commit(log: Log, *batch: Append) -> list[Receipt | TwofoldError]:
    """The outcomes of one batch."""
    return list(await log.commit(batch))


async def appended(log: Log, stream: str = "note-1", *values: object, command_id: str | None = None) -> Receipt:
    """The receipt of an append that must succeed."""
    [outcome] = await log.commit([append(stream, *(event(value) for value in values), command_id=command_id)])
    assert isinstance(outcome, Receipt), outcome
    return outcome


def value(stored: Entry | StoredEvent) -> Any:
    """The argument of `event`."""
    data = stored.data if isinstance(stored, Entry) else stored[2]
    return msgspec.json.decode(data)["value"]


async def values(log: Log, stream: str = "note-1") -> list[Any]:
    """The values in a stream."""
    return [value(stored) for stored in (await log.load(Stream.parse(stream))).events]


class Places:
    """The positions of a feed's events, so that a test can say "after the third one" of any log."""

    def __init__(self, beginning: Position, entries: Sequence[Entry]) -> None:
        self._places = [beginning, *(entry.position for entry in entries)]

    @staticmethod
    async def of(feed: Feed) -> Places:
        """All events so far."""
        return Places(Position(feed.partition, 0), await all_of(feed))

    def __getitem__(self, number: int) -> Position:
        """The position of event `number`, from 1; the beginning for 0; beyond the end for what comes later."""
        last = self._places[-1]
        later = number - len(self._places) + 1
        return self._places[number] if later <= 0 else Position(last.partition, last.offset + (later << 30))

    def number(self, position: Position) -> int:
        """How many of the events lie at or before a position."""
        return bisect_right(self._places, position) - 1

    def numbers(self, entries: Sequence[Entry]) -> list[int]:
        """Which events these are."""
        assert all(entry.position in self._places for entry in entries)
        return [self.number(entry.position) for entry in entries]


async def all_of(feed: Feed) -> list[Entry]:
    """All events that there are by now, in the order of this feed."""
    at, entries = Position(feed.partition, 0), list[Entry]()
    while (page := await feed.read(at, 1_000)).upto != at:
        at = page.upto
        entries += page.entries
    return entries


def own_feed(log: Any, id: str) -> Feed:
    """The feed of the partition in which the streams with this id lie."""
    return feed_of(log, partition_of(log, id))


def neighbour(log: Any, id: str) -> str:
    """Another id whose streams lie in the same partition, so that one follower has the events of both."""
    partition = partition_of(log, id)
    return next(other for n in count() if partition_of(log, other := f"neighbour{n}") == partition)


async def place_of(log: Any, event_id: str) -> Position:
    """The position of an event (`note-1@2`) in its partition."""
    stream, _, version = event_id.rpartition("@")
    [entry] = await log.read_stream(Stream.parse(stream), int(version), 1)
    found: Position = entry.position
    return found


async def place_in(feed: Feed, event_id: str) -> Position:
    """The position of an event in a feed, such as the merged one."""
    [found] = [entry.position for entry in await all_of(feed) if f"{entry.stream}@{entry.version}" == event_id]
    return found


def offsets(entries: Sequence[Entry]) -> list[int]:
    """The positions of entries as numbers."""
    return [entry.position.offset for entry in entries]


def at(offset: int, partition: int = BEGINNING.partition) -> Position:
    """A position, by default in the only partition of most logs."""
    return Position(partition, offset)
