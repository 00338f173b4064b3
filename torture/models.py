"""The log recomputed without the engine: what read models, reactions and stock must be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from torture.app import corrected_app
from torture.domain import (
    Answered,
    Cancelled,
    Placed,
    ReservationRefused,
    Reserved,
    Shelf,
    evolve_stock,
    stock,
)
from torture.evidence import CUT_BITS, Evidence, Logged, Violation, places
from torture.parts import position_of
from twofold.messages import Recorded, Stream
from twofold.read.projection import Projection

UNKNOWN_CUTS = 50
SOME_TIME = datetime(2000, 1, 1, tzinfo=UTC)

_CLASSES = {cls.__name__: cls for decider in corrected_app.deciders for cls in decider.event_types}


@dataclass
class Model:
    """The expected read model: its rows, and the position from which a key is parked."""

    rows: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    parked: dict[str, int] = field(default_factory=dict)


def read(event: Logged) -> Any:
    """What happened."""
    return msgspec.json.decode(event.data, type=_CLASSES[event.type])


def folded(projection: Projection[Any], events: Sequence[Logged]) -> Model:
    """Fold these events one by one."""
    rows: dict[str, Any] = {}
    parked: dict[str, int] = {}
    types = {cls.__name__ for cls in projection.event_types}
    for event in events:
        if event.type not in types:
            continue
        recorded = recorded_of(event)
        for key in keys_of(projection, recorded):
            if key in parked:
                continue
            try:
                rows[key] = projection.evolve(rows.get(key) or projection.row(key), recorded.event, recorded)
            except ValueError:
                parked[key] = event.position
    return Model({key: astuple(row) for key, row in rows.items()}, parked)


def recorded_of(event: Logged) -> Recorded:
    """The event in the form a fold gets."""
    position, stream = position_of(event.position), Stream.parse(event.stream)
    return Recorded(read(event), stream, event.version, position, SOME_TIME, event.command_id, event.command_id)


def keys_of(projection: Projection[Any], recorded: Recorded) -> list[str]:
    """The keys of the rows that an event touches."""
    return [recorded.stream.id] if projection.key is None else list(projection.key(recorded.event, recorded))


def rows(evidence: Evidence) -> Iterator[Violation]:
    """Each read model equals a fresh fold of the log, except rows that no fold could correct (G5, G7)."""
    for projection in corrected_app.projections:
        follows_merged = projection.key is not None and evidence.merged
        model = folded(projection, evidence.merged if follows_merged else evidence.events)
        there = evidence.rows.get(projection.name, {})
        for key in sorted(model.rows.keys() | there.keys()):
            if model.rows.get(key) != there.get(key):
                text = f"{projection.name} {key}: {there.get(key)}, but the log gives {model.rows.get(key)}"
                yield Violation("row", text)
        parked = evidence.parked.get(projection.name, {})
        if parked != model.parked:
            yield Violation("parked", f"{projection.name}: {parked} is parked, but the log gives {model.parked}")
    for reactor in corrected_app.reactors:
        if evidence.parked.get(reactor.name):
            yield Violation("parked", f"{reactor.name}: {evidence.parked[reactor.name]} is parked for no reason")


def cursed(events: Sequence[Logged]) -> set[str]:
    """The streams whose rows were or could have been parked at some time."""
    return {
        event.stream for event in events if event.type in (Placed.__name__, Cancelled.__name__) and read(event).curse
    }


def reactions(events: Sequence[Logged]) -> Iterator[Violation]:
    """Each consequence of an event happened once: a reservation for each item, a reply to each reservation."""
    caused: dict[tuple[str, str], list[Logged]] = defaultdict(list)
    for event in events:
        if event.causation_id is not None:
            caused[event.causation_id, event.stream].append(event)
    for event in events:
        for stream, content in consequences(event):
            found = caused.pop((f"{event.stream}@{event.version}", stream), [])
            cause = f"{event.stream}@{event.version} at {event.position}"
            if not found:
                yield Violation("lost", f"{cause} should be followed by {content} on {stream}, but was not")
            elif len(found) > 1:
                yield Violation("doubled", f"{cause} was followed by more than one event on {stream}: {places(found)}")
            elif read(found[0]) not in content:
                yield Violation("lost", f"{cause} was followed by {read(found[0])} on {stream}, not by {content}")
    for (cause, stream), found in caused.items():
        yield Violation("doubled", f"{places(found)} on {stream} follow from {cause}, but should not")


def later_cuts(merged: Sequence[Logged]) -> Iterator[Violation]:
    """Consequences of an event are in a later cut; reactors may not have known the first cuts yet."""
    cuts = {f"{event.stream}@{event.version}": event.position >> CUT_BITS for event in merged}
    for event in merged:
        cut, cause = event.position >> CUT_BITS, cuts.get(event.causation_id or "", 0)
        if event.causation_id is not None and cut > UNKNOWN_CUTS and not cause < cut:
            text = f"{event.stream}@{event.version} follows from {event.causation_id}, and is in cut {cut}, not later"
            yield Violation("skipped", text)


def consequences(event: Logged) -> Iterator[tuple[str, list[Any]]]:
    """What must follow from an event: the stream, and the allowed contents."""
    name = Stream.parse(event.stream).id
    match read(event):
        case Placed(items):
            for item in items:
                yield f"stock-{item.product}", [Reserved(name, item.quantity), ReservationRefused(name, item.quantity)]
        case Reserved(order):
            yield f"order-{order}", [Answered(name, reserved=True)]
        case ReservationRefused(order):
            yield f"order-{order}", [Answered(name, reserved=False)]


def shelves(events: Sequence[Logged]) -> Iterator[Violation]:
    """No product's stock was ever below zero in its history."""
    there: dict[str, Shelf] = defaultdict(lambda: stock.initial)
    for event in events:
        if event.stream.startswith("stock-"):
            there[event.stream] = evolve_stock(there[event.stream], read(event))
            if there[event.stream].available < 0:
                yield Violation("negative", f"{event.stream}@{event.version}: {there[event.stream].available} pieces")
