"""One rule for names and decimals in JSON, which schemas, parsing and responses all derive from."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, TypeAdapter
from pydantic.alias_generators import to_camel
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import CoreSchema, core_schema

from twofold.read.kinds import canonical_decimal

LONGEST_NUMBER = 100  # digits; longer decimals are written with an exponent: one may have a billion zeros
SURELY_EXACT = 15  # digits that a JSON number keeps everywhere
DECIMAL = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"
"""A decimal as text, in JSON's notation for numbers."""
BASE64 = "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
"""Bytes as text, with padding."""

_DATA = frozenset({"default", "metadata", "cls", "expected", "config", "members"})


@dataclass(frozen=True, slots=True)
class JsonForm:
    """How fields are named in JSON, and how decimals are written. Bytes are always Base64.

    `names`: as in Python, or camelCase. A name that a class sets itself (an alias, `rename`) stays, and so do the keys
    of dicts. `decimals`: strings, or numbers. A decimal with more digits than a JSON number reliably keeps is always a
    string. Bodies may contain either.
    """

    names: Literal["snake", "camel"] = "snake"
    decimals: Literal["string", "number"] = "string"

    def name(self, field: str) -> str:
        """The JSON name of a field."""
        return to_camel(field) if self.names == "camel" else field

    def names_of(self, cls: type) -> dict[str, str]:
        """JSON names by field, of a dataclass, a pydantic model or a Struct. Empty for any other class."""
        own = _own_names(cls)
        return {field: self.name(field) if alias is None else alias for field, alias in own.items()}

    def decimal(self, value: Decimal) -> str | msgspec.Raw:
        """A decimal in JSON: plain digits, no trailing zeros."""
        text = str(value)
        if "E" in text or text == "-0" or (text[-1] == "0" and "." in text):
            text = canonical_decimal(value) if abs(value.adjusted()) < LONGEST_NUMBER else text
        if self.decimals == "number" and (_is_short(text) or is_exact(value)):
            return msgspec.Raw(text.encode())
        return text

    def core_schema(self, type: Any) -> CoreSchema:
        """Pydantic's schema of a type, in this form. Raises: PydanticUserError for a type that pydantic cannot read."""
        try:
            found = TypeAdapter(type).core_schema
        except PydanticSchemaGenerationError:
            if not _has_struct(type):
                raise
            found = _with_structs(type)
        formed: CoreSchema = self._formed(found)
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
            case {"type": "is-instance", "cls": cls} if issubclass(cls, msgspec.Struct):
                return self._struct(cls)
            case {"type": "function-after", "schema": {"type": "bytes"}}:  # pydantic's Base64Bytes
                return schema
            case {"type": "bytes"}:
                return _described_by(_described_bytes, schema)
            case {"type": "decimal"}:
                return _described_by(self._described_decimal, schema)
            case dict():
                return {key: self._formed_part(key, inner) for key, inner in schema.items()}
            case list() | tuple():
                return type(schema)(self._formed(inner) for inner in schema)
            case _:
                return schema

    def _struct(self, cls: type[msgspec.Struct]) -> CoreSchema:
        """Pydantic does not know Structs: for it they are typed dicts that become a Struct."""
        names, known = self.names_of(cls), msgspec.structs.fields(cls)
        fields = {
            names[field.name]: core_schema.typed_dict_field(self.core_schema(field.type), required=field.required)
            for field in known
        }
        tag = tag_of(cls)
        fields |= {name: core_schema.typed_dict_field(core_schema.literal_schema([own])) for name, own in tag.items()}
        ref = f"{cls.__module__}.{cls.__qualname__}:{id(cls)}-{self.names}-{self.decimals}"
        values = core_schema.typed_dict_schema(fields, cls=cls, cls_name=cls.__name__, ref=ref)
        by_name = {name: field for field, name in names.items()}
        return core_schema.no_info_after_validator_function(
            lambda found: cls(**{by_name[name]: value for name, value in found.items() if name not in tag}), values
        )

    def _formed_part(self, key: str, part: Any) -> Any:
        if key in ("ref", "schema_ref") and isinstance(part, str) and self != PLAIN:
            return f"{part}-{self.names}-{self.decimals}"  # one class in two forms is two schemas
        return part if key in _DATA else self._formed(part)

    def _named(self, field: Any, name: str) -> Any:
        alias = self.name(name)
        if alias == name or "validation_alias" in field or "serialization_alias" in field:
            return field
        return {**field, "validation_alias": alias, "serialization_alias": alias}

    def _described_decimal(self, schema: Any, handler: Any) -> dict[str, Any]:
        found = handler(schema)
        rest = {key: value for key, value in found.items() if key not in ("type", "anyOf", "pattern")}
        text = {"type": "string", "pattern": f"^{DECIMAL}$"}
        if handler.mode == "serialization" and self.decimals == "string":
            return {**rest, **text}
        numbers = [option for option in found.get("anyOf", ()) if option["type"] == "number"] or [{"type": "number"}]
        return {**rest, "anyOf": [*numbers, text]}


_STRUCTS_TOO = ConfigDict(arbitrary_types_allowed=True)

PLAIN = JsonForm()
CAMEL = JsonForm(names="camel")

CURRENT: ContextVar[JsonForm] = ContextVar("twofold_json_form", default=PLAIN)
"""The form of the route that handles the current request."""


def is_exact(value: Decimal) -> bool:
    """Whether a JSON number keeps all its digits, also for readers that use floats."""
    return value.is_finite() and Decimal(repr(float(value))) == value


def tag_of(cls: type[msgspec.Struct]) -> dict[str, str | int]:
    """The member of a Struct's JSON that tells it from the others of a union; empty without one."""
    config = cls.__struct_config__
    return {} if config.tag is None or config.tag_field is None else {config.tag_field: config.tag}


def _has_struct(type: Any, seen: frozenset[Any] = frozenset()) -> bool:
    if inspect.isclass(type) and issubclass(type, msgspec.Struct):
        return True
    parts = get_type_hints(type).values() if is_dataclass(type) and type not in seen else get_args(type)
    return any(_has_struct(part, seen | {type}) for part in parts)


def _with_structs(type: Any) -> CoreSchema:
    """Pydantic's schema, in which Structs are arbitrary types.

    A dataclass takes this setting only from something around it: here it is the member of a tuple.
    """
    found: Any = TypeAdapter(tuple[type], config=_STRUCTS_TOO).core_schema
    within = found if found["type"] == "tuple" else found["schema"]
    inner: CoreSchema = within["items_schema"][0]
    return inner if within is found else {**found, "schema": inner}


def _is_short(text: str) -> bool:
    return len(text) <= SURELY_EXACT and text[-1].isdecimal() and "E" not in text


def _described_by(describe: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, which this function describes in OpenAPI."""
    metadata = schema.get("metadata", {})
    functions = [describe, *metadata.get("pydantic_js_functions", ())]
    return {**schema, "metadata": {**metadata, "pydantic_js_functions": functions}}


def _described_bytes(schema: Any, handler: Any) -> dict[str, Any]:
    found = {"type": "string", "contentEncoding": "base64"}
    return found if handler.mode == "serialization" else {**found, "pattern": f"^{BASE64}$"}


@dataclass(frozen=True, slots=True)
class _Described:
    """Makes pydantic describe a type in a form. Only for OpenAPI: it neither validates nor serializes."""

    form: JsonForm

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.any_schema(metadata=described_as(self.form.core_schema(source)))


def described_as(schema: CoreSchema) -> dict[str, Any]:
    """Metadata that makes OpenAPI describe this schema instead of the one that has the metadata."""
    inner = core_schema.definitions_schema(schema, [])  # without this wrapper it would be inlined, not a $ref
    return {"pydantic_js_annotation_functions": [lambda _, describe: describe(inner)]}


@cache
def _own_names(cls: type) -> dict[str, str | None]:
    """The fields of a class, each with the JSON name that the class itself sets, or None."""
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
    """The names that a dataclass sets through pydantic: in its config or with `Field`."""
    try:
        schema = TypeAdapter(cls).core_schema
    except (
        PydanticUserError,
        PydanticUndefinedAnnotation,
    ):  # pydantic cannot read this type, so it has no aliases
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
