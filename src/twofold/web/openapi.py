"""The OpenAPI document: the errors and headers of responses, and readable operation ids.

Generated clients use the operation ids as names of functions.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from fastapi import FastAPI

from twofold.web.problems import MEDIA_TYPE

_METHODS = ("get", "put", "post", "delete", "options", "patch", "trace")

_ERRORS = {
    400: "The address, a header, a token, a cursor or the JSON cannot be read",
    404: "There is no such thing",
    408: "The request did not arrive in time",
    409: "It is not at the version that was expected, or exists already",
    412: "It is not at the version that `If-Match` or `If-None-Match` demands",
    413: "The body is too large",
    415: "The body is not sent as JSON",
    422: "A field is at fault, or the rules say no",
    503: "Not now; where there is a `Retry-After`, try again then",
}
_TEXT = {"type": "string"}
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "Problem details (RFC 9457). Which of the further members are there depends on `type`",
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

_HEADERS = {
    "Consistency-Token": "Send it with a later read, which is then at least as new",
    "ETag": "The version, which `If-Match` and `If-None-Match` can name",
    "Idempotency-Expires": "Until when this answer is kept for its `Idempotency-Key`",
    "Link": "The address of the next page, where there is one",
    "Location": "The address of what was made",
    "Retry-After": "Seconds until it is worth trying again",
    "Preference-Applied": "How long the read was allowed to wait, where `Prefer` asked for it",
}


def install(app: FastAPI) -> None:
    """Add the schema of problems, and name each operation after its function."""
    without = app.openapi

    def openapi() -> dict[str, Any]:
        document = without()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM
        _name(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that may answer with these errors."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _ERRORS[status], "content": content} for status in statuses}


def sends(status: int, *names: str) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route, for OpenAPI: headers that answers with this status may have."""
    text = {"type": "string"}
    return {status: {"headers": {name: {"description": _HEADERS[name], "schema": text} for name in names}}}


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
