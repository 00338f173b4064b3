"""Headers of requests that become a part of the log: keys, actors, correlation ids."""

from __future__ import annotations

import re

from starlette.datastructures import Headers

from twofold.web.problems import Problem

CORRELATION = "X-Correlation-ID"

_PRINTABLE = re.compile(r"[\x20-\x7e]{1,200}")


def printable_header(headers: Headers, name: str) -> str | None:
    """The header, if it was sent. Raises: Problem 400 unless it is 1 to 200 printable ASCII characters, sent once."""
    values = headers.getlist(name)
    if not values:
        return None
    if len(values) > 1 or not _PRINTABLE.fullmatch(values[0]):
        raise Problem(400, "invalid-header", f"{name} must be given once, with 1 to 200 printable ASCII characters")
    return values[0]
