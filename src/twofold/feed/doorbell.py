"""The doorbell: wakes waiting tasks at once when there is news, without polling."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from twofold.feed.checkpoints import FollowerId
from twofold.messages import Position


class Doorbell:
    """Wakes all tasks that wait at that moment, in one event loop."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    @property
    def awaited(self) -> bool:
        """Whether a task has waited since the last ring."""
        return self._next is not None

    def ring(self) -> None:
        """Wake all waiting tasks."""
        if self._next is not None:
            if not self._next.done():
                self._next.set_result(None)
            self._next = None

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the next ring. Returns whether it rang before the time was up."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait((self._next,), timeout=timeout_s)
        return bool(done)


class Reached:
    """The last known position of each follower in each partition, so that no read waits for one already reached.

    Only a hint, since a follower can be set back: its table is built again, or a crash loses unsynced writes. A reader
    that sees an older position than was known before its read reports it; otherwise later reads would no longer wait.
    """

    def __init__(self) -> None:
        self.places: Mapping[FollowerId, Position] = {}
        """Replaced, never modified: its value before a read is compared with what the read saw."""

    def at(self, follower: FollowerId) -> Position:
        """The last known position."""
        return self.places.get(follower) or Position(follower.partition, 0)

    def heard(self, follower: FollowerId, position: Position) -> None:
        """Record that a follower has reached a position."""
        if position > self.at(follower):
            self.places = {**self.places, follower: position}

    def looked(self, before: Mapping[FollowerId, Position], follower: FollowerId, seen: Position) -> None:
        """Correct the known position by what a read has seen. `before` is `places` as it was before that read."""
        heard = before.get(follower)
        if heard is not None and seen < heard and self.places.get(follower) is heard:
            self.places = {**self.places, follower: seen}

    def forget(self, follower: FollowerId | None = None) -> None:
        """Forget a follower in all its partitions, or all followers."""
        if follower is None:
            self.places = {}
        else:
            self.places = {one: place for one, place in self.places.items() if one.whole != follower.whole}
