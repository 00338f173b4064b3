"""Leases: one document for each range, which says who reads it and how far it has come.

Every change of a lease is conditional on its ETag, so of two hosts that want it one gets it, and a host that has lost
one is told so when it tries to store how far it came.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from azure.core import MatchConditions
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

from devservers.functions.feed import Range

KIND = "twofold development host"
CONFLICT, PRECONDITION, MISSING = 409, 412, 404


class LeaseLost(Exception):
    """Another host has changed or taken the lease."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as last seen. Without an owner it is free; without a token nothing has been read yet."""

    range: Range
    token: str | None = None
    owner: str | None = None
    beats: int = 0
    etag: str = ""


class Leases:
    """The leases of one feed in a container whose key is `/id`; `prefix` sets them apart from those of other feeds."""

    def __init__(self, container: ContainerProxy, prefix: str) -> None:
        self._container, self._prefix = container, prefix

    async def all(self) -> list[Lease]:
        """Raises: AzureError."""
        parameters: list[dict[str, object]] = [{"name": "@feed", "value": self._prefix}]
        query = self._container.query_items("SELECT * FROM c WHERE c.feed = @feed", parameters=parameters)
        return sorted([_lease(one) async for one in query], key=lambda lease: lease.range.key)

    async def create(self, lease: Lease) -> None:
        """Does nothing if there is one for this range. Raises: AzureError."""
        try:
            await self._container.create_item(self._document(lease))
        except CosmosHttpResponseError as error:
            if error.status_code != CONFLICT:
                raise

    async def change(self, lease: Lease, **changes: Any) -> Lease:
        """Store a changed lease. Raises: LeaseLost, AzureError."""
        changed = replace(lease, beats=lease.beats + 1, **changes)
        document = self._document(changed)
        with _lost():
            stored = await self._container.replace_item(
                document["id"], document, etag=lease.etag, match_condition=MatchConditions.IfNotModified
            )
        return replace(changed, etag=stored["_etag"])

    async def delete(self, lease: Lease) -> None:
        """Raises: LeaseLost, AzureError."""
        key = self._id(lease)
        with _lost():
            await self._container.delete_item(
                key, partition_key=key, etag=lease.etag, match_condition=MatchConditions.IfNotModified
            )

    def _id(self, lease: Lease) -> str:
        return f"{self._prefix}..{lease.range.begin or '00'}-{lease.range.end}"

    def _document(self, lease: Lease) -> dict[str, Any]:
        return {
            "id": self._id(lease),
            "feed": self._prefix,
            "kind": KIND,
            "range": {"begin": lease.range.begin, "end": lease.range.end, "id": lease.range.id},
            "token": lease.token,
            "owner": lease.owner,
            "beats": lease.beats,
            "changed_at": datetime.now(UTC).isoformat(),
        }


class _lost:  # noqa: N801 (used like contextlib's functions)
    """A stale ETag or a missing document becomes LeaseLost."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, CosmosHttpResponseError) and error.status_code in (PRECONDITION, MISSING):
            raise LeaseLost from error


def _lease(document: dict[str, Any]) -> Lease:
    return Lease(Range(**document["range"]), document["token"], document["owner"], document["beats"], document["_etag"])
