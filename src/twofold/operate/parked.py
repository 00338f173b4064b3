"""List, retry and discard what is parked."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.app import Running
from twofold.feed.checkpoints import Parked
from twofold.feed.unparking import ParkedEvent, Unparked
from twofold.operate.check import check


async def parked(running: Running, name: str | None = None, key: str | None = None) -> Sequence[ParkedEvent]:
    """What is parked, of all followers or of one, by position, with tracebacks. Raises: InvalidInput, Unavailable."""
    return await running.parking.list(name, key)


async def retry(running: Running, name: str, key: str | None = None) -> Unparked:
    """Handle the parked events of one key, or of all, again; see `Parking.retry`.

    The store is checked first, because `App.look` does not: an App must not fold for another one.

    Raises: InvalidInput, ConfigurationError, LogReplaced, Unavailable.
    """
    await check(running)
    return await running.parking.retry(name, key)


async def discard(running: Running, name: str, key: str | None = None) -> Sequence[Parked]:
    """Discard the parked events of one key, or of all; the store is checked first.

    Raises: InvalidInput, ConfigurationError, LogReplaced, Unavailable.
    """
    await check(running)
    return await running.parking.discard(name, key)
