"""The OpenAPI document: the errors and headers of responses, and readable operation ids.

Generated clients use the operation ids as names of functions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
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
    503: "Temporarily unavailable; try again after `Retry-After`, if it is sent",
}
_TEXT = {"type": "string"}
_PROBLEM = {
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
    "ETag": "The version, for `If-Match` and `If-None-Match`",
    "Idempotency-Expires": "When the response kept for this `Idempotency-Key` expires",
    "Link": "The addresses of the pages before and after, if there are any",
    "Location": "The address of the created resource",
    "Retry-After": "Seconds to wait before trying again",
    "Preference-Applied": "The wait that `Prefer` asked for, as applied",
}


def install(app: FastAPI, describe: Callable[[dict[str, Any]], None]) -> None:
    """Add the schema of problems, name each operation after its function, and `describe` what FastAPI does not know."""
    without = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = without()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
        _name(document)
        describe(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that may return these errors."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _ERRORS[status], "content": content} for status in statuses}


def sends(status: int, *names: str) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: headers that responses with this status may have."""
    text = {"type": "string"}
    return {status: {"headers": {name: {"description": HEADERS[name], "schema": text} for name in names}}}


def _name(document: dict[str, Any]) -> None:
    operations = [
        (path, method, operation)
        for path, item in document.get("paths", {}).items()
        for method, operation in item.items()
        if method in _METHODS
    ]
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
