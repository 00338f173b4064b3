"""Checks that a response matches the OpenAPI description of its route: status, headers, body, no extra fields."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import jsonschema_rs

METHODS = ("get", "put", "post", "delete", "patch")
TOLD = ("consistency-token", "etag", "location", "link", "preference-applied", "retry-after")


class Description:
    """An OpenAPI document, and which of its responses have been seen."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.components = _closed(document.get("components", {}))
        self.seen: set[tuple[str, int]] = set()

    def operations(self) -> Iterator[dict[str, Any]]:
        for item in self.document["paths"].values():
            yield from (item[method] for method in METHODS if method in item)

    def check(self, answer: httpx2.Response) -> None:
        operation = self._operation(answer)
        described = operation["responses"].get(str(answer.status_code))
        assert described is not None, f"{operation['operationId']} has no {answer.status_code}: {answer.text}"
        told = {name.lower() for name in described.get("headers", {})}
        assert {name for name in TOLD if name in answer.headers} <= told, (operation["operationId"], answer.headers)
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if answer.content:
            self._check_body(described["content"][kind]["schema"], answer, kind)
        self.seen.add((operation["operationId"], answer.status_code))

    def _check_body(self, schema: Any, answer: httpx2.Response, kind: str) -> None:
        value = json.loads(answer.content) if kind.endswith("json") else answer.text
        jsonschema_rs.validate({**_closed(schema), "components": self.components}, value)

    def _operation(self, answer: httpx2.Response) -> dict[str, Any]:
        wanted = answer.request.url.raw_path.split(b"?")[0].decode().split("/")
        for path, item in self.document["paths"].items():
            parts = path.split("/")
            fits = len(parts) == len(wanted) and all(p in (w, *_any(p)) for p, w in zip(parts, wanted, strict=True))
            if fits and answer.request.method.lower() in item:
                found: dict[str, Any] = item[answer.request.method.lower()]
                return found
        raise AssertionError(f"{answer.request.method} {answer.request.url} is not documented")


def _any(part: str) -> tuple[str, ...]:
    return (part,) if part.startswith("{") else ()


def _closed(schema: Any) -> Any:
    """The schema, with undocumented fields forbidden."""
    match schema:
        case {"properties": dict()}:
            closed = {key: _closed(inner) for key, inner in schema.items() if key not in ("default", "examples")}
            return {"additionalProperties": False, **closed}
        case dict():
            return {key: _closed(inner) for key, inner in schema.items() if key != "examples"}
        case list():
            return [_closed(inner) for inner in schema]
        case _:
            return schema
