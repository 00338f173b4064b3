"""Reading one's own writes: a token from an answer, and how long a read may wait for it (RFC 7240)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request

from twofold.read.freshness import DEFAULT_WAIT_S, MAX_WAIT_S
from twofold.web.problems import Problem

_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_WAIT = re.compile(r'\s*wait\s*=\s*(?:(\d{1,9})|"(\d{1,9})")\s*', re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Freshness:
    """What a read must have seen, and what it may take. Hand `after` and `wait_s` on to `get` or `find`."""

    after: str | None
    wait_s: float
    headers: dict[str, str]
    """For the answer."""


async def freshness(
    request: Request,
    after: Annotated[str | None, Query(description="A Consistency-Token: the answer is at least as new")] = None,
    consistency_token: Annotated[str | None, Header(description="As in the answer to a command; else ?after=")] = None,
    prefer: Annotated[str | None, Header(description="`wait=SECONDS`, 30 at most, 5 by default")] = None,
) -> Freshness:
    """A dependency; its headers are there for OpenAPI. The header counts before the parameter.

    Raises: Problem 400 when the header was sent twice.
    """
    tokens = request.headers.getlist("Consistency-Token")
    if len(tokens) > 1:
        raise Problem(400, "invalid-header", f"Consistency-Token must be given once, not {len(tokens)} times")
    token = tokens[0] if tokens else after
    wanted_s = preferred_wait_s(request.headers.getlist("Prefer"))
    if token is None or wanted_s is None:
        return Freshness(token, DEFAULT_WAIT_S, {})
    wait_s = min(wanted_s, int(MAX_WAIT_S))
    return Freshness(token, wait_s, {"Preference-Applied": f"wait={wait_s}"})


def preferred_wait_s(headers: Iterable[str]) -> int | None:
    """Of several, the first `wait` counts; one that is malformed is ignored, as the RFC has it."""
    for preference in (part for header in headers for part in _PREFERENCE.findall(header)):
        first = preference.partition(";")[0]
        if first.partition("=")[0].strip().lower() == "wait":
            found = _WAIT.fullmatch(first)
            return int(found[1] or found[2]) if found else None
    return None


Fresh = Annotated[Freshness, Depends(freshness)]
