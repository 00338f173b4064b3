"""Cursors: where another page of a query begins, as text that is valid for this query only. Pure.

A cursor is JSON in Base64: the query's fingerprint, a row's values in the columns of the order or null, and "before" if
it leads backward.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from twofold.errors import InvalidCursor, InvalidQuery
from twofold.read.columns import Field, Values
from twofold.read.kinds import canonical_decimal
from twofold.read.projection import Projection
from twofold.read.store import Query

MAX_CURSOR_LENGTH = 16_384


class Start(msgspec.Struct, frozen=True):
    """Where a page starts: at the first row, or after the one with these values in the columns of the order.

    `backward`: it ends at the last row, or before that one.
    """

    after: Values | None = None
    backward: bool = False

    def fetching(self, query: Query) -> Query:
        """The query for the rows of the page, in the direction in which they are read, and one more."""
        order = [(name, not descending) for name, descending in query.order] if self.backward else query.order
        return Query(query.conditions, order, query.limit + 1, self.after)


FIRST = Start()


class Cursors:
    """The cursors of one query."""

    def __init__(self, projection: Projection[Any], query: Query) -> None:
        self._projection, self._query = projection, query

    @cached_property
    def _asked(self) -> str:
        """Identifies the query: its projection, conditions and order, but not its limit."""
        query, projection = self._query, self._projection
        conditions = sorted((c.column, c.operator, repr(c.value)) for c in query.conditions)
        asked = json.dumps([projection.name, projection.version, conditions, list(query.order)])
        return sha256(asked.encode()).hexdigest()[:16]

    def around(self, start: Start, rows: Sequence[Values], *, more: bool) -> tuple[str | None, str | None]:
        """The cursors of the pages before and after one that was read from `start`; None if there is no such page.

        The rows are in the direction of reading; there are `more` behind them. A page that was not begun at an end
        has a way back. If all its rows have been deleted, that is the other end, so that no caller is left without one.

        The cursor of the page before is also None if it would be too long. Raises: InvalidQuery if the other one would.
        """
        onward = Start(self._place(rows[-1]), start.backward) if more else None
        back = None
        if start.after is not None:
            back = Start(self._place(rows[0]) if rows else None, not start.backward)
        before, after = (onward, back) if start.backward else (back, onward)
        cursor = self._written(after)
        if after is not None and cursor is None:
            names = ", ".join(name for name, _ in self._query.order)
            raise InvalidQuery(f"order_by: values of {names} are too long for a cursor; order by shorter ones")
        return self._written(before), cursor

    def of(self, row: Values) -> str | None:
        """The cursor of the page after this row; None if it would be too long."""
        return self._written(Start(self._place(row)))

    @cached_property
    def _columns(self) -> list[int]:
        """The places of the order's columns in a row."""
        names = [column.name for column in self._projection.format.columns]
        return [names.index(name) for name, _ in self._query.order]

    def _place(self, row: Values) -> Values:
        return self._projection.format.values_at(row, self._columns)

    def _written(self, start: Start | None) -> str | None:
        if start is None:
            return None
        last = None if start.after is None else [_cursor_value(value) for value in start.after]
        text = msgspec.json.encode([self._asked, last, "before"] if start.backward else [self._asked, last])
        cursor = base64.urlsafe_b64encode(text).decode().rstrip("=")
        return cursor if len(cursor) <= MAX_CURSOR_LENGTH else None

    def read(self, cursor: str) -> Start:
        """Where the page of this cursor starts. Raises: InvalidCursor."""
        wrong = InvalidCursor("the cursor was not returned for this query; start again without it")
        if not isinstance(cursor, str) or len(cursor) > MAX_CURSOR_LENGTH:
            raise wrong
        try:
            asked, last, *before = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            if asked != self._asked or before not in ([], ["before"]):
                raise wrong
            return Start(None if last is None else self._stored(last), bool(before))
        except (ValueError, TypeError, RecursionError, InvalidOperation, OverflowError):
            raise wrong from None

    def _stored(self, last: Sequence[Any]) -> Values:
        fields = [self._projection.format.fields[index] for index in self._columns]
        return tuple([_order_value(field, value) for field, value in zip(fields, last, strict=True)])


def _cursor_value(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)  # of an unreadable one, the text itself
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return canonical_decimal(value)
        case bytes():
            return value.hex()
        case _:
            return str(value)


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
