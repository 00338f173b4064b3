"""What is parked, looked at and set going again by an operator."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.app import Running
from twofold.feed.checkpoints import Parked
from twofold.feed.parking import ParkedEvent, Unparked
from twofold.operate.check import check


async def parked(running: Running, name: str | None = None, key: str | None = None) -> Sequence[ParkedEvent]:
    """What waits, of all followers or of one, by position, with tracebacks. Raises: InvalidInput, Unavailable."""
    return await running.parking.list(name, key)


async def retry(running: Running, name: str, key: str | None = None) -> Unparked:
    """Handle the parked events of one key, or of all, once more; see `Parking.retry`.

    The store is checked first, because `App.look` does not: nothing of another App is folded.

    Raises: InvalidInput, ConfigurationError, LogReplaced, Unavailable.
    """
    await check(running)
    return await running.parking.retry(name, key)


async def discard(running: Running, name: str, key: str | None = None) -> Sequence[Parked]:
    """Give up the parked events of one key, or of all; the store is checked first.

    Raises: InvalidInput, ConfigurationError, LogReplaced, Unavailable.
    """
    await check(running)
    return await running.parking.discard(name, key)
