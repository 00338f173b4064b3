"""The change feed of a container, range by range."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from azure.core.exceptions import AzureError
from azure.cosmos.aio import ContainerProxy

Start = Literal["Beginning", "Now"] | datetime


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """A range of hashes from `begin` to `end`, exclusive, as hex digits."""

    begin: str
    end: str
    id: str

    @property
    def key(self) -> tuple[str, str]:
        """Its bounds."""
        return self.begin, self.end

    def overlaps(self, other: Range) -> bool:
        """Whether a hash is in both."""
        return self.begin < other.end and other.begin < self.end

    def within(self, physical: Range) -> Range:
        """The part of this range that the service has in that one."""
        return Range(max(self.begin, physical.begin), min(self.end, physical.end), physical.id)


@dataclass(frozen=True, slots=True)
class Page:
    """Changed documents, and the token that the next page continues from."""

    documents: list[dict[str, Any]]
    token: str


class RangeGone(Exception):
    """The range has split or merged."""


class Feed:
    """The feed of one container."""

    def __init__(self, container: ContainerProxy, rid: str) -> None:
        self._container, self.rid = container, rid

    @classmethod
    async def of(cls, container: ContainerProxy) -> Feed:
        """Raises: AzureError, also if there is no such container."""
        return cls(container, (await container.read())["_rid"])

    async def ranges(self) -> list[Range]:
        """The ranges as they are now. Raises: AzureError."""
        connection = self._container.client_connection
        found = [one async for one in connection._ReadPartitionKeyRanges(self._container.container_link)]
        return sorted(Range(one["minInclusive"], one["maxExclusive"], one["id"]) for one in found)

    async def page(self, of: Range, token: str | None, start: Start, most: int | None) -> Page:
        """What changed after the token; without one, from `start` on.

        Raises: RangeGone, AzureError.
        """
        heard: list[Mapping[str, str]] = []
        where = _after(self.rid, of, token) if token is not None else {"feed_range": _bounds(of), "start_time": start}
        more: dict[str, Any] = {} if most is None else {"max_item_count": most}
        pages = self._container.query_items_change_feed(
            response_hook=lambda headers, _: heard.append({name.lower(): headers[name] for name in headers}),
            **where,
            **more,
        ).by_page()
        try:
            documents = [one async for page in _first(pages) async for one in page]
        except ValueError as error:  # how the SDK says that the container's id is another one now
            raise AzureError(f"the container was made anew: {error}") from error
        if heard[-1].get("x-ms-session-token", "").partition(":")[0] != of.id:
            raise RangeGone(f"range {of.id} has split or merged")
        return Page(documents, heard[-1]["etag"])


async def _first(pages: Any) -> AsyncIterator[Any]:
    async for page in pages:
        yield page
        return


def _bounds(of: Range) -> dict[str, Any]:
    return {"Range": {"min": of.begin, "max": of.end, "isMinInclusive": True, "isMaxInclusive": False}}


def _after(rid: str, of: Range, token: str) -> dict[str, str]:
    """The SDK's continuation for a token of a range. Its form is that of the pinned version."""
    bounds = _bounds(of)
    inner = {"v": "v2", "rid": rid, "continuation": [{"token": token, "range": bounds["Range"]}], **bounds}
    start = {"Type": "Beginning"}  # of no effect beside a token
    state = {"v": "v2", "containerRid": rid, "mode": "LatestVersion", "startFrom": start, "continuation": inner}
    return {"continuation": b64encode(json.dumps(state).encode()).decode()}
