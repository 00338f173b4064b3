"""Appends as the arguments of the functions in append.sql."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from twofold.errors import BatchRefused
from twofold.messages import Append, Encoded


def of_one(append: Append) -> tuple[Any, ...]:
    """The arguments of `twofold.append_one` after the log id."""
    [event] = append.events
    return (
        str(append.stream),
        append.command_id,
        append.expected_version,
        msgspec.json.encode(append.meta).decode(),
        event.type,
        event.schema,
        _text(event),
    )


def of_batch(batch: Sequence[Append]) -> tuple[Sequence[Any], ...]:
    """The arguments of `twofold.append` after the log id: each stream and command once, then the appends."""
    streams: dict[str, int] = {}
    commands: dict[tuple[int, str], int] = {}
    places, firsts, before = [], [], 0
    for append in batch:
        stream = streams.setdefault(str(append.stream), len(streams) + 1)
        places.append(commands.setdefault((stream, append.command_id), len(commands) + 1))
        firsts.append(before)
        before += len(append.events)
    events = [event for append in batch for event in append.events]
    return (
        list(streams),
        [stream for stream, _ in commands],
        [command_id for _, command_id in commands],
        places,
        [append.expected_version for append in batch],
        [msgspec.json.encode(append.meta).decode() for append in batch],
        [len(append.events) for append in batch],
        firsts,
        [event.type for event in events],
        [event.schema for event in events],
        [_text(event) for event in events],
    )


def _text(event: Encoded) -> str:
    try:
        return event.data.decode()
    except UnicodeDecodeError as error:
        raise BatchRefused(str(error)) from error
