"""The OpenAPI document: the errors and headers of responses, and readable operation ids.

Generated clients use the operation ids as names of functions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import is_dataclass
from inspect import cleandoc
from typing import Any

from fastapi import FastAPI

from twofold.web.problems import MEDIA_TYPE

_METHODS = ("get", "put", "post", "delete", "options", "patch", "trace")

_ERRORS = {
    400: "The address, a header, a token, a cursor or the JSON cannot be read",
    401: "A login is needed",
    403: "The actor may not do this",
    404: "Not found",
    408: "The request did not arrive in time",
    409: "The version is not the expected one, or the resource already exists",
    412: "The version does not meet `If-Match` or `If-None-Match`",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "A field is invalid, or the domain rejected the command",
    500: "An error of the server; it was logged",
    503: "Temporarily unavailable; try again after `Retry-After`, if it is sent",
}
PROBLEMS = (
    (400, "invalid-address", "any"),
    (400, "invalid-request", "any"),
    (400, "invalid-header", "any"),
    (400, "invalid-json", "command"),
    (400, "incomplete-body", "command"),
    (400, "unknown-precondition", "command"),
    (400, "invalid-token", "read"),
    (400, "invalid-cursor", "page"),
    (401, "unauthorized", "login"),
    (403, "forbidden", "login"),
    (404, "not-found", "any"),
    (405, "method-not-allowed", "none"),
    (406, "not-acceptable", "none"),
    (408, "request-timeout", "any"),
    (409, "version-conflict", "command"),
    (412, "version-conflict", "command"),
    (413, "content-too-large", "command"),
    (415, "unsupported-media-type", "command"),
    (422, "invalid-input", "any"),
    (422, "invalid-request", "none"),
    (422, "rejected", "command"),
    (422, "idempotency-key-reused", "command"),
    (422, "unknown-reference", "command"),
    (431, "head-too-large", "none"),
    (500, "internal-error", "any"),
    (500, "not-repeatable", "command"),
    (503, "unavailable", "any"),
    (503, "overloaded", "any"),
    (503, "stopping", "any"),
    (503, "log-replaced", "any"),
    (503, "newer-schema", "any"),
    (503, "outcome-unknown", "command"),
    (503, "read-model-behind", "read"),
    (503, "row-parked", "read"),
    (503, "not-ready", "readiness"),
)
"""Every status and `type` of a problem that twofold itself returns, and the kind of request that may get it."""
_MEMBERS = {
    "invalid-input": ("errors", "errorsLeftOut"),
    "rejected": ("code",),
    "version-conflict": ("expected", "actual"),
    "outcome-unknown": ("commandId",),
    "read-model-behind": ("lagEvents",),
    "row-parked": ("since",),
    "not-ready": ("reasons",),
}
"""Members that only problems of a type have."""
ROUTES = ("any", "command", "read", "page", "login")
_TEXT = {"type": "string"}
PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "Problem details (RFC 9457). Further members depend on `type`",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "examples": ["invalid-input"]},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "instance": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["in", "field", "message"],
                "properties": {"in": _TEXT, "field": _TEXT, "message": _TEXT},
            },
        },
        "errorsLeftOut": {"type": "integer"},
        "code": _TEXT,
        "expected": {"anyOf": [{"type": "integer"}, _TEXT]},
        "actual": {"type": "integer"},
        "commandId": _TEXT,
        "lagEvents": {"type": "integer"},
        "reasons": {"type": "array", "items": _TEXT},
        "since": {"type": "string", "format": "date-time"},
    },
}

HEADERS = {
    "Consistency-Token": "Send it with a later read, which is then at least as recent",
    "Parked-Rows": "How many rows are parked and may be out of date or missing",
    "Total-Count": "How many rows there are on all pages, if `Prefer: count=exact` asked for it",
    "ETag": "The version, for `If-Match` and `If-None-Match`",
    "Idempotency-Expires": "When the response kept for this `Idempotency-Key` expires",
    "Link": "The addresses of the pages before and after, if there are any",
    "Location": "The address of the created resource",
    "Retry-After": "Seconds to wait before trying again",
    "Preference-Applied": "The preferences of `Prefer` that were applied",
    "WWW-Authenticate": "How to log in",
}
_SENT_WITH = {401: "WWW-Authenticate", 503: "Retry-After"}
_NUMBERS = ("Parked-Rows", "Total-Count", "Retry-After")


def install(app: FastAPI, *describe: Callable[[dict[str, Any]], None]) -> None:
    """Add the schema of problems, name each operation after its function, and `describe` what FastAPI does not know."""
    without = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = without()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
        _name(document)
        for each in describe:
            each(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def problem_types(status: int, kinds: Collection[str]) -> list[str]:
    """The types of problems that requests of these kinds may get with a status."""
    return [name for known, name, kind in PROBLEMS if known == status and kind in kinds]


def documented(*statuses: int, kinds: Collection[str] = ROUTES) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that may return these errors. Its own functions may raise problems of other types."""
    return {status: error(status, PROBLEM_REF, _described(status, kinds)) for status in statuses}


def error(status: int, schema: dict[str, Any], description: str | None = None) -> dict[str, Any]:
    """A response with this schema of its problem, and the headers of the status."""
    content = {MEDIA_TYPE: {"schema": schema}}
    sent = sends(status, _SENT_WITH[status])[status] if status in _SENT_WITH else {}
    return {"description": description or _ERRORS[status], "content": content, **sent}


def problem_of(types: Collection[str]) -> dict[str, Any]:
    """The schema of a problem that can only be of one of these types, with the members that they have."""
    others = {member for name, members in _MEMBERS.items() for member in members if name not in types}
    others -= {member for name in types for member in _MEMBERS.get(name, ())}
    known = {name: schema for name, schema in PROBLEM["properties"].items() if name not in others}
    return {**PROBLEM, "properties": {**known, "type": {**_TEXT, "enum": list(types)}}}


def sends(status: int, *names: str) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: headers that responses with this status may have."""
    return {status: {"headers": {name: _header(name) for name in names}}}


def _described(status: int, kinds: Collection[str]) -> str:
    types = ", ".join(f"`{name}`" for name in problem_types(status, kinds))
    return f"{_ERRORS[status]}. Types: {types}" if types else _ERRORS[status]


def _header(name: str) -> dict[str, Any]:
    return {"description": HEADERS[name], "schema": {"type": "integer"} if name in _NUMBERS else _TEXT}


def operations_of(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Each operation, with its path and method."""
    return [
        (path, method, operation)
        for path, item in document.get("paths", {}).items()
        for method, operation in item.items()
        if method in _METHODS
    ]


def docstring(cls: type) -> str:
    """The docstring of the class itself: not an inherited one, nor the signature that a dataclass has instead."""
    text = cls.__dict__.get("__doc__") or ""
    is_made = is_dataclass(cls) and text.startswith(f"{cls.__name__}(")
    return "" if is_made else cleandoc(text)


def _name(document: dict[str, Any]) -> None:
    operations = operations_of(document)
    names = [_function(path, operation["operationId"]) for path, _, operation in operations]
    count = Counter(names)
    for (path, method, operation), name in zip(operations, names, strict=True):
        operation["operationId"] = name if count[name] == 1 else f"{name}_{method}_{_words(path)}"


def _function(path: str, operation_id: str) -> str:
    """The function's name in an id that FastAPI generated. An id that the user chose stays."""
    for method in _METHODS:
        operation_id = operation_id.removesuffix(re.sub(r"\W", "_", path) + f"_{method}")
    return operation_id


def _words(path: str) -> str:
    return "_".join(re.findall(r"\w+", path))
