"""Which fields may be sent at a place of a JSON value, from pydantic's schema. For errors, which list them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

LONGEST_LIST = 500  # characters

_NAMES = {"dataclass-args": "dataclass_name", "typed-dict": "cls_name", "model-fields": "model_name"}
"""Schemas of several fields, and where each has the name of its class."""


def unknown_field(schema: Any, path: Sequence[int | str], elsewhere: Sequence[str] = ()) -> str:
    """The message for the field at the end of this path, which pydantic does not know.

    It lists the fields known there, if the schema shows which they are, without those that are given `elsewhere`.
    """
    definitions: dict[str, Any] = {}
    places = list(_opened(schema, definitions))
    for part in path[:-1]:
        places = [inner for place in places for inner in _within(place, part, definitions)]
    known = [[name for name, _ in _fields(place)] for place in places if place["type"] in _NAMES]
    if len(known) != 1:
        return "Unknown field"
    names = [name for name in known[0] if len(path) > 1 or name not in elsewhere]
    return f"Unknown field; known here: {_listed(names) or 'none'}"


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(names)
    return listed if len(listed) <= LONGEST_LIST else f"{listed[:LONGEST_LIST].rpartition(', ')[0]}, …"


def _opened(schema: Any, definitions: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schema that says what a value contains, without those around it; none if it is not there."""
    definitions |= {one["ref"]: one for one in schema.get("definitions", ())}
    if schema["type"] == "definition-ref":
        if schema["schema_ref"] in definitions:
            yield from _opened(definitions[schema["schema_ref"]], definitions)
    elif isinstance(schema.get("schema"), dict):
        yield from _opened(schema["schema"], definitions)
    else:
        yield schema


def _within(place: Mapping[str, Any], part: int | str, definitions: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A part of a value: a field, a member of a list, a value of a dict, or a choice of a union."""
    match place:
        case {"type": "union", "choices": choices}:
            found = [one for choice in choices if isinstance(choice, dict) for one in _opened(choice, definitions)]
            yield from (one for one in found if _is_called(one, str(part)))
        case {"type": "tagged-union", "choices": choices} if part in choices:
            yield from _opened(choices[part], definitions)
        case {"values_schema": dict(inner)} | {"items_schema": dict(inner)}:
            yield from _opened(inner, definitions)
        case {"items_schema": [*several]} if several:
            yield from _opened(several[min(int(part), len(several) - 1)], definitions)
        case {"type": kind} if kind in _NAMES:
            yield from (one for name, inner in _fields(place) if name == part for one in _opened(inner, definitions))


def _is_called(choice: Mapping[str, Any], part: str) -> bool:
    """Whether pydantic gives a choice of a union this name: that of its class, or of a function around it."""
    name = choice.get(_NAMES.get(choice["type"], ""))
    return name is not None and (part == name or part.endswith(f", {name}]"))


def _fields(place: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The name of each field as it is sent, and its schema."""
    fields = place["fields"]
    named = fields.items() if isinstance(fields, dict) else [(field["name"], field) for field in fields]
    for name, field in named:
        alias = field.get("validation_alias")
        yield alias if isinstance(alias, str) else name, field["schema"]
