"""The evidence of a log in Azure Cosmos DB, read from the files of the development server with plain SQL.

Ranges split during the run. Everything is put where it lies at the end: an event of a range that has split counts for
the part that holds it now, and so does what was seen of it in the former range. Its offset stays the same.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from torture.app import app
from torture.evidence import CUT_BITS, ROWS, Evidence, Logged, Violation, logged, parked_in, tables_in
from torture.journal import Acked, Fact, Journals, Seen
from torture.parts import OFFSET_BITS, looked, number_of, position_of
from torture.ranges import CONTAINER, data_of, folder_of, rows_of
from twofold.messages import Position

LSN_BITS = 14  # of an offset, for the number of an event in its commit
FILE = "cosmos.db"
_DOCUMENTS = """SELECT d.lsn, d.place, d.body FROM documents d JOIN resources r ON r.number = d.container
    WHERE r.kind = 'colls' AND r.id = '{}' ORDER BY d.lsn, d.number"""

_set = msgspec.structs.replace


@dataclass(frozen=True)
class Range:
    """A partition of the log: the places from `begin` to `end`, exclusive."""

    number: int
    begin: str
    end: str
    parent: int | None


class Lineage:
    """All ranges there are or were, by number from 1."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self._ranges = ranges
        parents = {one.parent for one in ranges}
        self.leaves = [one.number for one in ranges if one.number not in parents]

    def leaf(self, place: str) -> int:
        """The range that has a place now."""
        of_leaves = (self._ranges[number - 1] for number in self.leaves)
        return next(one.number for one in of_leaves if one.begin <= place < one.end)

    def within(self, number: int | None, ancestor: int) -> bool:
        """Whether a range is another one, or came of it."""
        while number is not None and number != ancestor:
            number = self._ranges[number - 1].parent
        return number == ancestor

    def whole(self, vector: Sequence[int]) -> list[int]:
        """The same place in all ranges: the parts of one that split begin where it ended."""
        found = list(vector)
        for one in self._ranges[len(found) :]:
            found.append(0 if one.parent is None else found[one.parent - 1])
        return found


@dataclass(frozen=True)
class Stored:
    """A document of the container of events."""

    lsn: int
    leaf: int
    body: Mapping[str, Any]

    def position(self, version: int) -> int:
        """Where a version of the stream is, in a commit."""
        return number_of(Position(self.leaf, self.lsn << LSN_BITS | version - self.body["first"] + 1))


async def gather_from_ranges(url: str, journals: Path, complaints: Sequence[Violation]) -> Evidence:
    """Gather everything, once nothing writes any more."""
    folder = folder_of(url)
    assert folder is not None
    async with looked(app, url) as running:
        await running.prepare()
    parked = await parked_in(url)
    return await asyncio.to_thread(_gathered, folder, list(Journals(journals).news()), parked, complaints)


def _gathered(
    folder: Path,
    facts: Sequence[tuple[str, Fact]],
    parked: Mapping[str, Mapping[str, int]],
    complaints: Sequence[Violation],
) -> Evidence:
    names = (CONTAINER, f"{CONTAINER}-twofold")
    (documents, others), damage = tables_in(_copy(folder), [_DOCUMENTS.format(name) for name in names])
    rows, damaged = tables_in(rows_of(folder), list(ROWS.values()))
    beside = [json.loads(body) for _, _, body in others]
    lineage = lineage_of(beside)
    stored = [Stored(lsn, lineage.leaf(place), json.loads(body)) for lsn, place, body in documents]
    events, leaves = events_of(stored), {one.body["stream"]: one.leaf for one in stored}
    return Evidence(
        events,
        in_one_order(events, lineage, vectors_of(beside)),
        receipts_of(stored),
        [(name, one) for name, fact in facts for one in moved(fact, leaves, lineage)],
        {name: {row[0]: tuple(row) for row in table} for name, table in zip(ROWS, rows, strict=True)},
        parked,
        [*complaints, *[Violation("damage", found) for found in [*damage, *damaged]]],
        dense=False,
    )


def _copy(folder: Path) -> Path:
    """Of the server's file, which the server locks; nothing writes to it now."""
    copy = folder / FILE
    for suffix in ("", "-wal"):
        shutil.copy(data_of(folder) / f"{FILE}{suffix}", f"{copy}{suffix}")
    return copy


def lineage_of(beside: Sequence[Mapping[str, Any]]) -> Lineage:
    """The ranges as the log numbers them."""
    registry = next((one for one in beside if one["id"] == "log"), None)
    ranges = [] if registry is None else registry["ranges"]
    return Lineage([Range(one["number"], one["range"]["begin"], one["range"]["end"], one["parent"]) for one in ranges])


def vectors_of(beside: Sequence[Mapping[str, Any]]) -> list[Sequence[int]]:
    """Those of the cuts, in order."""
    cuts = {one["number"]: one["vector"] for one in beside if one["key"].startswith("cut-") and one["id"] != "newest"}
    return [cuts[number] for number in sorted(cuts)]


def events_of(stored: Sequence[Stored]) -> list[Logged]:
    """All events by partition and offset."""
    commits = [one for one in stored if one.body["kind"] == "commit"]
    return sorted((event for one in commits for event in _events(one)), key=lambda event: event.position)


def _events(commit: Stored) -> Iterator[Logged]:
    body = commit.body
    for version, (type_, _, data) in enumerate(body["events"], body["first"]):
        place = commit.position(version)
        yield logged(place, body["stream"], version, type_, data, body["meta"], body["recorded_at"])


def receipts_of(stored: Sequence[Stored]) -> dict[tuple[str, str], tuple[int, int, int]]:
    """What the store would answer to each command that is sent again."""
    ends = {(one.body["stream"], one.body["last"]): one for one in stored if one.body["kind"] == "commit"}
    found: dict[tuple[str, str], tuple[int, int, int]] = {}
    for one in stored:
        body = one.body
        if body["kind"] not in ("commit", "receipt"):
            continue
        count = len(body["events"]) if body["kind"] == "commit" else body["count"]
        end = ends.get((body["stream"], body["last"]))
        place = number_of(Position(one.leaf, 0)) if end is None else end.position(body["last"])
        found[body["stream"], body["command"]] = (body["last"], count, place)
    return found


def in_one_order(events: Sequence[Logged], lineage: Lineage, vectors: Sequence[Sequence[int]]) -> list[Logged]:
    """The merged feed: cut by cut; in a cut by the latest time so far in the partition, then partition and place."""
    merged: list[Logged] = []
    before: Sequence[int] = ()
    within = cache(lambda number: _within(number, events, lineage))
    for cut, vector in enumerate(vectors, start=1):
        timed = []
        for number, (after, upto) in enumerate(zip(lineage.whole(before), vector, strict=False), start=1):
            offsets, mine = within(number)
            part = mine[bisect_right(offsets, after) : bisect_right(offsets, upto)]
            times = accumulate((event.recorded_at for event in part), max)
            places = [(time, number, index) for index, time in enumerate(times)]
            timed += list(zip(places, part, strict=True))
        for index, (_, event) in enumerate(sorted(timed, key=lambda one: one[0]), start=1):
            merged.append(_set(event, position=cut << CUT_BITS | index))
        before = vector
    return merged


def _within(number: int, events: Sequence[Logged], lineage: Lineage) -> tuple[list[int], list[Logged]]:
    """The events that were, or are, in a range: their offsets, and themselves."""
    found = [event for event in events if lineage.within(event.position >> OFFSET_BITS, number)]
    found.sort(key=lambda event: position_of(event.position).offset)
    return [position_of(event.position).offset for event in found], found


def moved(fact: Fact, leaves: Mapping[str, int], lineage: Lineage) -> Iterator[Fact]:
    """A fact as if the ranges had always been those that there are at the end.

    What was told of a range that never held the stream stays as it is, which the checker then reports.
    """
    if isinstance(fact, Acked):
        at = position_of(fact.position)
        leaf = leaves.get(fact.stream, at.partition)
        held = lineage.within(leaf, at.partition)
        yield _set(fact, position=number_of(Position(leaf, at.offset))) if held else fact
    elif isinstance(fact, Seen) and fact.partition:
        homes = [leaf for leaf in lineage.leaves if lineage.within(leaf, fact.partition)]
        for home in homes:
            events = [one for one in fact.events if _home(leaves.get(one[1]), homes) == home]
            yield _set(fact, events=events, partition=home)
    else:
        yield fact


def _home(leaf: int | None, homes: Sequence[int]) -> int:
    return leaf if leaf is not None and leaf in homes else homes[0]
