"""Values of queries: compared, ordered and told apart as JSON values are, not as Python's."""

from __future__ import annotations

from typing import Any

import msgspec

from devservers.cosmos.keys import UNDEFINED

KINDS = ("undefined", "null", "boolean", "number", "string", "array", "object")  # in the order of ORDER BY


def kind(value: Any) -> int:
    """The place of a value's type in the order of types."""
    if value is UNDEFINED:
        return 0
    if value is None:
        return 1
    if isinstance(value, bool):
        return 2
    if isinstance(value, (int, float)):
        return 3
    if isinstance(value, str):
        return 4
    return 5 if isinstance(value, list) else 6


def is_number(value: Any) -> bool:
    """Whether it is a number, which true is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def same(left: Any, right: Any) -> bool:
    """Whether two defined values are equal: 1 is 1.0, but not true."""
    if type(left) is str and type(right) is str:
        return left == right
    if kind(left) != kind(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    return bool(left == right)


def compared(left: Any, right: Any) -> int | None:
    """-1, 0 or 1; None if they have no order."""
    of = kind(left)
    if of != kind(right) or of in (0, 5, 6):
        return None
    if left is None:
        return 0
    return int(left > right) - int(left < right)


def sort_key(value: Any) -> tuple[Any, ...]:
    """What ORDER BY sorts by."""
    of = kind(value)
    if of in (2, 3, 4):
        return of, value
    return of, (identity(value) if of > 4 else b"")


def identity(value: Any) -> bytes:
    """Bytes that are equal for equal values, for DISTINCT and GROUP BY."""
    return msgspec.json.encode(_plain(value), order="sorted")


def as_text(value: Any) -> str:
    """A value as it is written in a query."""
    return msgspec.json.encode(value).decode()


def _plain(value: Any) -> Any:
    if value is UNDEFINED:
        return {"": "undefined"}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value
