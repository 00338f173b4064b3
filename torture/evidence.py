"""Everything known when it is over: the journals, the log, and the rows. Read with plain SQL."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from torture.app import app
from torture.journal import Fact, Journals
from torture.parts import OFFSET_BITS, files_of, looked, number_of, position_of, rows_of
from twofold.backends.urls import beside, is_postgres, sqlite_path
from twofold.messages import Meta, Position

Table = Sequence[Sequence[Any]]  # its rows

CUT_BITS = 24

_META = msgspec.json.Decoder(Meta)
_EVENTS = "SELECT position, stream, version, type, {text}, {meta} FROM {schema}events ORDER BY position"
_PART = "SELECT position, stream, version, type, data, meta, recorded_at FROM twofold_events ORDER BY position"
_CUTS = "SELECT data FROM twofold_events WHERE type = 'Cut' ORDER BY position"
_RECEIPTS = "SELECT stream, command_id, version, events, position FROM {schema}commands"
ROWS = {
    projection.name: f"SELECT {', '.join(f.name for f in fields(projection.row))} FROM {projection.name}"  # noqa: S608
    for projection in app.projections
}


class Logged(msgspec.Struct, frozen=True, gc=False):
    """One event as stored in the log. `position` is one number for partition and offset (see `number_of`)."""

    position: int
    stream: str
    version: int
    type: str
    data: str
    command_id: str = ""
    causation_id: str | None = None
    recorded_at: str = ""


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

    `merged`: of a log of several partitions, the events in the one order that its cuts fix.
    `receipts`: (stream, command id) → version, events, position. `facts`: each with the name of its process. `rows`:
    by projection and key. `parked`: by follower, key → position. `complaints`: problems noticed during the run,
    and damage to the files. `dense`: whether offsets count from 1 without a gap; if not, they only increase.
    """

    events: Sequence[Logged] = ()
    merged: Sequence[Logged] = ()
    receipts: Mapping[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    facts: Sequence[tuple[str, Fact]] = ()
    rows: Mapping[str, Mapping[str, tuple[Any, ...]]] = field(default_factory=dict)
    parked: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    complaints: Sequence[Violation] = ()
    dense: bool = True

    def feeds(self) -> Mapping[int, Sequence[Logged]]:
        """What a reader of each feed must see: of the partitions, and of the whole log."""
        found: dict[int, list[Logged]] = defaultdict(list, {0: list(self.merged)})
        for event in self.events:
            found[event.position >> OFFSET_BITS].append(event)
        return found


def places(events: Sequence[Logged]) -> str:
    """Describe where events are stored."""
    return ", ".join(str(position_of(event.position)) for event in events)


async def gather(url: str, journals: Path, complaints: Sequence[Violation]) -> Evidence:
    """Gather everything, once nothing writes any more."""
    async with looked(app, url) as running:
        await running.prepare()  # a run that is stopped at once may end before any process has made its tables
    if files_of(url):
        return await _of_parts(url, journals, complaints)
    look = _in_postgres(url) if is_postgres(url) else asyncio.to_thread(_in_sqlite, url)
    (events, receipts, *rows), damage = await look
    return Evidence(
        [logged(*event) for event in events],
        (),
        {(stream, command_id): (version, count, position) for stream, command_id, version, count, position in receipts},
        list(Journals(journals).news()),
        {name: {row[0]: tuple(row) for row in table} for name, table in zip(ROWS, rows, strict=True)},
        await parked_in(url),
        [*complaints, *[Violation("damage", found) for found in damage]],
    )


def logged(position: int, stream: str, version: int, type: str, data: str, meta: str, recorded_at: str = "") -> Logged:
    """One event, with its meta as it is stored."""
    read = _META.decode(meta)
    return Logged(position, stream, version, type, data, read.command_id, read.causation_id, recorded_at)


async def _of_parts(url: str, journals: Path, complaints: Sequence[Violation]) -> Evidence:
    """The same of a log of several partitions."""
    cuts, *parts = files_of(url)
    events: list[list[Logged]] = []
    receipts: dict[tuple[str, str], tuple[int, int, int]] = {}
    damage: list[str] = []
    for number, file in enumerate(parts, start=1):
        (found, kept), wrong = tables_in(file, [_PART, _RECEIPTS.format(schema="twofold_")])
        at = number_of(Position(number, 0))
        events.append([logged(at + offset, *rest) for offset, *rest in found])
        receipts |= {
            (stream, command): (version, count, at + offset) for stream, command, version, count, offset in kept
        }
        damage += wrong
    [vectors], wrong = tables_in(cuts, [_CUTS])
    rows, damaged = tables_in(rows_of(url), list(ROWS.values()))
    return Evidence(
        [event for part in events for event in part],
        in_one_order(events, [json.loads(data) for (data,) in vectors]),
        receipts,
        list(Journals(journals).news()),
        {name: {row[0]: tuple(row) for row in table} for name, table in zip(ROWS, rows, strict=True)},
        await parked_in(url),
        [*complaints, *[Violation("damage", found) for found in [*damage, *wrong, *damaged]]],
    )


def in_one_order(parts: Sequence[Sequence[Logged]], vectors: Sequence[Sequence[int]]) -> list[Logged]:
    """The merged feed: cut by cut; in a cut by the latest time so far in the partition, then partition and place."""
    merged: list[Logged] = []
    before: Sequence[int] = [0] * len(parts)
    for cut, vector in enumerate(vectors, start=1):
        timed = []
        for number, events in enumerate(parts):
            own = events[before[number] : vector[number]]
            times = accumulate((event.recorded_at for event in own), max)
            timed += [(time, event.position, event) for time, event in zip(times, own, strict=True)]
        for index, (_, _, event) in enumerate(sorted(timed, key=lambda one: one[:2]), start=1):
            merged.append(msgspec.structs.replace(event, position=cut << CUT_BITS | index))
        before = vector
    return merged


def tables_in(file: Path, questions: Sequence[str]) -> tuple[list[Table], list[str]]:
    """What these statements find in a file, and its damage."""
    import apsw

    with closing(apsw.Connection(str(file))) as db:
        tables: list[Table] = [db.execute(sql).fetchall() for sql in questions]
        return tables, [text for (text,) in db.execute("PRAGMA integrity_check") if text != "ok"]


async def _in_postgres(url: str) -> tuple[list[Table], list[str]]:
    import asyncpg

    columns = {"schema": "twofold.", "text": "data::text", "meta": "meta::text"}
    connection = await asyncpg.connect(url)
    try:
        asked = [_EVENTS.format(**columns), _RECEIPTS.format(**columns), *ROWS.values()]
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
        tables += [rows.execute(sql).fetchall() for sql in ROWS.values()]
        found = [text for file in (log, rows) for (text,) in file.execute("PRAGMA integrity_check") if text != "ok"]
        return tables, found


async def parked_in(url: str) -> dict[str, dict[str, int]]:
    """By follower, the position from which each key is parked."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    async with looked(app, url) as running:
        for following in running.followers:
            for one in await following.checkpoints.parked(following.follower_id):
                key = json.loads(one.key)[0] if one.kind == "row" else one.key
                found[following.follower_id.name][key] = number_of(one.position)
    return dict(found)
