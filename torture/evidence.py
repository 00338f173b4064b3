"""Everything known when it is over: the journals, the log, and the rows. Read with plain SQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from torture.app import app
from torture.journal import Fact, Journals
from twofold.backends.connect import beside, is_postgres, sqlite_path
from twofold.messages import Meta

Table = Sequence[Sequence[Any]]  # its rows

_META = msgspec.json.Decoder(Meta)
_EVENTS = "SELECT position, stream, version, type, {text}, {meta} FROM {schema}events ORDER BY position"
_RECEIPTS = "SELECT stream, command_id, version, events, position FROM {schema}commands"
_ROWS = {
    projection.name: f"SELECT {', '.join(f.name for f in fields(projection.row))} FROM {projection.name}"  # noqa: S608
    for projection in app.projections
}


class Logged(msgspec.Struct, frozen=True, gc=False):
    """One event as stored in the log."""

    position: int
    stream: str
    version: int
    type: str
    data: str
    command_id: str = ""
    causation_id: str | None = None


@dataclass(frozen=True)
class Violation:
    """Something wrong, and where it shows.

    Either a broken promise: lost, doubled, skipped, torn, refused (but stored), gap, row, parked, negative, stale. Or
    something that should not happen during a run: stuck, fallen, damage.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Evidence:
    """The input of the checker.

    `receipts`: (stream, command id) → version, events, position. `facts`: each with the name of its process. `rows`:
    by projection and key. `parked`: by follower, key → position. `complaints`: problems noticed during the run,
    and damage to the files.
    """

    events: Sequence[Logged] = ()
    receipts: Mapping[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    facts: Sequence[tuple[str, Fact]] = ()
    rows: Mapping[str, Mapping[str, tuple[Any, ...]]] = field(default_factory=dict)
    parked: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    complaints: Sequence[Violation] = ()


def places(events: Sequence[Logged]) -> str:
    """Describe where events are stored."""
    return ", ".join(str(event.position) for event in events)


async def gather(url: str, journals: Path, complaints: Sequence[Violation]) -> Evidence:
    """Gather everything, once nothing writes any more."""
    look = _in_postgres(url) if is_postgres(url) else asyncio.to_thread(_in_sqlite, url)
    (events, receipts, *rows), damage = await look
    return Evidence(
        [_logged(*event) for event in events],
        {(stream, command_id): (version, count, position) for stream, command_id, version, count, position in receipts},
        list(Journals(journals).news()),
        {name: {row[0]: tuple(row) for row in table} for name, table in zip(_ROWS, rows, strict=True)},
        await _parked(url),
        [*complaints, *[Violation("damage", found) for found in damage]],
    )


def _logged(position: int, stream: str, version: int, type: str, data: str, meta: str) -> Logged:
    read = _META.decode(meta)
    return Logged(position, stream, version, type, data, read.command_id, read.causation_id)


async def _in_postgres(url: str) -> tuple[list[Table], list[str]]:
    import asyncpg

    columns = {"schema": "twofold.", "text": "data::text", "meta": "meta::text"}
    connection = await asyncpg.connect(url)
    try:
        asked = [_EVENTS.format(**columns), _RECEIPTS.format(**columns), *_ROWS.values()]
        return [[tuple(row) for row in await connection.fetch(sql)] for sql in asked], []
    finally:
        await connection.close()


def _in_sqlite(url: str) -> tuple[list[Table], list[str]]:
    import apsw

    columns = {"schema": "twofold_", "text": "data", "meta": "meta"}
    with (
        closing(apsw.Connection(str(sqlite_path(url)))) as log,
        closing(apsw.Connection(str(sqlite_path(beside(url))))) as rows,
    ):
        tables: list[Table] = [log.execute(sql.format(**columns)).fetchall() for sql in (_EVENTS, _RECEIPTS)]
        tables += [rows.execute(sql).fetchall() for sql in _ROWS.values()]
        found = [text for file in (log, rows) for (text,) in file.execute("PRAGMA integrity_check") if text != "ok"]
        return tables, found


async def _parked(url: str) -> dict[str, dict[str, int]]:
    async with app.look(url) as running:
        return {
            following.follower.follows.name: {
                json.loads(one.key)[0] if one.kind == "row" else one.key: one.position.offset
                for one in await following.checkpoints.parked(following.follower.follows)
            }
            for following in running.followers
        }
