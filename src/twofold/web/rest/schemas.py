"""JSON schemas of the classes that an Api sends and receives, as components of an OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from itertools import chain, count
from typing import Any, cast

import msgspec
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from twofold.web.forms import JsonForm

Json = dict[str, Any]

_REF = "#/components/schemas/"


class Schemas:
    """Schemas that are made together, so that they share their definitions.

    `components` are those of the document. A definition whose name another schema has there gets a number.
    """

    def __init__(self, form: JsonForm, components: Json) -> None:
        self._form, self.components = form, components
        self._inputs: list[tuple[Any, Any, CoreSchema]] = []
        self._made: dict[Any, Json] = {}

    def add(self, key: object, mode: str, annotation: Any) -> None:
        """Have a schema made: `validation` for what is sent, `serialization` for what is returned."""
        try:
            found = self._form.core_schema(annotation)
        except (PydanticUserError, PydanticUndefinedAnnotation) as error:  # all that is served works without pydantic
            why = {"description": f"Anything: pydantic cannot describe it. {str(error).partition(chr(10))[0]}"}
            found = core_schema.any_schema(metadata={"pydantic_js_updates": why})
        self._inputs.append((key, mode, found))

    def generate(self) -> None:
        """Make all schemas, and add their definitions to the components."""
        found, made = _Generator(ref_template=_REF + "{model}").generate_definitions(self._inputs)
        definitions = _used(list(found.values()), cast("dict[str, Json]", made))
        names = self._names(definitions)
        self._made = {key: _renamed(schema, names) for (key, _), schema in found.items()}
        for name, schema in definitions.items():
            self.components.setdefault(names[name], _renamed(schema, names))

    def __getitem__(self, key: object) -> Json:
        return self._made[key]

    def resolved(self, schema: Json) -> Json:
        """The schema, or the component that it refers to."""
        found: Json = self.components[schema["$ref"].removeprefix(_REF)] if "$ref" in schema else schema
        return found

    def shared(self, name: str, schema: Json) -> Json:
        """A reference to this schema as a component, which has this name unless another schema has it."""
        taken = [known for known in self.components if self.components[known] != schema]
        free = _free(name, taken)
        self.components[free] = schema
        return {"$ref": _REF + free}

    def _names(self, definitions: Mapping[str, Json]) -> dict[str, str]:
        """The names of definitions among the components.

        A schema that refers to one with another name is another schema, too: hence the loop.
        """
        names = {name: name for name in definitions}

        def clashes(name: str) -> bool:
            known = self.components.get(name) if names[name] == name else None
            return known is not None and _untitled(known) != _untitled(_renamed(definitions[name], names))

        while clashing := list(filter(clashes, definitions)):
            for name in clashing:
                names[name] = _free(name, {*self.components, *names.values()})
        return names


class _Generator(GenerateJsonSchema):
    """Without titles that only repeat a name. A response has all fields, also those with a default."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Nothing: a default that JSON cannot hold is not described."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """A default in words: generators of clients make a field with a `default` one that must be sent."""
        found = super().default_schema(schema)
        default = found.pop("default", None)
        if self.mode == "validation" and default not in (None, "", [], {}):
            said = f"By default {json.dumps(default, ensure_ascii=False)}"
            found["description"] = f"{found['description']}. {said}" if "description" in found else said
        return found

    def field_is_required(self, field: Any, total: bool) -> bool:
        is_sent = self.mode == "serialization" and field["type"] in ("dataclass-field", "model-field")
        return is_sent or super().field_is_required(field, total)

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        found, cls = super().typed_dict_schema(schema), schema.get("cls")
        is_struct = isinstance(cls, type) and issubclass(cls, msgspec.Struct)
        if is_struct and self.mode == "serialization" and not cast("Any", cls).__struct_config__.omit_defaults:
            found["required"] = list(found.get("properties", ()))
        return found


def _free(name: str, taken: Container[str]) -> str:
    return next(one for one in chain([name], (f"{name}{number}" for number in count(2))) if one not in taken)


def _used(schemas: list[Any], definitions: Mapping[str, Json]) -> dict[str, Json]:
    """The definitions that these schemas refer to, directly or through others."""
    used: dict[str, Json] = {}
    waiting = [name for schema in schemas for name in _references(schema)]
    while waiting:
        name = waiting.pop()
        if name not in used:
            used[name] = definitions[name]
            waiting += _references(used[name])
    return {name: schema for name, schema in definitions.items() if name in used}


def _references(schema: Any) -> Iterator[str]:
    match schema:
        case {"$ref": str(reference)}:
            yield reference.removeprefix(_REF)
        case dict():
            for inner in schema.values():
                yield from _references(inner)
        case list():
            for inner in schema:
                yield from _references(inner)


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:
    """The schema, with references to the new names."""
    match schema:
        case {"$ref": str(reference)}:
            name = reference.removeprefix(_REF)
            return {**schema, "$ref": _REF + names.get(name, name)}
        case dict():
            return {key: _renamed(inner, names) for key, inner in schema.items()}
        case list():
            return [_renamed(inner, names) for inner in schema]
        case _:
            return schema


def _untitled(schema: Any) -> Any:
    """The schema without titles, which FastAPI gives to each field."""
    match schema:
        case dict():
            titled = isinstance(schema.get("title"), str)
            return {key: _untitled(inner) for key, inner in schema.items() if key != "title" or not titled}
        case list():
            return [_untitled(inner) for inner in schema]
        case _:
            return schema
