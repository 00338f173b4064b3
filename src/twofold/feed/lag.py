"""How long the next event of a follower has waited, in seconds, where clocks can be wrong."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime

from twofold.feed.feed import Feed
from twofold.messages import BEGINNING, Position

PAGE = 500
MARK_EVERY_S = 0.25
MOST_MARKS = 256


class Lag:
    """Measures lag from two sources and takes the larger; neither exceeds the truth if the clocks are right.

    First, the recorded time of the first unhandled event, or, if that is in the future because a clock was wrong, of
    the first later event that is not. Second, what this process has seen on its own monotonic clock: since when the log
    has been ahead of the follower.
    """

    def __init__(self, feed: Feed, now: Callable[[], datetime]) -> None:
        self._feed, self._now = feed, now
        self._heads: list[Position] = []
        self._seen_at: list[float] = []

    def mark(self, head: Position) -> None:
        """Record that the log has reached a position now."""
        heads, seen_at = self._heads, self._seen_at
        if heads and head <= heads[-1]:
            return
        now = asyncio.get_running_loop().time()
        if len(heads) > 1 and now - seen_at[-2] < MARK_EVERY_S:  # replace the last mark
            heads.pop()
            seen_at.pop()
        heads.append(head)
        seen_at.append(now)
        if len(self._heads) > MOST_MARKS:  # keep the oldest, and every other one of the rest
            del self._heads[1::2], self._seen_at[1::2]

    def forget(self, upto: Position) -> None:
        """Forget positions that every follower has reached."""
        done = bisect_right(self._heads, upto)
        del self._heads[:done], self._seen_at[:done]

    async def seconds(self, position: Position | None) -> float:
        """The lag of a follower at this position, which is not at the head. Raises: Unavailable, LogReplaced."""
        after = position or BEGINNING
        return max(await self._by_time(after), self._by_marks(after))

    def _by_marks(self, after: Position) -> float:
        place = bisect_right(self._heads, after)
        return asyncio.get_running_loop().time() - self._seen_at[place] if place < len(self._heads) else 0.0

    async def _by_time(self, after: Position) -> float:
        until = self._heads[-1] if self._heads else None  # without it, a partition that splits cannot be read
        for limit in (1, PAGE):
            entries = (await self._feed.read(after, limit, None, until)).entries
            now = self._now()
            for entry in entries:
                if entry.recorded_at <= now:
                    return (now - entry.recorded_at).total_seconds()
            if not entries:
                break
        return 0.0
