"""An event loop whose clock is a number: while everybody waits it jumps to the next moment somebody waits for.

Leases, back-off and time-outs then cost no time and fall at exact moments. Only for what lives in one process's
memory: a thread or a socket that is waited for does not stop the clock.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Seconds since the loop was made, none of them real."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Nothing can happen before so much time has passed: let it have passed."""
        self._now = max(self._now + seconds, math.nextafter(self._now, math.inf))  # some time, however late it is


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting, the clock moves on."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        """Whatever is ready at once."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everybody waits, and nothing is left that could wake them")
            self._loop.jump(timeout)
        return ready


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
