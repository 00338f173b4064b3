"""The routes of an Api as OpenAPI: schemas from the classes of commands, events and rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from inspect import getdoc
from typing import Any, cast, get_type_hints

from fastapi.dependencies.utils import get_dependant
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema

from twofold.api import Api, anyone
from twofold.web.forms import JsonForm
from twofold.web.openapi import documented, sends
from twofold.web.rest.commands import CommandEndpoint
from twofold.web.rest.pages import LIMIT, PageEndpoint
from twofold.web.rest.routes import ApiRoute, Endpoint
from twofold.web.rest.rows import RowEndpoint

_ORDER = "Names of fields, separated by commas; a leading `-` for descending order"
_CURSOR = "From the page before or after: `next_cursor`, or a `Link`"
_TEXT = {"type": "string"}
REF = "#/components/schemas/{model}"
Json = dict[str, Any]


def describe(document: Json, api: Api, routes: Sequence[ApiRoute]) -> None:
    """Add the routes to an OpenAPI document."""
    schemas = Schemas(JsonForm(api.names, api.decimals))
    endpoints = [route.made for route in routes]
    for endpoint in endpoints:
        for key, mode, annotation in _classes(endpoint):
            schemas.add(key, mode, annotation)
    schemas.generate(document.setdefault("components", {}).setdefault("schemas", {}))
    paths = document.setdefault("paths", {})
    for endpoint in endpoints:
        at = endpoint.served.at
        path = "/" + "/".join(_shown(segment, endpoint) for segment in at.segments)
        paths.setdefault(path, {})[at.method.lower()] = _operation(api, endpoint, schemas)


def _shown(segment: str, endpoint: Endpoint) -> str:
    return f"{{{endpoint.form.name(segment[1:-1])}}}" if segment.startswith("{") else segment


class Schemas:
    """JSON schemas of classes, made together so that they share their definitions."""

    def __init__(self, form: JsonForm) -> None:
        self._form = form
        self._inputs: list[tuple[Any, Any, CoreSchema]] = []
        self._made: dict[Any, Json] = {}

    def add(self, key: object, mode: str, annotation: Any) -> None:
        """Have a schema made: `validation` for what is sent, `serialization` for what is returned."""
        self._inputs.append((key, mode, self._form.core_schema(annotation)))

    def generate(self, components: Json) -> None:
        """Make all schemas, and add their definitions to these components."""
        made, definitions = GenerateJsonSchema(ref_template=REF).generate_definitions(self._inputs)
        self._made = {key: schema for (key, _), schema in made.items()}
        components.update(cast("Json", definitions))

    def __getitem__(self, key: object) -> Json:
        return self._made[key]


def _classes(endpoint: Endpoint) -> Iterator[tuple[object, str, Any]]:
    """What an endpoint needs schemas of."""
    match endpoint:
        case CommandEndpoint():
            yield (endpoint, "body"), "validation", endpoint.body
            if endpoint.served.returns is None:
                for event in endpoint.served.decider.recorded_types:
                    yield (endpoint, event), "serialization", event
        case RowEndpoint() | PageEndpoint():
            if endpoint.served.returns is None:
                yield (endpoint, "row"), "serialization", endpoint.served.projection.row
    if endpoint.served.returns is not None:
        yield (endpoint, "returns"), "serialization", get_type_hints(endpoint.served.returns).get("return", Any)
    for value in endpoint.values():
        yield (endpoint, value), "validation", value.annotation


def _operation(api: Api, endpoint: Endpoint, schemas: Schemas) -> Json:
    served = endpoint.served
    operation: Json = {
        "operationId": served.name,
        "summary": served.name.replace("_", " ").capitalize(),
        "tags": [served.at.segments[0]],
        "parameters": list(_parameters(endpoint, schemas)),
    }
    statuses = {400, 422, 503} | ({404} if served.at.parameters else set())
    if served.allow is not anyone:
        statuses |= {401, 403}
    match endpoint:
        case CommandEndpoint():
            body = {"required": endpoint.needs_body, "content": _json(schemas[endpoint, "body"])}
            operation |= {"description": getdoc(endpoint.served.command) or "", "requestBody": body}
            statuses |= {408, 409, 412, 413, 415}
            success = _success(endpoint, schemas, "Consistency-Token", "ETag", "Idempotency-Expires")
        case RowEndpoint():
            operation["description"] = getdoc(endpoint.served.projection.row) or ""
            success = _success(endpoint, schemas, "ETag", "Preference-Applied")
            success |= {"304": {"description": "Still at that version", **sends(304, "ETag")[304]}}
        case PageEndpoint():
            operation["description"] = getdoc(endpoint.served.projection.row) or ""
            success = _success(endpoint, schemas, "Link", "Parked-Rows", "Preference-Applied")
    errors = {str(status): response for status, response in documented(*sorted(statuses)).items()}
    operation["responses"] = success | errors
    return operation


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _success(endpoint: Endpoint, schemas: Schemas, *headers: str) -> Json:
    status = endpoint.served.status if isinstance(endpoint, CommandEndpoint) else 200
    response = {"description": "Successful response", "content": _json(_content(endpoint, schemas))}
    return {str(status): {**response, **sends(status, *headers)[status]}}


def _content(endpoint: Endpoint, schemas: Schemas) -> Json:
    returned = schemas[endpoint, "returns"] if endpoint.served.returns is not None else None
    match endpoint:
        case CommandEndpoint():
            return returned or _command_answer(endpoint, schemas)
        case RowEndpoint():
            return returned or schemas[endpoint, "row"]
        case PageEndpoint():
            name = endpoint.form.name
            if endpoint.served.plain:
                return {"type": "array", "items": returned or schemas[endpoint, "row"]}
            return _object(
                {
                    "data": {"type": "array", "items": returned or schemas[endpoint, "row"]},
                    name("has_more"): {"type": "boolean"},
                    name("next_cursor"): {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "parked": {"type": "integer", "description": "How many rows are parked and may be out of date"},
                }
            )


def _command_answer(endpoint: CommandEndpoint, schemas: Schemas) -> Json:
    events = [
        _object({"type": {"const": event.__name__}, "data": schemas[endpoint, event]})
        for event in endpoint.served.decider.recorded_types
    ]
    return _object(
        {
            "id": {"type": "string"},
            "version": {"type": "integer"},
            "events": {"type": "array", "items": events[0] if len(events) == 1 else {"anyOf": events}},
        }
    )


def _object(properties: Mapping[str, Json]) -> Json:
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


def _parameters(endpoint: Endpoint, schemas: Schemas) -> Iterator[Json]:
    path = {value.name: schemas[endpoint, value] for value in endpoint.values() if value.place == "path"}
    for name in endpoint.served.at.parameters:
        yield {
            "name": endpoint.form.name(name),
            "in": "path",
            "required": True,
            "schema": path.get(name, {"type": "string"}),
        }
    if isinstance(endpoint, PageEndpoint):
        yield from _of_a_page(endpoint, schemas)
    for call in endpoint.headers:
        declared = get_dependant(path=endpoint.served.at.path, call=call)
        for place, fields in (("query", declared.query_params), ("header", declared.header_params)):
            for field in fields:
                extra: Any = field.field_info.json_schema_extra or {}
                schema = {"type": "string", **extra}
                yield {"name": field.alias, "in": place, "description": field.field_info.description, "schema": schema}


def _of_a_page(endpoint: PageEndpoint, schemas: Schemas) -> Iterator[Json]:
    for name, each in endpoint.filters.items():
        one = schemas[endpoint, each.value]
        yield {"name": name, "in": "query", "schema": {"type": "array", "items": one} if each.several else one}
    if "order_by" in endpoint.known:
        yield {"name": "order_by", "in": "query", "description": _ORDER, "schema": _TEXT}
    yield {"name": "limit", "in": "query", "schema": schemas[endpoint, LIMIT] | {"default": endpoint.served.limit}}
    yield {"name": "cursor", "in": "query", "description": _CURSOR, "schema": _TEXT}
