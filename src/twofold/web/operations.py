"""Operations in OpenAPI: each has an id that can be read, and that is the name of a function in generated clients."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from fastapi import FastAPI

_METHODS = ("get", "put", "post", "delete", "options", "patch", "trace")


def install(app: FastAPI) -> None:
    """Call each operation after its function. Where several have one name, method and path are added."""
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
    """The name in an id that FastAPI has made of it, the path and a method; an id of the user's own stays."""
    for method in _METHODS:
        operation_id = operation_id.removesuffix(re.sub(r"\W", "_", path) + f"_{method}")
    return operation_id


def _words(path: str) -> str:
    return "_".join(re.findall(r"\w+", path))
