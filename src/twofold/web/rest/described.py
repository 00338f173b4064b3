"""The routes of an Api as OpenAPI operations: what they take and return, and who may call them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_type_hints

from twofold.api import Api, ServedCommand, anyone
from twofold.api.served import NO_BODY
from twofold.web.forms import JsonForm
from twofold.web.login.schemes import LOGIN, scheme_of
from twofold.web.openapi import docstring, documented, error, operations_of, problem_of, problem_types, sends
from twofold.web.rest.calls import CallEndpoint
from twofold.web.rest.commands import CommandEndpoint
from twofold.web.rest.examples import Examples
from twofold.web.rest.inputs import parameters, request_body
from twofold.web.rest.pages import PageEndpoint
from twofold.web.rest.routes import ApiRoute, Endpoint
from twofold.web.rest.rows import RowEndpoint
from twofold.web.rest.schemas import Json, Schemas

_LIVE = "With `Accept: text/event-stream`, live: a snapshot, then every change, as `/asyncapi.json` describes them"
"""In words: with a second media type, clients generated from the document could not tell the type of a row."""


def describe(document: Json, api: Api, routes: Sequence[ApiRoute]) -> None:
    """Add the routes to an OpenAPI document, except those at an address that it has already: a router comes first.

    If the function `actor=` has an attribute `security_scheme`, an OpenAPI security scheme, whatever needs a login
    refers to it.
    """
    components = document.setdefault("components", {})
    schemas = Schemas(JsonForm(api.names, api.decimals), components.setdefault("schemas", {}))
    endpoints = [route.made for route in routes]
    for endpoint in endpoints:
        for key, mode, annotation in _classes(endpoint):
            schemas.add(key, mode, annotation)
    schemas.generate()
    scheme = scheme_of(api.actor)
    if scheme is not None:
        components.setdefault("securitySchemes", {})[LOGIN] = dict(scheme)
    examples = Examples(schemas.components, api.decimals)
    for endpoint in endpoints:
        operation = _operation(endpoint, schemas, examples)
        if scheme is not None and endpoint.served.allow is not anyone:
            operation["security"] = [{LOGIN: []}]
        _add(document, endpoint, operation)


def _add(document: Json, endpoint: Endpoint, operation: Json) -> None:
    """Two paths that differ only in the names of their parameters are one path in OpenAPI."""
    at, method = endpoint.served.at, endpoint.served.at.method.lower()
    if operation["operationId"] in {known["operationId"] for _, _, known in operations_of(document)}:
        operation["operationId"] += f"_{method}_{'_'.join(re.findall(r'[A-Za-z0-9]+', at.path))}"
    paths: Json = document.setdefault("paths", {})
    shown = re.sub(r"\w+(?=\})", lambda found: endpoint.form.name(found[0]), at.path)
    path = next((known for known in paths if _shape(known) == _shape(at.path)), shown)
    names = dict(zip(at.parameters, re.findall(r"\{(\w+)\}", path), strict=True))
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            parameter["name"] = names[parameter["name"]]
    paths.setdefault(path, {}).setdefault(method, operation)


def _shape(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def _classes(endpoint: Endpoint) -> Iterator[tuple[object, str, Any]]:
    """What an endpoint needs schemas of."""
    returns = endpoint.served.returns
    if returns is not None:
        yield (endpoint, "returns"), "serialization", get_type_hints(returns).get("return", Any)
    elif not isinstance(endpoint, CommandEndpoint):
        yield (endpoint, "row"), "serialization", endpoint.served.projection.row
    else:
        for event in endpoint.served.decider.recorded_types:
            yield (endpoint, event), "serialization", event
    if isinstance(endpoint, CommandEndpoint):
        yield (endpoint, "body"), "validation", endpoint.body
    for value in endpoint.values():
        yield (endpoint, value), "validation", value.annotation


def _operation(endpoint: Endpoint, schemas: Schemas, examples: Examples) -> Json:
    served = endpoint.served
    operation = {
        "operationId": served.name,
        "tags": [next((one for one in served.at.segments if not one.startswith("{")), served.name)],
        **_texts(endpoint),
        "parameters": list(parameters(endpoint, schemas, examples)),
        "responses": _success(endpoint, schemas) | _errors(endpoint, schemas),
    }
    if isinstance(endpoint, CommandEndpoint):
        operation["requestBody"] = request_body(endpoint, schemas, examples)
    return operation


def _texts(endpoint: Endpoint) -> Json:
    """The summary and, if there is a docstring, the description."""
    words = re.sub(r"[_-]+", " ", endpoint.served.name).capitalize()
    match endpoint:
        case CommandEndpoint():
            text, summary = docstring(endpoint.served.sent), words
        case RowEndpoint():
            text, summary = docstring(endpoint.served.projection.row), f"{words}, one row"
        case PageEndpoint():
            text, summary = docstring(endpoint.served.projection.row), f"{words.removesuffix(' list')}, in pages"
    return {"summary": summary} | ({"description": text} if text else {})


# ---- responses ----------------------------------------


def _success(endpoint: Endpoint, schemas: Schemas) -> Json:
    match endpoint:
        case CommandEndpoint():
            status = endpoint.served.status
            headers = ["Consistency-Token", "Idempotency-Expires"] + ["ETag"] * endpoint.served.etag
            headers += ["Location"] * (endpoint.located is not None)
            found = _answer(status, "Done", _command_answer(endpoint, schemas), *headers)
        case RowEndpoint():
            found = _answer(200, _live("The row", endpoint), _returned(endpoint, schemas), "ETag", "Preference-Applied")
            found |= _answer(304, "Still at that version", None, "ETag")
        case PageEndpoint():
            headers = ["Link", "Parked-Rows", "Total-Count", "Preference-Applied"]
            found = _answer(200, _live("A page of rows", endpoint), _page(endpoint, schemas), *headers)
    return found


def _live(text: str, endpoint: RowEndpoint | PageEndpoint) -> str:
    return f"{text}. {_LIVE}" if endpoint.served.is_live else text


def _answer(status: int, description: str, schema: Json | None, *headers: str) -> Json:
    content = {} if schema is None or status in NO_BODY else {"content": {"application/json": {"schema": schema}}}
    return {str(status): {"description": description, **content, **sends(status, *headers)[status]}}


def _returned(endpoint: RowEndpoint | PageEndpoint, schemas: Schemas) -> Json:
    return schemas[endpoint, "row" if endpoint.served.returns is None else "returns"]


def _page(endpoint: PageEndpoint, schemas: Schemas) -> Json:
    name, row = endpoint.form.name, _returned(endpoint, schemas)
    if endpoint.served.returns_pages:
        return row
    if endpoint.served.plain:
        return {"type": "array", "items": row}
    page = _object(
        {
            "data": {"type": "array", "items": row},
            name("has_more"): {"type": "boolean"},
            name("next_cursor"): {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "parked": {"type": "integer", "description": "How many rows are parked and may be out of date"},
        }
    )
    referred = row.get("$ref", "").rpartition("/")[2]
    return schemas.shared(f"{referred or _pascal(endpoint.served.name)}Page", page)


def _command_answer(endpoint: CommandEndpoint, schemas: Schemas) -> Json:
    """Commands of one decider share its events."""
    if endpoint.served.returns is not None:
        return schemas[endpoint, "returns"]
    decider = endpoint.served.decider
    name = _pascal(decider.category)
    events = [
        _object({"type": {"type": "string", "const": event.__name__}, "data": schemas[endpoint, event]})
        for event in decider.recorded_types
    ]
    event = schemas.shared(f"{name}Event", events[0] if len(events) == 1 else {"anyOf": events})
    return schemas.shared(
        f"{name}Answer",
        _object(
            {"id": {"type": "string"}, "version": {"type": "integer"}, "events": {"type": "array", "items": event}}
        ),
    )


def _object(properties: Mapping[str, Json]) -> Json:
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


def _pascal(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", name))


def _errors(endpoint: Endpoint, schemas: Schemas) -> Json:
    """The problems of an endpoint. What a function of the user's own raises may be of any type."""
    served, kind, statuses = endpoint.served, _kind(endpoint), {400, 408, 422, 500, 503}
    kinds = {"any", "login", *_KINDS[kind]}
    if served.at.parameters:
        statuses |= {404}
    if served.allow is not anyone:
        statuses |= {401, 403}
    if isinstance(endpoint, CallEndpoint):
        statuses |= {409, 413, 415}
    elif isinstance(served, ServedCommand):
        statuses |= {409, 412, 413, 415} | ({404} if served.using or served.exists else set())
        if served.using is not None:
            found = documented(*sorted(statuses), kinds=kinds | {"read"})
            return {str(status): response for status, response in found.items()}
    return {
        str(status): error(status, schemas.shared(f"{kind}Problem{status}", problem_of(problem_types(status, kinds))))
        for status in sorted(statuses)
    }


_KINDS = {"Command": ("command",), "Row": ("read",), "Page": ("read", "page")}


def _kind(endpoint: Endpoint) -> str:
    match endpoint:
        case CommandEndpoint():
            return "Command"
        case RowEndpoint():
            return "Row"
        case PageEndpoint():
            return "Page"
