"""What a client sends of a class: some fields have other types there, and some come from the path or the login."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from twofold.web.forms import JsonForm

_FIELDS = ("dataclass-args", "model-fields", "typed-dict")


@dataclass(frozen=True, eq=False)
class AtTheEdge:
    """Annotates a class. `types` replace the annotations of its fields; `elsewhere` are members that the body lacks.

    Both go by the names in JSON. For OpenAPI; what validates is `schema`, which has all fields.
    """

    form: JsonForm
    types: Mapping[str, Any]
    elsewhere: tuple[str, ...]

    @property
    def _which(self) -> str:
        """Tells these types from those of the class, and from others that it has at another address."""
        return blake2b(repr(sorted(self.types.items())).encode(), digest_size=8).hexdigest()

    def schema(self, cls: type) -> CoreSchema:
        """Pydantic's schema of the class with these types, in which its own rules still hold."""
        found: CoreSchema = self.form.core_schema(cls)
        return self._retyped(found, {}) if self.types else found

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = core_schema.definitions_schema(self.schema(source), [])

        def described(_: CoreSchema, describe: Any) -> dict[str, Any]:
            if not self.elsewhere:
                return dict(describe(inner))
            found = dict(describe.resolve_ref_schema(describe(inner)))
            found["properties"] = {n: s for n, s in found.get("properties", {}).items() if n not in self.elsewhere}
            found["required"] = [name for name in found.get("required", ()) if name not in self.elsewhere]
            if "examples" in found:
                found["examples"] = [self._own(example) for example in found["examples"]]
            return found

        return core_schema.any_schema(metadata={"pydantic_js_annotation_functions": [described]})

    def _own(self, example: Any) -> Any:
        if not isinstance(example, dict):
            return example
        return {name: value for name, value in example.items() if name not in self.elsewhere}

    def _retyped(self, schema: Any, definitions: Mapping[str, Any]) -> Any:
        """The schema down to the fields of the class itself."""
        match schema:
            case {"type": "definitions", "schema": inner, "definitions": found}:
                known = {each["ref"]: each for each in found}
                return {**schema, "schema": self._retyped(inner, known)}
            case {"type": "definition-ref", "schema_ref": ref}:
                return self._retyped(definitions[ref], definitions)
            case {"type": kind, "fields": fields} if kind in _FIELDS:
                return {**schema, "fields": self._fields(fields)}
            case {"schema": inner}:
                ref = {"ref": f"{schema['ref']}-{self._which}"} if "ref" in schema else {}
                return {**schema, **ref, "schema": self._retyped(inner, definitions)}
            case _:
                return schema

    def _fields(self, fields: Any) -> Any:
        if isinstance(fields, dict):
            return {name: self._field(field, field.get("validation_alias", name)) for name, field in fields.items()}
        return [self._field(field, field.get("validation_alias", field["name"])) for field in fields]

    def _field(self, field: Any, name: str) -> Any:
        if name not in self.types:
            return field
        typed = self.form.core_schema(self.types[name])
        old = field["schema"]
        return {**field, "schema": {**old, "schema": typed} if old["type"] == "default" else typed}
