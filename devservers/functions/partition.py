"""One range of a feed, followed under its lease: pages go to the function, then the lease says how far it came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from devservers.functions.feed import Feed, Range, RangeGone
from devservers.functions.leases import Lease, Leases
from devservers.functions.options import TriggerOptions
from devservers.functions.pausing import pause

Deliver = Callable[[list[dict[str, Any]], Range], Awaitable[bool]]  # returns whether they are done with


class Held:
    """A lease that this host holds; one change at a time."""

    def __init__(self, leases: Leases, lease: Lease) -> None:
        self._leases, self.lease, self._one_at_a_time = leases, lease, asyncio.Lock()

    async def store(self, **changes: Any) -> None:
        """Change it, or only renew it. Raises: LeaseLost, AzureError."""
        async with self._one_at_a_time:
            self.lease = await self._leases.change(self.lease, **changes)

    async def divide(self, ranges: list[Range]) -> list[Range]:
        """Replace the lease of a range that has split by those of its parts, which continue where it stood.

        Returns the parts; none if the range is now within a larger one, and goes on. Raises: LeaseLost, AzureError.
        """
        parts = [self.lease.range.within(one) for one in ranges if one.overlaps(self.lease.range)]
        if len(parts) == 1:
            await self.store(range=parts[0])
            return []
        async with self._one_at_a_time:
            for part in parts:
                await self._leases.create(Lease(part, self.lease.token))
            await self._leases.delete(self.lease)
        return parts


async def follow(feed: Feed, held: Held, options: TriggerOptions, deliver: Deliver, stop: asyncio.Event) -> list[Range]:
    """Follow the range until it is to stop or splits; returns its parts. Raises: LeaseLost, AzureError."""
    token = held.lease.token
    while not stop.is_set():
        try:
            page = await feed.page(held.lease.range, token, options.start, options.most_items)
        except RangeGone:
            parts = await held.divide(await feed.ranges())
            if parts:
                return parts
            continue
        if page.documents and not await deliver(page.documents, held.lease.range):
            return []
        if page.token != held.lease.token:
            await held.store(token=page.token)
        token = page.token
        if not page.documents:
            await pause(stop, options.poll_s)
    return []
