"""An event loop whose clock is a number: when every task waits, it jumps to the earliest time one waits for.

Leases, back-off and timeouts then take no real time and happen at exact moments. Only for code that stays in the
memory of one process: the clock does not wait for a thread or a socket.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The event loop of this module."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Virtual seconds since the loop was created."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Advance the clock by `seconds`."""
        self._now = max(self._now + seconds, math.nextafter(self._now, math.inf))  # moves even if the sum rounds down


class _Jumping(selectors.DefaultSelector):
    """A selector that advances the clock instead of waiting."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready now; if nothing is, advance the clock by `timeout`."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("all tasks wait, and nothing is left that could wake them")
            self._loop.jump(timeout)
        return ready


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
