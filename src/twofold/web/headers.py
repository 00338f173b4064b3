"""Headers of requests whose values are recorded in the log."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import Scope

from twofold.web.problems import Problem

CORRELATION = "X-Correlation-ID"

PRINTABLE = {"minLength": 1, "maxLength": 200, "pattern": r"^[\x20-\x7e]*$"}
"""For OpenAPI: what `printable_header` accepts."""

_PRINTABLE = re.compile(r"[\x20-\x7e]{1,200}")


def is_sent(scope: Scope, *names: bytes) -> bool:
    """Whether a request has one of these headers, in lower case. `Headers` takes ten times as long to tell."""
    for name, _ in scope["headers"]:  # noqa: SIM110 (a generator takes twice as long)
        if name in names:
            return True
    return False


def printable_header(headers: Mapping[str, str], name: str) -> str | None:
    """The header, or None. Raises: Problem 400 unless it is sent once, with 1 to 200 printable ASCII characters."""
    values = Headers(headers).getlist(name) if not isinstance(headers, Headers) else headers.getlist(name)
    if not values:
        return None
    if len(values) > 1 or not _PRINTABLE.fullmatch(values[0]):
        sent = f"{values[0]!r:.80}" if len(values) == 1 else f"{len(values)} times"
        detail = f"{name} must be given once, with 1 to 200 printable ASCII characters, not {sent}"
        raise Problem(400, "invalid-header", detail)
    return values[0]
