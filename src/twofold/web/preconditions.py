"""Versions as entity tags (RFC 9110): version 3 has `ETag: "3"`, and `If-Match: "3"` requires it.

`If-None-Match: *` requires that nothing exists yet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Response

from twofold.web.headers import is_sent
from twofold.web.problems import Problem, mark_conditional, version_conflict

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"{_TAG}(?:[ \t]*,[ \t]*{_TAG})*")
TAGS = {"pattern": rf"^(\*|{_TAG}([ \t]*,[ \t]*{_TAG})*)$"}
"""For OpenAPI: `*`, or entity tags."""
STAR = {"pattern": r"^\*$"}

_VERSION = re.compile(r'"(0|[1-9]\d{0,17})"', re.ASCII)


def etag(version: int) -> str:
    """The entity tag of a version."""
    return f'"{version}"'


@dataclass(frozen=True, slots=True)
class Conditions:
    """The preconditions of a request that changes something; None if a header was not sent.

    They are evaluated in the order of RFC 9110, 13.2.2: first `If-Match`, by strong comparison, then `If-None-Match`,
    by weak comparison.
    """

    if_match: tuple[str, ...] | None
    if_none_match: tuple[str, ...] | None

    def expected_version(self, actual: int) -> int | None:
        """The version to pass to `execute`; `actual` is the one that was just loaded.

        A precondition that fails now, but may have held earlier, is passed on as a version that cannot match: only the
        log knows whether this command was executed before, and then returns its original result. Otherwise
        `execute` raises VersionConflict, which becomes 412.

        Raises: Problem 412 if the precondition can never have held.
        """
        expected = None if self.if_match is None else self._matched(self.if_match, actual)
        if self.if_none_match is None or (expected is not None and expected != actual):
            return expected
        other = self._unmatched(self.if_none_match, actual)
        return expected if other is None else other

    def failed(self, actual: int) -> Problem:
        """The problem to return when the preconditions do not hold at this version."""
        headers = {"If-Match": self.if_match, "If-None-Match": self.if_none_match}
        sent = "; ".join(f"{name}: {', '.join(tags)}" for name, tags in headers.items() if tags is not None)
        there = f"the version is {actual}" if actual else "it does not exist"
        weak = [tag for tag in self.if_match or () if tag.startswith("W/")]
        detail = f"{sent:.200} is not met: {there}"
        if weak:
            detail += f". If-Match never matches a weak tag: send {weak[0].removeprefix('W/'):.80}, not {weak[0]:.80}"
        return version_conflict(412, detail, sent, actual)

    def _matched(self, tags: Sequence[str], actual: int) -> int | None:
        versions = _versions(tags)
        if (tags == ("*",) and actual > 0) or actual in versions:
            return None if tags == ("*",) else actual
        if not versions or actual == 0:
            raise self.failed(actual)
        return versions[0]

    def _unmatched(self, tags: Sequence[str], actual: int) -> int | None:
        if tags == ("*",):
            return 0
        versions = _versions([tag.removeprefix("W/") for tag in tags])
        if actual > 0 and actual in versions:
            return actual - 1
        return actual if any(version > actual for version in versions) else None


async def precondition(
    request: Request,
    if_match: Annotated[
        str | None, Header(description='The version to change, as in ETag: `"3"`; else 412', json_schema_extra=TAGS)
    ] = None,
    if_none_match: Annotated[
        str | None, Header(description="`*`: only if nothing exists yet; otherwise 412", json_schema_extra=TAGS)
    ] = None,
) -> Conditions:
    """A dependency; its parameters are declared for OpenAPI. Raises: Problem 400 when a header is malformed."""
    conditions = Conditions(_tags(request, "If-Match"), _tags(request, "If-None-Match"))
    if conditions != Conditions(None, None):
        mark_conditional(request, conditions.failed)
    return conditions


async def if_new(
    request: Request,
    if_none_match: Annotated[
        str | None, Header(description="`*`: 412 instead of 409 if it already exists", json_schema_extra=STAR)
    ] = None,
) -> bool:
    """A dependency of routes that create something: whether `If-None-Match: *` was sent, so that a conflict is 412.

    Raises: Problem 400 for tags: a new resource has none.
    """
    tags = _tags(request, "If-None-Match")
    if tags not in (None, ("*",)):
        raise Problem(400, "invalid-header", f"If-None-Match can only be * here, not {', '.join(tags or ())!r:.80}")
    if tags is not None:
        mark_conditional(request, Conditions(None, tags).failed)
    return tags is not None


@dataclass(frozen=True, slots=True)
class IfNoneMatch:
    """Versions that the client already has. `tags` is None if the header was not sent."""

    tags: tuple[str, ...] | None

    def not_modified(self, version: int) -> Response | None:
        """304 when this version is among them."""
        tag = etag(version)
        return Response(status_code=304, headers={"ETag": tag}) if self.matches(tag) else None

    def matches(self, tag: str) -> bool:
        """Whether the client has the response with this entity tag, by weak comparison."""
        if self.tags is None:
            return False
        return self.tags == ("*",) or tag.removeprefix("W/") in [known.removeprefix("W/") for known in self.tags]


_NOTHING_KNOWN = IfNoneMatch(None)


async def if_none_match(
    request: Request,
    if_none_match: Annotated[
        str | None,
        Header(description="The version already known, as in ETag: 304 if it is current", json_schema_extra=TAGS),
    ] = None,
) -> IfNoneMatch:
    """A dependency; its parameter is declared for OpenAPI. Raises: Problem 400 when the header is malformed."""
    return IfNoneMatch(_tags(request, "If-None-Match")) if is_sent(request.scope, b"if-none-match") else _NOTHING_KNOWN


def _tags(request: Request, name: str) -> tuple[str, ...] | None:
    lines = request.headers.getlist(name)
    if not lines:
        return None
    text = ", ".join(line.strip(" \t") for line in lines)  # several lines are one list (RFC 9110)
    if text == "*":
        return ("*",)
    if _TAGS.fullmatch(text) is None:
        raise Problem(
            400, "invalid-header", f'{name} is * or a list of entity tags in quotes, like "3", not {text!r:.80}'
        )
    return tuple(re.findall(_TAG, text))


def _versions(tags: Sequence[str]) -> list[int]:
    return [int(match[1]) for tag in tags if (match := _VERSION.fullmatch(tag))]


Precondition = Annotated[Conditions, Depends(precondition)]
IfNew = Annotated[bool, Depends(if_new)]
Known = Annotated[IfNoneMatch, Depends(if_none_match)]
