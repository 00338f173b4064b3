"""What clients send, as OpenAPI: parameters and bodies, with examples that are accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fastapi.dependencies.utils import get_dependant
from fastapi.exceptions import RequestValidationError

from twofold.messages import MAX_ID_LENGTH
from twofold.web.preconditions import STAR
from twofold.web.rest.commands import CommandEndpoint
from twofold.web.rest.examples import Examples, NoExample
from twofold.web.rest.filters import Filter
from twofold.web.rest.pages import LIMIT, PageEndpoint
from twofold.web.rest.routes import Endpoint
from twofold.web.rest.schemas import Json, Schemas
from twofold.web.rest.values import Value

_ORDER = "Names of fields, separated by commas; a leading `-` for descending order"
_CURSOR = "From the page before or after: `next_cursor`, or a `Link`"
_TEXT = {"type": "string"}
_SOME_TEXT = {**_TEXT, "minLength": 1}
_ID = {**_SOME_TEXT, "maxLength": MAX_ID_LENGTH}
_MEANINGS = {
    "": "is this",
    "ne": "is not this",
    "in": "is one of these",
    "gt": "is greater than this",
    "ge": "is this or greater",
    "lt": "is less than this",
    "le": "is this or less",
    "startswith": "begins with this",
    "contains": "contains all of these",
    "null": "has no value (true), or has one (false)",
}
_HEADERS = {
    "idempotency-key": ("Idempotency-Key", "5f0c2a6e-order-1"),
    "x-correlation-id": ("X-Correlation-ID", "checkout-17"),
    "if-match": ("If-Match", '"3"'),
    "if-none-match": ("If-None-Match", '"3"'),
    "consistency-token": ("Consistency-Token", None),
    "prefer": ("Prefer", "wait=5"),
}
"""How headers are usually written, with an example where one can be made up."""


def parameters(endpoint: Endpoint, schemas: Schemas, examples: Examples) -> Iterator[Json]:
    """The parameters of an endpoint.

    Those of the path have an example. The others have it in their schema, where a page of documentation does not
    prefill a form with it: nobody wants all conditions at once.
    """
    values = {value.name: value for value in endpoint.values() if value.place == "path"}
    for name in endpoint.served.at.parameters:
        value = values.get(name)
        schema = _TEXT if value is None else schemas[endpoint, value]
        if schema == _TEXT:
            schema = _ID if isinstance(endpoint, CommandEndpoint) and name == endpoint.served.id else _SOME_TEXT
        found = _examples(value, schema, name, examples)
        example = {"example": found["examples"][0]} if found else {}
        yield {"name": name, "in": "path", "required": True, "schema": schema, **example}
    if isinstance(endpoint, PageEndpoint):
        yield from _of_a_page(endpoint, schemas, examples)
    yield from _of_headers(endpoint)


def _of_headers(endpoint: Endpoint) -> Iterator[Json]:
    """What the dependencies declare that read them."""
    for call in endpoint.headers:
        declared = get_dependant(path=endpoint.served.at.path, call=call)
        for place, fields in (("query", declared.query_params), ("header", declared.header_params)):
            for field in fields:
                name, example = _HEADERS.get(field.alias, (field.alias, None))
                extra: Any = field.field_info.json_schema_extra or {}
                example = "*" if extra == STAR else example
                schema = {**_TEXT, **extra} | ({} if example is None else {"examples": [example]})
                yield {"name": name, "in": place, "description": field.field_info.description, "schema": schema}


def _of_a_page(endpoint: PageEndpoint, schemas: Schemas, examples: Examples) -> Iterator[Json]:
    for name, each in endpoint.filters.items():
        schema = schemas[endpoint, each.value]
        schema = {**schema, **_examples(each.value, schema, name.partition("__")[0], examples)}
        schema = {"type": "array", "items": schema} if each.several else schema
        yield {"name": name, "in": "query", "description": _meaning(endpoint, each), "schema": schema}
    if endpoint.order_by is not None:
        first = next(iter(endpoint.served.projection.format.fields)).name
        schema = {**_TEXT, "examples": [endpoint.form.name(first)]}
        yield {"name": endpoint.order_by, "in": "query", "description": _ORDER, "schema": schema}
    schema = schemas[endpoint, LIMIT] | {"default": endpoint.served.limit, "examples": [endpoint.served.limit]}
    yield {"name": "limit", "in": "query", "description": "How many rows at most", "schema": schema}
    yield {"name": "cursor", "in": "query", "description": _CURSOR, "schema": _TEXT}


def _meaning(endpoint: PageEndpoint, each: Filter) -> str:
    field, _, operator = each.condition.partition("__")
    return f"Rows whose `{endpoint.form.name(field)}` {_MEANINGS[operator]}"


def _examples(value: Value | None, schema: Json, name: str, examples: Examples) -> Json:
    """`examples` of a parameter's value, which is read to see that it is accepted."""
    try:
        example = examples.of(schema, name)
        if value is not None:
            value.read(_as_text(example))
    except (NoExample, RequestValidationError):
        return {}
    return {"examples": [example]}


def _as_text(example: Any) -> str:
    return example if isinstance(example, str) else json.dumps(example)


def request_body(endpoint: CommandEndpoint, schemas: Schemas, examples: Examples) -> Json:
    """The body, with the examples of its class, or else one that is made, if the class accepts it."""
    schema, path = schemas[endpoint, "body"], _path(endpoint, schemas, examples)
    if "$ref" not in schema:
        schema = schemas.shared(endpoint.served.sent.__name__, schema)
    given = schemas.resolved(schema).get("examples") or _made(schema, examples)
    accepted = [example for example in given if endpoint.accepts(example, path)]
    media: Json = {"schema": schema}
    if len(accepted) == 1:
        media["example"] = accepted[0]
    elif accepted:
        media["examples"] = {str(number): {"value": example} for number, example in enumerate(accepted, 1)}
    return {"required": endpoint.needs_body, "content": {"application/json": media}}


def _path(endpoint: CommandEndpoint, schemas: Schemas, examples: Examples) -> dict[str, str]:
    """Examples of the parameters that are fields of the command. One that has none is empty, which is refused."""
    found = {
        value.name: _examples(value, schemas[endpoint, value], value.name, examples) for value in endpoint.values()
    }
    return {name: _as_text(example["examples"][0]) if example else "" for name, example in found.items()}


def _made(schema: Json, examples: Examples) -> Iterator[Any]:
    try:
        yield examples.of(schema, "body")
    except NoExample:
        return
