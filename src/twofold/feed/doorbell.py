"""The doorbell: whoever waits for news is woken at once, without polling."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from twofold.feed.checkpoints import FollowerId
from twofold.messages import Position


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


class Reached:
    """How far followers have come in each partition, as far as was heard: nobody waits for what is there already.

    Only a hint. A follower can also be put back: its table is begun again, or the store takes back what a crash took.
    Whoever looks, and sees less than was heard before the look, says so; else those who wait would never wait again.
    """

    def __init__(self) -> None:
        self.places: Mapping[FollowerId, Position] = {}
        """Never changed, only replaced: what it was before a look is compared with what the look saw."""

    def at(self, follower: FollowerId) -> Position:
        """The last that was heard."""
        return self.places.get(follower) or Position(follower.partition, 0)

    def heard(self, follower: FollowerId, position: Position) -> None:
        """It has come so far."""
        if position > self.at(follower):
            self.places = {**self.places, follower: position}

    def looked(self, before: Mapping[FollowerId, Position], follower: FollowerId, seen: Position) -> None:
        """A look saw this, and `before` it `places` was as given."""
        heard = before.get(follower)
        if heard is not None and seen < heard and self.places.get(follower) is heard:
            self.places = {**self.places, follower: seen}

    def forget(self, follower: FollowerId | None = None) -> None:
        """What was heard of this one, in all its partitions, or of everybody, means nothing any more."""
        if follower is None:
            self.places = {}
        else:
            self.places = {one: place for one, place in self.places.items() if one.whole != follower.whole}
