"""The form of JSON: one rule for names and decimals, from which schemas, bodies and answers are all derived."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, GetCoreSchemaHandler, TypeAdapter
from pydantic.alias_generators import to_camel
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import CoreSchema, core_schema

from twofold.read.columns import canonical_decimal

LONGEST_NUMBER = 100  # digits; beyond it a decimal is written with an exponent, for it may have a billion zeros
SURELY_EXACT = 15  # digits that a JSON number keeps everywhere
DECIMAL = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"
"""A decimal as text: what JSON takes for a number."""

_DATA = frozenset({"default", "metadata", "cls", "expected", "config", "members"})


@dataclass(frozen=True, slots=True)
class JsonForm:
    """How dataclasses, pydantic models and Structs are named in JSON, and how decimals are written.

    `names`: as in Python, or in camelCase. A name that a class gives itself (an alias, `rename`) stays, and keys of
    dicts are data. `decimals`: strings, or numbers; a decimal of more digits than a JSON number keeps everywhere is a
    string in both. Bodies may send either.
    """

    names: Literal["snake", "camel"] = "snake"
    decimals: Literal["string", "number"] = "string"

    def name(self, field: str) -> str:
        """What a field is called."""
        return to_camel(field) if self.names == "camel" else field

    def names_of(self, cls: type) -> dict[str, str]:
        """What the fields of a dataclass, a pydantic model or a Struct are called. Empty for any other class."""
        own = _own_names(cls)
        return {field: self.name(field) if alias is None else alias for field, alias in own.items()}

    def decimal(self, value: Decimal) -> str | msgspec.Raw:
        """A decimal as it is written: plain digits, without zeros at the end."""
        text = str(value)
        if "E" in text or text == "-0" or (text[-1] == "0" and "." in text):
            text = canonical_decimal(value) if abs(value.adjusted()) < LONGEST_NUMBER else text
        if self.decimals == "number" and (_is_short(text) or is_exact(value)):
            return msgspec.Raw(text.encode())
        return text

    def core_schema(self, type: Any) -> CoreSchema:
        """Pydantic's schema of a type, in this form. Raises: PydanticUserError for a type that pydantic cannot read."""
        formed: CoreSchema = self._formed(TypeAdapter(type).core_schema)
        return formed

    def described(self, type: Any) -> Any:
        """The type for OpenAPI, in this form: `response_model=form.described(Row)`."""
        return Annotated[type, _Described(self)]

    def _formed(self, schema: Any) -> Any:
        match schema:
            case {"type": "dataclass-field", "name": name, "schema": inner}:
                return self._named({**schema, "schema": self._formed(inner)}, name)
            case {"type": "model-fields", "fields": found}:
                named = {name: self._named(self._formed(field), name) for name, field in found.items()}
                return {**schema, "fields": named}
            case {"type": "typed-dict", "fields": found}:  # its keys are data
                return {**schema, "fields": {name: self._formed(field) for name, field in found.items()}}
            case {"type": "decimal"}:
                return {**schema, "metadata": {"pydantic_js_functions": [self._described_decimal]}}
            case dict():
                return {key: self._formed_part(key, inner) for key, inner in schema.items()}
            case list() | tuple():
                return type(schema)(self._formed(inner) for inner in schema)
            case _:
                return schema

    def _formed_part(self, key: str, part: Any) -> Any:
        if key in ("ref", "schema_ref") and isinstance(part, str) and self != PLAIN:
            return f"{part}-{self.names}-{self.decimals}"  # else one class in two forms would be described once
        return part if key in _DATA else self._formed(part)

    def _named(self, field: Any, name: str) -> Any:
        alias = self.name(name)
        if alias == name or "validation_alias" in field or "serialization_alias" in field:
            return field
        return {**field, "validation_alias": alias, "serialization_alias": alias}

    def _described_decimal(self, schema: Any, handler: Any) -> dict[str, Any]:
        found = handler(schema)
        text = {"type": "string", "pattern": f"^{DECIMAL}$"}
        if handler.mode == "serialization" and self.decimals == "string":
            return text
        numbers = [one for one in found.get("anyOf", ()) if one["type"] == "number"] or [{"type": "number"}]
        return {"anyOf": [*numbers, text]}


PLAIN = JsonForm()
CAMEL = JsonForm(names="camel")

CURRENT: ContextVar[JsonForm] = ContextVar("twofold_json_form", default=PLAIN)
"""The form of the route that is being answered."""


def is_exact(value: Decimal) -> bool:
    """Whether a JSON number, which most read as a float, keeps all its digits."""
    return value.is_finite() and Decimal(repr(float(value))) == value


def _is_short(text: str) -> bool:
    return len(text) <= SURELY_EXACT and text[-1].isdecimal() and "E" not in text


@dataclass(frozen=True, slots=True)
class _Described:
    """Tells pydantic to describe a type in a form. It is not used to read or to write."""

    form: JsonForm

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.any_schema(metadata=described_as(self.form.core_schema(source)))


def described_as(schema: CoreSchema) -> dict[str, Any]:
    """Metadata of a schema that OpenAPI shall describe as if it were this one."""
    inner = core_schema.definitions_schema(schema, [])  # as it is, it would be described in place, not by its name
    return {"pydantic_js_annotation_functions": [lambda _, describe: describe(inner)]}


@cache
def _own_names(cls: type) -> dict[str, str | None]:
    """The fields of a class, and the name that it gives to each itself, or None."""
    if issubclass(cls, msgspec.Struct):
        named = zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)
        return {field: None if field == name else name for field, name in named}
    if issubclass(cls, BaseModel):
        return {name: field.serialization_alias for name, field in cls.model_fields.items()}
    if is_dataclass(cls):
        aliases = _aliases(cls)
        return {field.name: aliases.get(field.name) for field in fields(cls)}
    return {}


def _aliases(cls: type) -> dict[str, str]:
    """The names that pydantic knows of a dataclass: from its config, or from `Field`."""
    try:
        schema = TypeAdapter(cls).core_schema
    except (PydanticUserError, PydanticUndefinedAnnotation):  # it is no type for pydantic, which then has no names
        return {}
    return {
        field["name"]: field["serialization_alias"]
        for node in _nodes(schema)
        if node.get("type") == "dataclass" and node["cls"] is cls
        for field in node["schema"].get("fields", ())
        if "serialization_alias" in field
    }


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        schema = [inner for key, inner in schema.items() if key not in _DATA]
    if isinstance(schema, list | tuple):
        for inner in schema:
            yield from _nodes(inner)
