"""Checks that a fold is pure: the same result for the same events, and no arguments changed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from twofold.codec.jsontext import json_text
from twofold.failures import error_text, failure, reraise_if_interrupt
from twofold.messages import Recorded
from twofold.read.columns import Field, Values
from twofold.read.projection import FoldedRow, Key, Projection, key_text


class Fault(msgspec.Struct, frozen=True):
    """Evidence that a projection is not a pure fold: what it did, to which row, and with which event."""

    what: str
    key: str
    event: str


class Examined(msgspec.Struct, frozen=True):
    """A row after some events, and the first fault, if any."""

    folded: FoldedRow
    fault: Fault | None


def examined(projection: Projection[Any], key: Key, values: Values | None, events: Sequence[Recorded]) -> Examined:
    """The row after these events, folded like the projector does, and again event by event, to compare.

    Each event is folded twice on a freshly read row, which reveals a fold that uses a clock or randomness. Row and
    event are compared with what they were before. And the result must not depend on where a batch ends.
    """
    slowly = _one_by_one(projection, key, values, events)
    folded = projection.fold(key, values, events)
    fault = slowly.fault
    if fault is None and not _alike(projection, slowly.folded, folded):
        what = "the result differs when several events are folded at once: it depends on more than row and event"
        fault = Fault(what, key_text(key), events[-1].id)
    return Examined(folded, fault)


def differing(fields: Sequence[Field], one: Values, other: Values) -> list[int]:
    """The places at which two rows with the same columns differ."""
    if one == other:
        return []
    pairs = enumerate(zip(fields, one, other, strict=True))
    return [place for place, (field, a, b) in pairs if not same_value(field, a, b)]


def same_value(field: Field, one: Any, other: Any) -> bool:
    """Whether two values of a column are the same. The members of a set may be stored in any order."""
    return bool(one == other) or (field.read_json is not None and _same_json(field.read_json, one, other))


def _one_by_one(projection: Projection[Any], key: Key, values: Values | None, events: Sequence[Recorded]) -> Examined:
    for recorded in events:
        folded, changed = _step(projection, key, values, recorded)
        again, _ = _step(projection, key, values, recorded)
        what = changed
        if what is None and not _alike(projection, folded, again):
            what = (
                f"evolve is not deterministic: the same row and event gave two rows{_shown(projection, folded, again)}"
            )
        if what is not None or folded.failed is not None:
            return Examined(folded, None if what is None else Fault(what, key_text(key), recorded.id))
        values = folded.values
    return Examined(FoldedRow(values), None)


def _step(
    projection: Projection[Any], key: Key, values: Values | None, recorded: Recorded
) -> tuple[FoldedRow, str | None]:
    """Fold one event, and say which argument `evolve` changed, if any."""
    recorded = projection.given(recorded)
    try:
        fresh = values is None or projection.documents
        row = projection.initial(key) if fresh else projection.format.from_values(values or ())
        row_before, event_before = projection.format.to_values(row), json_text(recorded.event)
    except (
        BaseException
    ) as error:  # without its state before, it cannot be compared afterwards; the fold reports what is wrong
        reraise_if_interrupt(error)
        return projection.fold(key, values, [recorded]), None
    try:
        folded = FoldedRow(projection.values(key, projection.evolve(row, recorded.event, recorded)))
    except BaseException as error:  # a fold is user code
        folded = FoldedRow(values, recorded, failure(error))
    try:
        event_after, row_after = json_text(recorded.event), projection.format.to_values(row)
    except BaseException as error:
        return folded, f"evolve changed its arguments so that they cannot be stored: {error_text(failure(error))}"
    if event_after != event_before:
        return folded, f"evolve changed the event that it was given, a {type(recorded.event).__name__}"
    if row_after != row_before:
        columns = zip(projection.format.columns, row_before, row_after, strict=True)
        name, was, is_ = next((c.name, was, is_) for c, was, is_ in columns if was != is_)
        return folded, f"evolve changed the row that it was given: its {name} was {was!r:.80} and became {is_!r:.80}"
    return folded, None


def _alike(projection: Projection[Any], one: FoldedRow, other: FoldedRow) -> bool:
    if (one.failed and one.failed.id) != (other.failed and other.failed.id):
        return False
    if one.values is None or other.values is None:
        return one.values is other.values
    return not differing(projection.format.fields, one.values, other.values)


def _shown(projection: Projection[Any], one: FoldedRow, other: FoldedRow) -> str:
    if one.values is None or other.values is None:
        return ""
    places = differing(projection.format.fields, one.values, other.values)
    if not places:
        return ""
    place = places[0]
    return f"; {projection.format.columns[place].name} was {one.values[place]!r:.80}, then {other.values[place]!r:.80}"


def _same_json(read: Callable[[str | bytes], Any], one: Any, other: Any) -> bool:
    """Whether the same value would be read from both, and neither has anything besides it."""
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    try:
        return bool(read(one) == read(other)) and _unordered(one) == _unordered(other)
    except Exception:  # a table may contain anything
        return False


def _unordered(text: str) -> str:
    return json_text(_sorted(msgspec.json.decode(text)))


def _sorted(value: Any) -> Any:
    match value:
        case dict():
            return {name: _sorted(value[name]) for name in sorted(value)}
        case list():
            return sorted((_sorted(inner) for inner in value), key=json_text)
        case _:
            return value
