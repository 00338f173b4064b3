"""Rows as they are stored, whose fields are read when they are selected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import graphql as g
import msgspec

from twofold.graphql.behind import ColumnField
from twofold.read.columns import Broken, RowFormat, Values
from twofold.read.projection import Projection


class StoredRow:
    """The values of a row of a projection."""

    __slots__ = ("projection", "values")

    def __init__(self, projection: Projection[Any], values: Values) -> None:
        self.projection, self.values = projection, values

    def value(self, name: str) -> Any:
        """The value of a column."""
        names = [column.name for column in self.projection.table.columns]
        return self.values[names.index(name)]


class _Stored(RowFormat):
    def __init__(self, projection: Projection[Any]) -> None:
        super().__init__(projection.row)
        self._projection = projection

    def from_values(self, values: Values) -> Any:
        """See RowFormat."""
        if type(values) is Broken:
            return super().from_values(values)  # raises
        return StoredRow(self._projection, values)


@cache
def stored(projection: Projection[Any]) -> Projection[Any]:
    """The same read model, whose rows are `StoredRow`."""
    return projection.read_as(_Stored(projection))


def readable(projection: Projection[Any], rows: Sequence[Values]) -> list[StoredRow]:
    """Rows that can be read."""
    return [StoredRow(projection, values) for values in rows if type(values) is not Broken]


def column_resolver(made: ColumnField, type_: Any) -> Callable[..., Any]:
    """Reads the value of a column, of a stored row or of an object that a resolver returned."""
    place, name = made.place, made.field.name
    read: Callable[[Any], Any] | None = None
    if made.field.column.kind == "json":
        read = made.field.from_column if is_made_of(type_) else msgspec.json.decode

    def resolve(source: Any, info: Any) -> Any:
        if type(source) is not StoredRow:
            return getattr(source, name)
        value = source.values[place]
        return value if read is None or value is None else read(value)

    return resolve


def is_made_of(type_: Any) -> bool:
    """Whether the values of a JSON column of this type must be made, and are not returned as they are stored."""
    named = g.get_named_type(type_)
    return g.is_object_type(named) or named.name in ("Decimal", "Base64")


def related_value(source: Any, projection: Projection[Any], name: str) -> Any:
    """The value of a column by which a row is related to others."""
    if type(source) is StoredRow:
        return source.value(name)
    field = next(field for field in projection.format.fields if field.name == name)
    return field.to_column(getattr(source, name))
