"""The usual case of a rollup, computed row by row: rows that come into a group, or change within it. Pure.

What these rows alone do not show raises Unsure; `rolling` then computes the group from all of its changes. Nothing
here may differ from `aggregates`: this only takes a third of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from twofold.read.aggregates import EXACT, Aggregate
from twofold.read.columns import Column, Values

Come = Callable[[Any, Values], Any]
"""From a field's value and a row that comes, to its next value."""
Stay = Callable[[Any, Values, Values], Any]
"""From a field's value, and a row before and after a change, to its next value."""


class Unsure(Exception):
    """The next value depends on other rows."""


def initial(aggregate: Aggregate, field: Column) -> Any:
    """The value of a field before the first row."""
    if aggregate.operation == "total":
        return Decimal(0) if field.kind == "decimal" else 0
    return 0 if aggregate.operation in ("count", "distinct") else None


def steps(aggregate: Aggregate, field: Column, place: int) -> tuple[Come, Stay]:
    """Both steps of a field, from the column in this place of the source."""
    match aggregate.operation:
        case "count":
            return _count(place if aggregate.column else None)
        case "total":
            return _decimal_total(place) if field.kind == "decimal" else _total(place)
        case "distinct":
            return _distinct(place)
        case operation:
            return _extreme(place, greatest=operation != "minimum")


def _count(place: int | None) -> tuple[Come, Stay]:
    if place is None:
        return (lambda value, new: value + 1), (lambda value, old, new: value)

    def stay(value: int, old: Values, new: Values) -> int:
        return value + (new[place] is not None) - (old[place] is not None)

    return (lambda value, new: value + (new[place] is not None)), stay


def _total(place: int) -> tuple[Come, Stay]:
    def stay(value: int, old: Values, new: Values) -> int:
        came, left = new[place] or 0, old[place] or 0
        return value + int(came) - int(left)

    return (lambda value, new: value + (new[place] or 0)), stay


def _decimal_total(place: int) -> tuple[Come, Stay]:
    add, subtract = EXACT.add, EXACT.subtract

    def stay(value: Decimal, old: Values, new: Values) -> Decimal:
        return subtract(add(value, new[place] or 0), old[place] or 0)

    return (lambda value, new: add(value, new[place] or 0)), stay


def _extreme(place: int, *, greatest: bool) -> tuple[Come, Stay]:
    def come(value: Any, new: Values) -> Any:
        came = new[place]
        if came is None or (value is not None and (came <= value if greatest else came >= value)):
            return value
        return came

    def stay(value: Any, old: Values, new: Values) -> Any:
        if old[place] == new[place]:
            return value
        best = come(value, new)
        if best is value and old[place] == value and new[place] != value:
            raise Unsure
        return best

    return come, stay


def _distinct(place: int) -> tuple[Come, Stay]:
    def come(value: int, new: Values) -> int:
        if new[place] is not None:
            raise Unsure
        return value

    def stay(value: int, old: Values, new: Values) -> int:
        if old[place] != new[place]:
            raise Unsure
        return value

    return come, stay
