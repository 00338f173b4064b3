"""The doorbell: whoever waits for news is woken at once, without polling."""

from __future__ import annotations

import asyncio

from twofold.feed.checkpoints import FollowerId
from twofold.messages import BEGINNING, Position


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
    """How far followers have come, as far as was heard: so that nobody waits for what is there already.

    Only a hint. A follower can also be put back: its table is begun again, or the store takes back what a crash took.
    Whoever looks, and sees less than was heard before the look, says so; else those who wait would never wait again.
    """

    def __init__(self) -> None:
        self._places: dict[FollowerId, Position] = {}

    def at(self, follows: FollowerId) -> Position:
        """The last that was heard."""
        return self._places.get(follows, BEGINNING)

    def heard(self, follows: FollowerId, position: Position) -> None:
        """It has come so far."""
        if position > self.at(follows):
            self._places[follows] = position

    def looked(self, follows: FollowerId, heard: Position, seen: Position) -> None:
        """A look saw this, where that much was `heard` before."""
        if seen < heard and self._places.get(follows) is heard:
            self._places[follows] = seen

    def forget(self, follows: FollowerId | None = None) -> None:
        """What was heard of this one, or of all, means nothing any more."""
        if follows is None:
            self._places.clear()
        else:
            self._places.pop(follows, None)
