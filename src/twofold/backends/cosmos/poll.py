"""Polling, once for all tasks that wait: each look is a request, which is paid for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

POLL_S = 0.25


class Poll:
    """At most one look in `POLL_S`, however many wait for what it may find."""

    def __init__(self, look: Callable[[], Awaitable[object]]) -> None:
        self._look = look
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = -math.inf

    async def once(self) -> None:
        """Look, unless that was done a moment ago; then return at once. Raises: Unavailable, LogReplaced."""
        now = asyncio.get_running_loop().time()
        if self._looking is None or self._looking.done():
            if now < self._looked_at + POLL_S:
                return
            self._looked_at = now
            self._looking = asyncio.create_task(self._run(), name="twofold looks for news")
            self._looking.add_done_callback(_retrieve)
        await asyncio.shield(self._looking)

    async def _run(self) -> None:
        await self._look()


def _retrieve(task: asyncio.Task[None]) -> None:
    """Those that waited for the look may have been cancelled: then nobody else asks for its error."""
    if not task.cancelled():
        task.exception()
