"""Cursors: where the next page of a query begins, as text that is valid for this query only."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any
from uuid import UUID

from twofold.errors import InvalidCursor, InvalidQuery
from twofold.read.columns import Field, Values
from twofold.read.conditions import field_named
from twofold.read.kinds import canonical_decimal
from twofold.read.projection import Projection
from twofold.read.store import Query

MAX_CURSOR_LENGTH = 16_384


def fingerprint(projection: Projection[Any], query: Query) -> str:
    """Identifies the query that a cursor belongs to: its projection, conditions and order, but not its limit."""
    conditions = sorted((c.column, c.operator, repr(c.value)) for c in query.conditions)
    asked = json.dumps([projection.name, projection.version, conditions, list(query.order)])
    return sha256(asked.encode()).hexdigest()[:16]


def write_cursor(projection: Projection[Any], query: Query, asked: str, values: Values) -> str:
    """The cursor that continues after a row with these values. Raises: InvalidQuery if it would be too long."""
    row = {column.name: value for column, value in zip(projection.format.columns, values, strict=True)}
    last = [_cursor_value(row[name]) for name, _ in query.order]
    text = json.dumps([asked, last], separators=(",", ":"), ensure_ascii=False)
    cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    if len(cursor) > MAX_CURSOR_LENGTH:
        names = ", ".join(name for name, _ in query.order)
        raise InvalidQuery(f"order_by: values of {names} are too long for a cursor; order by shorter ones")
    return cursor


def _cursor_value(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return canonical_decimal(value)
        case bytes():
            return value.hex()
        case _:
            return str(value)


def read_cursor(projection: Projection[Any], query: Query, asked: str, cursor: str) -> Values:
    """The values, in the columns of the order, of the row before the next page. Raises: InvalidCursor."""
    wrong = InvalidCursor("the cursor was not returned for this query; start again without it")
    if not isinstance(cursor, str) or len(cursor) > MAX_CURSOR_LENGTH:
        raise wrong
    try:
        belongs_to, last = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if belongs_to != asked or len(last) != len(query.order):
            raise wrong
        fields = [field_named(projection, name) for name, _ in query.order]
        return tuple([_order_value(field, value) for field, value in zip(fields, last, strict=True)])
    except (ValueError, TypeError, RecursionError, InvalidOperation, OverflowError):
        raise wrong from None


def _order_value(field: Field, value: Any) -> Any:
    """A cursor's value as stored in the column. Raises: ValueError, TypeError."""
    read = _CURSOR_READERS.get(field.column.kind)
    if read is None or value is None:
        return field.to_column(value)
    if not isinstance(value, str):
        raise TypeError("not a text")
    return field.to_column(read(value))


_CURSOR_READERS: dict[str, Callable[[str], Any]] = {
    "decimal": Decimal,
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
    "uuid": UUID,
    "bytes": bytes.fromhex,
}
