"""Values of JSON. Inputs stay values of JSON, which the edge reads as it reads a body; `plain` makes values of columns.

Times are in UTC with a Z and either no or six decimals, decimals are texts in plain digits, bytes are Base64: as in
REST.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any
from uuid import UUID

import graphql as g
import msgspec
from graphql.language import ast

from twofold.codec.form import MAX_DECIMAL_PLACES
from twofold.read.kinds import Kind, canonical_decimal

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ].+", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LONGEST = 100


def _written_decimal(value: Any) -> str:
    number = Decimal(value)
    return canonical_decimal(number) if abs(number.adjusted()) < _LONGEST else str(number)


def _written_time(value: Any) -> str:
    if isinstance(value, str):
        return value
    text = value.astimezone(UTC).isoformat()
    return f"{text.removesuffix('+00:00')}Z"


def _written_date(value: Any) -> str:
    return value if isinstance(value, str) else value.isoformat()


def _written_bytes(value: Any) -> str:
    return value if isinstance(value, str) else b64encode(value).decode()


def _written_text(value: Any) -> str:
    return str(value.value if isinstance(value, Enum) else value)


def _json(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True)


def _wrong(what: str, value: Any) -> g.GraphQLError:
    return g.GraphQLError(f"Write {what}, not {value!r:.80}.")


def _read_decimal(value: Any) -> str:
    text = repr(value) if isinstance(value, float) else str(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal) or not _DECIMAL.fullmatch(text):
        raise _wrong('a decimal like "12.50"', value)
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("Infinity")
    if not number.is_finite() or abs(number.adjusted()) > MAX_DECIMAL_PLACES:
        raise _wrong(f"a decimal with at most {MAX_DECIMAL_PLACES} places on either side of the point", value)
    return text


def _read_time(value: Any) -> str:
    try:
        if isinstance(value, str) and _TIME.fullmatch(value) and datetime.fromisoformat(value).utcoffset() is not None:
            datetime.fromisoformat(value).astimezone(UTC)
            return value
    except (ValueError, OverflowError):
        pass
    raise _wrong('a time like "2026-03-01T09:30:00Z"', value)


def _read_date(value: Any) -> str:
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise _wrong('a date like "2026-03-01"', value)


def _read_uuid(value: Any) -> str:
    try:
        if isinstance(value, str):
            return str(UUID(value))
    except ValueError:
        pass
    raise _wrong("a UUID", value)


def _read_bytes(value: Any) -> str:
    try:
        if isinstance(value, str):
            b64decode(value, validate=True)
            return value
    except ValueError:
        pass
    raise _wrong("bytes in Base64", value)


def _literal(read: Callable[[Any], Any]) -> Callable[..., Any]:
    """Numbers as they are written: a float would lose digits."""

    def literal(node: Any, variables: Any = None) -> Any:
        if isinstance(node, ast.FloatValueNode | ast.IntValueNode):
            return read(node.value)
        return read(g.value_from_ast_untyped(node))

    return literal


def _scalar(
    name: str, write: Callable[[Any], Any], read: Callable[[Any], Any], description: str, url: str | None = None
) -> g.GraphQLScalarType:
    return g.GraphQLScalarType(
        name,
        serialize=write,
        parse_value=read,
        parse_literal=_literal(read) if read is _read_decimal else None,
        description=description,
        specified_by_url=url,
    )


_RFC_3339 = "https://scalars.graphql.org/andimarek/date-time.html"
DATE_TIME = _scalar("DateTime", _written_time, _read_time, "A moment, like 2026-03-01T09:30:00Z.", _RFC_3339)
DATE = _scalar("Date", _written_date, _read_date, "A day, like 2026-03-01.")
DECIMAL = _scalar("Decimal", _written_decimal, _read_decimal, "An exact decimal, as a text of digits.")
UUID_ = _scalar("UUID", _written_text, _read_uuid, "A UUID, in hex digits with hyphens.")
BASE64 = _scalar("Base64", _written_bytes, _read_bytes, "Bytes in Base64.")
JSON = _scalar("JSON", _json, lambda value: value, "Any value of JSON.")

SCALARS: dict[type, g.GraphQLScalarType] = {
    str: g.GraphQLString,
    bool: g.GraphQLBoolean,
    int: g.GraphQLInt,
    float: g.GraphQLFloat,
    Decimal: DECIMAL,
    datetime: DATE_TIME,
    date: DATE,
    UUID: UUID_,
    bytes: BASE64,
}

PLAIN: dict[Kind, Callable[[Any], Any]] = {
    "decimal": Decimal,
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
    "uuid": UUID,
    "bytes": b64decode,
}
"""From an argument to the value of a column, by its kind; others are the same."""
