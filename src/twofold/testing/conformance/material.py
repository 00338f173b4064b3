"""Appends without a domain: what the tests of the log and the feed are made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import msgspec

from twofold.errors import TwofoldError
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
    "Gro\u0308ße",  # the same to a reader, another one to a store
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
    """An append with a command id of its own, unless one is given."""
    command_id = command_id or next(_fresh)
    return Append(Stream.parse(stream), events, expected, Meta(command_id, command_id))


async def commit(log: Log, *batch: Append) -> list[Receipt | TwofoldError]:
    """The outcomes of one batch."""
    return list(await log.commit(batch))


async def appended(log: Log, stream: str = "note-1", *values: object, command_id: str | None = None) -> Receipt:
    """The receipt of an append that has to succeed."""
    [outcome] = await log.commit([append(stream, *(event(value) for value in values), command_id=command_id)])
    assert isinstance(outcome, Receipt), outcome
    return outcome


def value(stored: Entry | StoredEvent) -> Any:
    """What `event` was made of."""
    data = stored.data if isinstance(stored, Entry) else stored[2]
    return msgspec.json.decode(data)["value"]


async def values(log: Log, stream: str = "note-1") -> list[Any]:
    """What lies in a stream."""
    return [value(stored) for stored in (await log.load(Stream.parse(stream))).events]


def offsets(entries: Sequence[Entry]) -> list[int]:
    """The positions of entries as numbers."""
    return [entry.position.offset for entry in entries]


def at(offset: int, partition: int = BEGINNING.partition) -> Position:
    """A position; where nothing else is said, in the only partition of most logs."""
    return Position(partition, offset)
