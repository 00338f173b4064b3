"""Headers: those of requests that become a part of the log, and those of answers that OpenAPI tells of."""

from __future__ import annotations

import re
from typing import Any

from starlette.datastructures import Headers

from twofold.web.problems import Problem

CORRELATION = "X-Correlation-ID"

PRINTABLE = {"minLength": 1, "maxLength": 200, "pattern": r"^[\x20-\x7e]*$"}
"""For OpenAPI: what `printable_header` takes."""

_PRINTABLE = re.compile(r"[\x20-\x7e]{1,200}")


def printable_header(headers: Headers, name: str) -> str | None:
    """The header, if it was sent. Raises: Problem 400 unless it is 1 to 200 printable ASCII characters, sent once."""
    values = headers.getlist(name)
    if not values:
        return None
    if len(values) > 1 or not _PRINTABLE.fullmatch(values[0]):
        sent = f"{values[0]!r:.80}" if len(values) == 1 else f"{len(values)} times"
        said = f"{name} must be given once, with 1 to 200 printable ASCII characters, not {sent}"
        raise Problem(400, "invalid-header", said)
    return values[0]


_MEANINGS = {
    "Consistency-Token": "Send it with a later read, which is then at least as new",
    "ETag": "The version, which `If-Match` and `If-None-Match` can name",
    "Idempotency-Expires": "Until when this answer is kept for its `Idempotency-Key`",
    "Link": "The address of the next page, where there is one",
    "Location": "The address of what was made",
    "Retry-After": "Seconds until it is worth trying again",
    "Preference-Applied": "How long the read was allowed to wait, where `Prefer` asked for it",
}


def sends(status: int, *names: str) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route, for OpenAPI: headers that answers with this status may have."""
    text = {"type": "string"}
    return {status: {"headers": {name: {"description": _MEANINGS[name], "schema": text} for name in names}}}
