"""Media types and status codes of GraphQL over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

MEDIA_TYPE = "application/graphql-response+json"
JSON = "application/json"
PARTIAL = 294  # data with errors

_ENCODE = msgspec.json.Encoder().encode


def media_type(accept: str) -> str | None:
    """What the client takes; None if it takes neither. Without a preference it is JSON, as older clients need."""
    if not accept.strip():
        return JSON
    taken = {}
    for part in accept.lower().split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        taken[name] = not any(each.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for each in parameters)
    if taken.get(MEDIA_TYPE):
        return MEDIA_TYPE
    if taken.get(JSON, taken.get("application/*", taken.get("*/*", False))):
        return JSON
    return MEDIA_TYPE if taken.get("application/*") or taken.get("*/*") else None


class GraphqlResponse(Response):
    """A response of GraphQL, made quickly."""

    def __init__(self, body: bytes, status: int, media: str, headers: Mapping[str, str]) -> None:
        self.body, self.status_code, self.background = body, status, None
        kind = f"{media}; charset=utf-8".encode()
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", kind), (b"vary", b"Accept")]
        for name, value in headers.items():
            self.raw_headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))


def body_of(data: bytes | None, errors: Any, extensions: Any) -> bytes:
    """The JSON of a response; `data` is its JSON, or None if nothing was executed."""
    parts = [] if data is None else [b'"data":' + data]
    if errors:
        parts.append(b'"errors":' + _ENCODE(errors))
    if extensions:
        parts.append(b'"extensions":' + _ENCODE(extensions))
    return b"{" + b",".join(parts) + b"}"
