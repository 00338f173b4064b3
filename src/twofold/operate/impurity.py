"""Folds some rows again in other processes, where a fold that depends on the order of a set gives other results.

Python orders sets of strings by a hash with a random seed per process, so within one process such a fold looks pure.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

import msgspec

from twofold.app import App, Running
from twofold.codec.jsontext import json_text
from twofold.feed.partitions import feed_of
from twofold.messages import Entry, Meta, Position, Recorded
from twofold.operate.load import load_app
from twofold.read.parked import ParkedKeys
from twofold.read.projection import Key, Projection, key_text
from twofold.read.proof.examine import Fault, same_value
from twofold.read.proof.verify import Report
from twofold.read.selector import Selector

SEEDS = ("1", "2", "3", "4")
MOST_ROWS = 5
MOST_EVENTS = 20_000

_PROGRAM = "from twofold.operate.impurity import main; main()"


class _Fact(msgspec.Struct):
    """An `Entry` for another process: its JSON is text."""

    position: Position
    stream: str
    version: int
    type: str
    schema: int
    data: str
    meta: str
    recorded_at: datetime


class _Row(msgspec.Struct):
    """All events of a row."""

    key: str
    facts: list[_Fact]


async def faults_elsewhere(name: str, running: Running, projection: Projection[Any], report: Report) -> Sequence[Fault]:
    """Fold rows that differ in other processes, and return how they differ there. `name` is where the App is."""
    keys = [one.key for one in report.differences if one.kind == "different"][:MOST_ROWS]
    events = await _events(running, projection, keys, report) if keys else {}
    rows = [_Row(key_text(key), [_fact(running.app, event) for event in history]) for key, history in events.items()]
    for seed in SEEDS if rows else ():
        there = await _ask(name, projection.name, seed, rows)
        for key, history in events.items():
            here = _folded(running.app.folding(projection), key, history)
            differing = _differing(projection, here, there.get(key_text(key)))
            if differing is not None:
                what = (
                    f"it differs in another process, {differing}: the fold depends on something that differs between "
                    f"processes, such as the order of a set"
                )
                return [Fault(what, key_text(key), history[-1].id)]
    return []


async def _events(
    running: Running, projection: Projection[Any], keys: Sequence[Key], report: Report
) -> dict[Key, list[Recorded]]:
    selector = Selector(projection, running.app.codec, set(keys).__contains__)
    collected: dict[Key, list[Recorded]] = {key: [] for key in keys}
    parked = ParkedKeys([*report.parked, *report.failures])
    for end in report.end:
        feed = feed_of(running.log, end.partition)
        async with aclosing(selector.pages(feed, Position(end.partition, 0), end, parked)) as history:
            async for page in history:
                for key, of_key in page.events.items():
                    collected[key] += of_key
    return {key: history for key, history in collected.items() if 0 < len(history) <= MOST_EVENTS}


async def _ask(name: str, projection: str, seed: str, rows: Sequence[_Row]) -> dict[str, list[str] | None]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROGRAM,
        name,
        projection,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    output, _ = await child.communicate(msgspec.json.encode(rows))
    if child.returncode:
        return {}
    folded: dict[str, list[str] | None] = msgspec.json.decode(output.splitlines()[-1])
    return folded


def _differing(projection: Projection[Any], here: list[str] | None, there: list[str] | None) -> str | None:
    if here is None or there is None:
        return None
    for field, mine, other in zip(projection.format.fields, here, there, strict=True):
        pair = (msgspec.json.decode(mine), msgspec.json.decode(other))
        if not same_value(field, *pair):
            return f"where {field.name} is {pair[1]!r:.80} instead of {pair[0]!r:.80}"
    return None


def _folded(projection: Projection[Any], key: Key, events: Sequence[Recorded]) -> list[str] | None:
    """The columns of a row, each as JSON; None if there is no row."""
    values = projection.fold(key, None, events).values
    return None if values is None else [json_text(value) for value in values]


def _fact(app: App, recorded: Recorded) -> _Fact:
    encoded = app.codec.encode(recorded.event)
    meta = Meta(recorded.command_id, recorded.correlation_id, recorded.causation_id, recorded.actor)
    place = (recorded.position, str(recorded.stream), recorded.version)
    return _Fact(*place, encoded.type, encoded.schema, encoded.data.decode(), json_text(meta), recorded.recorded_at)


def main() -> None:
    """The program that runs in the other process."""
    app = load_app(sys.argv[1])
    [projection] = [app.folding(one) for one in app.projections if one.name == sys.argv[2]]
    folded: dict[str, list[str] | None] = {}
    for row in msgspec.json.decode(sys.stdin.buffer.read(), type=list[_Row]):
        events = [app.codec.recorded(Entry(*msgspec.structs.astuple(fact))) for fact in row.facts]
        [key] = [key for key in projection.keys(events[0]) if key_text(key) == row.key]
        folded[row.key] = _folded(projection, key, events)
    sys.stdout.write("\n" + msgspec.json.encode(folded).decode() + "\n")
