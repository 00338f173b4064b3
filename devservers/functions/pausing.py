"""Waiting that a stop cuts short."""

from __future__ import annotations

import asyncio
import contextlib


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Return after that time, or as soon as it is to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # on Python 3.11 `wait_for` loses a cancellation that comes with the event
            await stop.wait()
