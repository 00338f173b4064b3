"""Examples made from JSON schemas: what a reader of the documentation would type. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from twofold.web.forms import DECIMAL

Json = dict[str, Any]

_FORMATS = {
    "date-time": "2026-03-01T09:30:00Z",
    "date": "2026-03-01",
    "time": "09:30:00Z",
    "duration": "PT1H30M",
    "uuid": "0b0f3a52-3a3c-4f6e-9d0b-6f4f5c1d2e3f",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "binary": "text",
    "base64": "dGV4dA==",
    "base64url": "dGV4dA==",
}
_TEXTS = ("a", "A", "1", "12", "12.50", "1234", "abc", "ABC", "A1", "a-1", "AB-1234", "ada@example.com")
"""Tried in turn where a text must match a pattern."""
_DECIMAL = {"type": "string", "pattern": f"^{DECIMAL}$"}
_WHOLE, _FRACTION = 1, 12.5


class NoExample(Exception):
    """None could be made of a schema."""


class Examples:
    """Makes examples of schemas that refer to these definitions. Decimals are written as strings or as numbers."""

    def __init__(self, definitions: Mapping[str, Json], decimals: Literal["string", "number"]) -> None:
        self._definitions, self._decimals = definitions, decimals

    def of(self, schema: Json, name: str, inside: frozenset[str] = frozenset()) -> Any:
        """An example of what is called `name`, inside these definitions. Raises: NoExample."""
        match schema:
            case {"examples": [first, *_]} | {"const": first} | {"enum": [first, *_]}:
                return first
            case {"$ref": str(reference)}:
                return self._of_definition(reference.rpartition("/")[2], name, inside)
            case {"anyOf": options} | {"oneOf": options}:
                return self._one_of(options, name, inside)
            case {"allOf": [only]}:
                return self.of(only, name, inside)
            case {"type": "string"}:
                return _text(schema, name)
            case {"type": "integer" | "number" as kind}:
                return _number(schema, _WHOLE if kind == "integer" else _FRACTION)
            case {"type": "boolean"}:
                return True
            case {"type": "null"}:
                return None
            case {"type": "array"}:
                return self._array(schema, name, inside)
            case {"type": "object"}:
                return self._object(schema, name, inside)
            case {} if not schema.keys() - {"title", "description", "default"}:
                return name
        raise NoExample(name)

    def _of_definition(self, key: str, name: str, inside: frozenset[str]) -> Any:
        if key in inside:
            raise NoExample(name)
        return self.of(self._definitions[key], name, inside | {key})

    def _one_of(self, options: Sequence[Json], name: str, inside: frozenset[str]) -> Any:
        if any(option.get("pattern") == _DECIMAL["pattern"] for option in options):
            number = _number(options[0] if options[0].get("type") == "number" else {}, _FRACTION)
            return str(number) if self._decimals == "string" else number
        for option in sorted(options, key=lambda option: option.get("type") == "null"):
            try:
                return self.of(option, name, inside)
            except NoExample:
                continue
        raise NoExample(name)

    def _array(self, schema: Json, name: str, inside: frozenset[str]) -> list[Any]:
        least = schema.get("minItems", 0)
        first = [self.of(inner, name, inside) for inner in schema.get("prefixItems", ())]
        if "items" not in schema or schema["items"] is False or schema.get("maxItems") == len(first):
            return first
        try:
            one = self.of(schema["items"], name, inside)
        except NoExample:
            if least > len(first):
                raise
            return first
        return first + [one] * max(1, least - len(first))

    def _object(self, schema: Json, name: str, inside: frozenset[str]) -> Json:
        required = schema.get("required", ())
        found = {}
        for key, inner in schema.get("properties", {}).items():
            try:
                found[key] = self.of(inner, key, inside)
            except NoExample:
                if key in required:
                    raise
        others = schema.get("additionalProperties")
        if isinstance(others, dict) and "properties" not in schema:
            found["key"] = self.of(others, name, inside)
        return found


def _text(schema: Json, name: str) -> str:
    """Raises: NoExample."""
    kind = schema.get("format") or schema.get("contentEncoding")
    if kind in _FORMATS:
        return _FORMATS[kind]
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength")
    pattern = schema.get("pattern", "")
    if pattern == _DECIMAL["pattern"]:
        return str(_FRACTION)
    for text in (name, *_TEXTS):
        fitting = text.ljust(shortest, "x")[:longest]
        if re.search(pattern, fitting):
            return fitting
    raise NoExample(name)


def _number(schema: Json, usual: float) -> float:
    """The usual number, or the one nearest to it that the schema allows."""
    step = schema.get("multipleOf", 1)
    least = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + step)
    most = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - step)
    number: float = min(max(usual, least), most)
    return math.ceil(number / step) * step if "multipleOf" in schema else number
