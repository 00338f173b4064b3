"""The doorbell: whoever waits for news is woken at once, without polling."""

from __future__ import annotations

import asyncio


class Doorbell:
    """Rings for all who wait at that moment, in one event loop."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    @property
    def awaited(self) -> bool:
        """Whether anybody has waited since the last ring."""
        return self._next is not None

    def ring(self) -> None:
        """Wake everybody."""
        if self._next is not None:
            if not self._next.done():
                self._next.set_result(None)
            self._next = None

    async def wait(self, timeout_s: float) -> bool:
        """Whether it rang before the time was over."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait((self._next,), timeout=timeout_s)
        return bool(done)
