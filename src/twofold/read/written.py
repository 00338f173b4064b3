"""Rows that a store writes as JSON itself: a row that nobody computes with needs no Python objects. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

import msgspec

from twofold.read.columns import Column, Values
from twofold.read.kinds import Kind
from twofold.read.projection import Key, Table
from twofold.read.store import Query, QueryResult

WRITABLE: frozenset[Kind] = frozenset({"text", "integer", "boolean", "decimal", "timestamp", "date", "uuid", "json"})
"""Not `real`, whose digits every engine writes in its own way, nor `bytes`."""


class Member(msgspec.Struct, frozen=True):
    """A column, and its name in the JSON object. `number`: a decimal that is written as a number, not as a text."""

    column: Column
    name: str
    number: bool = False


class Shape(msgspec.Struct, frozen=True, cache_hash=True):
    """The JSON of a row: an object with these members, in this order. JSON columns are passed on as they are.

    The bytes are those that msgspec writes for the column's values: no spaces, a time in UTC with a Z and either no or
    six decimals, a decimal in plain digits.
    """

    members: tuple[Member, ...]


class Written(tuple[str]):
    """A row as JSON, in the place of its values: a tuple of this one text, which has no line break."""

    __slots__ = ()


@runtime_checkable
class WritesJson(Protocol):
    """A capability of read stores: `get` and `find` whose rows are `Written`.

    None if one of the rows must be written by Python: it holds a value that the engine would write in another way, or
    one that is not of its column's kind. That is rare.
    """

    async def get_json(self, table: Table, shape: Shape, key: Key) -> QueryResult | None:
        """See `ReadStore.get`."""
        ...

    async def find_json(self, table: Table, shape: Shape, query: Query) -> QueryResult | None:
        """See `ReadStore.find`."""
        ...


UNUSUAL = "?"
"""In the place of a row that Python must write."""
LONGEST_DECIMAL = 99  # characters; a longer one may be written with an exponent
LONGEST_NUMBER = 15  # characters that a JSON number keeps everywhere


def written_rows(text: str | None) -> list[Written] | None:
    """The rows in a text with a line for each; an empty line is no row. None if Python must write one of them."""
    lines = text.split("\n") if text else []
    return None if UNUSUAL in lines else [Written((line,)) for line in lines if line]


def values_at(shape: Shape, row: Written, places: Iterable[int]) -> Values:
    """Some of the values of a written row, for cursors. Not those of JSON columns."""
    members = msgspec.json.decode(row[0])
    return tuple([_value(shape.members[place], members) for place in places])


def _value(member: Member, members: Mapping[str, Any]) -> Any:
    value, read = members[member.name], _READ.get(member.column.kind)
    return value if read is None or value is None else read(value)


_READ: dict[Kind, Callable[[Any], Any]] = {
    "decimal": lambda member: Decimal(str(member)),
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
    "uuid": UUID,
}
