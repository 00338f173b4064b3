"""Reading your own writes: the token of an earlier response, and how long a read may wait for it (RFC 7240)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request

from twofold.read.freshness import DEFAULT_WAIT_S, MAX_WAIT_S
from twofold.web.headers import is_sent
from twofold.web.problems import Problem

_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_WAIT = re.compile(r'\s*wait\s*=\s*(?:(\d{1,9})|"(\d{1,9})")\s*', re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Freshness:
    """How recent a read must be, and how long it may wait. Pass `after` and `wait_s` to `get` or `find`."""

    after: str | None
    wait_s: float
    headers: dict[str, str]
    """For the response."""


_ANY = Freshness(None, DEFAULT_WAIT_S, {})


async def freshness(
    request: Request,
    after: Annotated[str | None, Query(description="A Consistency-Token: the result is at least as recent")] = None,
    consistency_token: Annotated[
        str | None, Header(description="From the response to a command; takes precedence over ?after=")
    ] = None,
    prefer: Annotated[
        str | None, Header(description="`wait=SECONDS`, 30 at most, 5 by default; on pages `count=exact`")
    ] = None,
) -> Freshness:
    """A dependency; its headers are declared for OpenAPI. The header takes precedence over the parameter.

    Raises: Problem 400 if the header was sent twice.
    """
    if not is_sent(request.scope, b"consistency-token", b"prefer"):
        return _ANY if after is None else Freshness(after, DEFAULT_WAIT_S, {})
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
    """The first `wait` counts; a malformed one is ignored, as the RFC requires."""
    first = _preference("wait", headers)
    match = None if first is None else _WAIT.fullmatch(first)
    return int(match[1] or match[2]) if match else None


def wants_count(request: Request) -> bool:
    """Whether a page is to say how many rows there are on all pages: `Prefer: count=exact`."""
    first = _preference("count", request.headers.getlist("Prefer"))
    return first is not None and first.partition("=")[2].strip().strip('"').lower() == "exact"


def _preference(name: str, headers: Iterable[str]) -> str | None:
    """The first preference with this name, without its parameters."""
    for preference in (part for header in headers for part in _PREFERENCE.findall(header)):
        first: str = preference.partition(";")[0]
        if first.partition("=")[0].strip().lower() == name:
            return first
    return None


Fresh = Annotated[Freshness, Depends(freshness)]
