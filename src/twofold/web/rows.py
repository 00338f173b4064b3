"""Rows as JSON straight from their columns, for responses that need no computation."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from dataclasses import is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from twofold.read.columns import Column, Field, RowFormat, Values
from twofold.read.projection import Projection
from twofold.read.written import WRITABLE, Member, Shape, Written, values_at
from twofold.web.answers import Ready, jsonable
from twofold.web.forms import CURRENT, JsonForm

_WRITTEN_AS_KEPT = (str, int, float, bool, types.NoneType)


def as_json(projection: Projection[Any], *, form: JsonForm | None = None) -> Projection[Any]:
    """The same read model, for queries whose rows are returned unchanged: `running.find(as_json(visitors), …)`.

    Rows are made from their columns without the row class (or its `__post_init__`), and JSON columns are not parsed if
    twofold has written them as they are to be returned. `answer` writes the rows like the rows themselves, in the form
    of the route. Their fields can be read, for an `ETag` for example; to compute with them, query the projection.
    """
    return _as_json(projection, form or CURRENT.get())


@cache
def written(projection: Projection[Any], form: JsonForm) -> Projection[Any]:
    """Like `as_json`, with rows that the store writes as JSON itself if it can. Their fields cannot be read."""
    return projection.read_as(_Written(projection, form))


@cache
def _as_json(projection: Projection[Any], form: JsonForm) -> Projection[Any]:
    return projection.read_as(_AsJson(projection, form))


class _AsJson(RowFormat):
    """Turns a row's values into an object that msgspec encodes directly."""

    def __init__(self, projection: Projection[Any], form: JsonForm) -> None:
        row = projection.row
        super().__init__(row)
        names = [field.name for field in self.fields]
        hints = get_type_hints(row)
        as_kept = {field.name for field in self.fields if _is_as_kept(projection, hints[field.name], form)}
        readers = [_reader(field, form, as_kept=field.name in as_kept) for field in self.fields]
        written = form.names_of(row)
        self.row = self.make = msgspec.defstruct(
            row.__name__, names, bases=(Ready,), rename=written, frozen=True, gc=False
        )
        self._readers = tuple((index, read) for index, read in enumerate(readers) if read is not None)


class _Written(_AsJson):
    """Takes rows as a store has written them, or else turns their values into JSON."""

    def __init__(self, projection: Projection[Any], form: JsonForm) -> None:
        super().__init__(projection, form)
        hints, names = get_type_hints(projection.row), form.names_of(projection.row)
        may_be = all(field.column.kind in WRITABLE for field in self.fields)
        plain = all(f.read_json is None or _is_as_kept(projection, hints[f.name], form) for f in self.fields)
        if may_be and plain:
            members = [_member(field.column, names[field.name], form) for field in self.fields]
            self.shape = Shape(tuple(members))

    def from_values(self, values: Values) -> Any:
        """See `RowFormat`."""
        return msgspec.Raw(values[0].encode()) if type(values) is Written else super().from_values(values)

    def values_at(self, row: Values, places: Iterable[int]) -> Values:
        """See `RowFormat`."""
        return values_at(self.shape, row, places) if isinstance(row, Written) else super().values_at(row, places)


def _member(column: Column, name: str, form: JsonForm) -> Member:
    return Member(column, name, number=column.kind == "decimal" and form.decimals == "number")


def _reader(field: Field, form: JsonForm, *, as_kept: bool) -> Callable[[Any], Any] | None:
    """Converts a column's value for encoding; None if it needs no conversion."""
    if field.column.kind == "decimal":
        return form.decimal
    read = field.read_json
    if read is None:
        return None
    return msgspec.Raw if as_kept else lambda text: jsonable(read(text), form)


def _is_as_kept(projection: Projection[Any], hint: Any, form: JsonForm) -> bool:
    """Whether the JSON of a column can be returned unchanged: not that of a view, where it may hold anything."""
    return not projection.table.view and _is_plain(hint, form)


def _is_plain(hint: Any, form: JsonForm, within: tuple[Any, ...] = ()) -> bool:
    """Whether the JSON of this type is the one to return: it has no fields to rename and no decimals."""
    origin = get_origin(hint)
    if hint in within:  # a class that holds itself
        return True
    if origin is Literal:
        return all(isinstance(value, _WRITTEN_AS_KEPT) for value in get_args(hint))
    if origin in (Union, types.UnionType, list, tuple, set, frozenset, dict):
        return all(inner is Ellipsis or _is_plain(inner, form, within) for inner in get_args(hint))
    if is_dataclass(hint) and isinstance(hint, type):
        inner = get_type_hints(hint)
        names = form.names_of(hint).items()
        return all(field == name and _is_plain(inner[field], form, (*within, hint)) for field, name in names)
    return hint in _WRITTEN_AS_KEPT
