"""Validation errors, by field: which field, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

LONGEST_VALUE = 80
MISPLACED = "misplaced"
"""The type of an error that has nothing to do with the value."""
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
"""The types of pydantic's errors for fields that it does not know."""


def field_errors(errors: Sequence[Any], body: Any) -> Iterator[dict[str, str]]:
    """Errors of pydantic: `field` is a JSON pointer in a body, otherwise a parameter's name."""
    for error in errors:
        place, *path = error["loc"]
        if place == "body":
            real = list(_real_path(path, getattr(body, "value", None), error))
            field, value = "".join(f"/{_escaped(part)}" for part in real), _value_at(real, getattr(body, "value", None))
        else:
            field, value = str(path[-1]) if path else "", error.get("input")
        yield {"in": str(place), "field": field, "message": _message(error, value)}


def _real_path(path: Sequence[Any], value: Any, error: Any) -> Iterator[object]:
    """The parts of a path that lead through the JSON value: pydantic also names the member of a union it tried."""
    for place, part in enumerate(path):
        leads_on = part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int)
        if leads_on:
            value = value[part]
        if leads_on or (error["type"] == "missing" and place == len(path) - 1):
            yield part


def _escaped(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")[:200]


def _value_at(path: Sequence[Any], value: Any) -> Any:
    for part in path:
        if not (part in value if isinstance(value, dict) else isinstance(value, list)):
            return None
        value = value[part]
    return value


def _message(error: Any, value: Any) -> str:
    if error["type"] in UNKNOWN:
        return "Unknown field"
    if error["type"] == MISPLACED:
        return str(error["msg"])
    if error["type"] == "string_too_short" and str(error["msg"]).endswith("at least 1 character"):
        return "Must not be empty"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{message}, not {_shown(value)}" if isinstance(value, str | int | float | Decimal) else message


def _shown(value: str | float | Decimal) -> str:
    shown = str(value) if isinstance(value, Decimal) else msgspec.json.encode(value).decode()
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown[: LONGEST_VALUE + 1]
    )
    return shown if len(shown) <= LONGEST_VALUE else f"{shown[:LONGEST_VALUE]}…"
