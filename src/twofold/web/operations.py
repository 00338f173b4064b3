"""Readable operation ids in OpenAPI: generated clients use them as names of functions."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from fastapi import FastAPI

_METHODS = ("get", "put", "post", "delete", "options", "patch", "trace")


def install(app: FastAPI) -> None:
    """Name each operation after its function; where several share a name, add method and path."""
    without = app.openapi

    def openapi() -> dict[str, Any]:
        document = without()
        _name(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


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
