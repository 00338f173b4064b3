"""Versions as entity tags (RFC 9110): a thing at version 3 has `ETag: "3"`, and `If-Match: "3"` demands it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Response

from twofold.web.problems import Problem, mark_conditional, version_conflict

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"{_TAG}(?:[ \t]*,[ \t]*{_TAG})*")
TAGS = {"pattern": rf"^(\*|{_TAG}([ \t]*,[ \t]*{_TAG})*)$"}
"""For OpenAPI: `*`, or entity tags."""

_VERSION = re.compile(r'"(0|[1-9]\d{0,17})"', re.ASCII)


def etag(version: int) -> str:
    """The entity tag of a version."""
    return f'"{version}"'


@dataclass(frozen=True, slots=True)
class IfMatch:
    """What a request demands of the version of the thing it changes. `tags` is None where it demands nothing."""

    tags: tuple[str, ...] | None

    def expected_version(self, actual: int) -> int | None:
        """What to expect when executing; `actual` is the version that was just seen.

        A single version is handed on even when it is not the actual one: a command that was done before is answered
        again, and only the log knows that. Raises: Problem 412 when no version can meet the demand.
        """
        if self.tags is None or (self.tags == ("*",) and actual > 0):
            return None
        versions = [int(found[1]) for tag in self.tags if (found := _VERSION.fullmatch(tag))]
        if versions:
            return actual if actual in versions else versions[0]
        raise version_conflict(412, f"The version is {actual}", ", ".join(self.tags), actual)


async def if_match(
    request: Request,
    if_match: Annotated[
        str | None, Header(description='The version to change, as in ETag: `"3"`; else 412', json_schema_extra=TAGS)
    ] = None,
) -> IfMatch:
    """A dependency; its parameter is there for OpenAPI. Raises: Problem 400 when the header is malformed."""
    tags = _tags(request, "If-Match")
    if tags is not None:
        mark_conditional(request)
    return IfMatch(tags)


@dataclass(frozen=True, slots=True)
class IfNoneMatch:
    """Versions that whoever reads has already. `tags` is None where nothing was said."""

    tags: tuple[str, ...] | None

    def not_modified(self, version: int) -> Response | None:
        """304 when this version is among them."""
        if self.tags is None:
            return None
        known = self.tags == ("*",) or etag(version) in [tag.removeprefix("W/") for tag in self.tags]
        return Response(status_code=304, headers={"ETag": etag(version)}) if known else None


async def if_none_match(
    request: Request,
    if_none_match: Annotated[
        str | None, Header(description="The version that is known, as in ETag; then 304", json_schema_extra=TAGS)
    ] = None,
) -> IfNoneMatch:
    """A dependency; its parameter is there for OpenAPI. Raises: Problem 400 when the header is malformed."""
    return IfNoneMatch(_tags(request, "If-None-Match"))


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


Precondition = Annotated[IfMatch, Depends(if_match)]
Known = Annotated[IfNoneMatch, Depends(if_none_match)]
