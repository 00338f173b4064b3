"""A row's key as typed by an operator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from twofold.errors import InvalidInput
from twofold.read.kinds import Kind
from twofold.read.projection import Key, Projection

_TYPES: dict[Kind, type] = {
    "integer": int,
    "boolean": bool,
    "timestamp": datetime,
    "date": date,
    "uuid": UUID,
    "bytes": bytes,
}


def key_of(projection: Projection[Any], texts: Sequence[str]) -> Key:
    """The key from one text for each of its fields, or from one JSON list, as `parked list` prints it.

    Raises: InvalidInput.
    """
    kinds = {column.name: column.kind for column in projection.table.columns}
    names = projection.table.key
    values = _listed(texts[0]) if len(texts) == 1 else None
    if values is None or len(values) != len(names):
        values = list(texts)
    if len(values) != len(names):
        raise InvalidInput(
            f"the key of {projection.name} is {', '.join(names)}: give --key once for each of them, in this order, "
            f"or a JSON list, not {' '.join(texts)!r:.80}"
        )
    try:
        typed = [_typed(name, kinds[name], value) for name, value in zip(names, values, strict=True)]
        return projection.key_values(tuple(typed))
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def _listed(text: str) -> list[Any] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, list) else None


def _typed(name: str, kind: Kind, value: Any) -> Any:
    """A text converted to the column's kind. Raises: ValueError, naming the field and the text."""
    type_ = _TYPES.get(kind)
    if type_ is None or not isinstance(value, str):
        return value
    try:
        return msgspec.convert(value, type_, strict=False)
    except ValueError as error:
        raise ValueError(f"{name}: {value!r:.80} is not a valid {kind}: {error}") from error
