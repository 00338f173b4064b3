"""How many keys a follower may park: too many within a minute stop it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from twofold.errors import ConfigurationError
from twofold.feed.checkpoints import FollowerId, Parked

MOST_PARKED = 100
WITHIN_S = 60.0


class ParkingLimit:
    """More than 100 keys parked within a minute are a bad deployment, not bad events: the follower stops."""

    def __init__(self) -> None:
        self._when: deque[float] = deque()

    def first_too_many(self, parked: Sequence[Parked]) -> Parked | None:
        """The first one, by position, that exceeds the limit; None if all of them may be parked."""
        now = asyncio.get_running_loop().time()
        while self._when and self._when[0] <= now - WITHIN_S:
            self._when.popleft()
        room = MOST_PARKED - len(self._when)
        in_order = sorted(parked, key=lambda entry: (entry.position, entry.kind, entry.key))
        return in_order[room] if len(in_order) > room else None

    def count(self, parked: Sequence[Parked]) -> None:
        """Count entries that were parked now."""
        self._when.extend([asyncio.get_running_loop().time()] * len(parked))


def too_many(follows: FollowerId, next_one: Parked) -> ConfigurationError:
    """The error that stops the follower, and what to do."""
    return ConfigurationError(
        f"{follows}: {MOST_PARKED} keys were parked within a minute, and the next would be a {next_one.kind} at "
        f"{next_one.position}: {next_one.error_type}. This looks like a bad deployment, so the follower stops before "
        f"that event; nothing is lost. Deploy code that can handle the events, then run `twofold parked "
        f"APP retry {follows.name} --all`"
    )
