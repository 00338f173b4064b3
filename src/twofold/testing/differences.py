"""The differences between two values, field by field."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from twofold.failures import shown


def of_events(got: Sequence[object], expected: Sequence[object]) -> Iterator[str]:
    """A line for each difference between two lists of events."""
    for number in range(max(len(got), len(expected))):
        if number >= len(got):
            yield f"event {number + 1} is missing: {shown(expected[number], 200)}"
        elif number >= len(expected):
            yield f"event {number + 1} is unexpected: {shown(got[number], 200)}"
        else:
            yield from differences(f"event {number + 1}, {_name(got[number])}", got[number], expected[number])


def differences(path: str, got: Any, expected: Any) -> Iterator[str]:
    """A line for each place where two values differ."""
    if got == expected:
        return
    pairs = _pairs(got, expected)
    if pairs is None:
        yield f"{path} is {shown(got)}, expected {shown(expected)}"
        return
    lines = [line for step, one, other in pairs for line in differences(f"{path}{step}", one, other)]
    if lines:
        yield from lines
    else:
        yield f"{path}: all fields are equal, but the values are not: {_name(got)} has its own comparison"


def _pairs(got: Any, expected: Any) -> list[tuple[str, Any, Any]] | None:
    """The parts of both, each with its path; None if they cannot be paired."""
    if type(got) is not type(expected):
        return None
    if isinstance(got, dict):
        same = got.keys() == expected.keys()
        return [(f"[{shown(key)}]", got[key], expected[key]) for key in got] if same else None
    if isinstance(got, list | tuple):
        steps = [f".{name}" for name in getattr(got, "_fields", ())] or [f"[{index}]" for index in range(len(got))]
        return list(zip(steps, got, expected, strict=True)) if len(got) == len(expected) else None
    names = _names(got)
    return None if names is None else [(f".{name}", getattr(got, name), getattr(expected, name)) for name in names]


def _names(value: Any) -> Sequence[str] | None:
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    return list(type(value).model_fields) if hasattr(value, "model_validate_json") else None


def _name(value: object) -> str:
    return type(value).__name__
