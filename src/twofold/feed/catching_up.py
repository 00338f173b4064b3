"""Following on demand, for a process that works only when it is called, such as a function in a cloud."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing

from twofold.errors import Contended, LeaseLost
from twofold.feed.checkpoints import Checkpoint
from twofold.feed.feed import FeedPage
from twofold.feed.follow import Following, Look
from twofold.feed.partitions import has_passed
from twofold.messages import Position


class _Handled(Exception):
    """Nothing is left to do: the checkpoint has passed the events."""


async def caught_up(following: Following, events: Iterable[Position], wait_s: float) -> AsyncGenerator[FeedPage, None]:
    """Follow until these events are handled, and yield the pages that this call has handled, each once it is committed.

    While another worker holds the checkpoint, wait until that one has handled the events, or its lease has run out.

    Raises: Contended if it holds on and has not handled them within `wait_s` seconds; like `Following.catch_up`.
    """
    last = list({event.partition: event for event in sorted(events)}.values())
    look = _looking(following, last, wait_s)
    while True:
        try:
            async with aclosing(_followed(following, last, look)) as pages:
                async for page in pages:
                    yield page
            return
        except _Handled:
            return
        except LeaseLost:  # another worker goes on
            continue


async def _followed(following: Following, last: Sequence[Position], look: Look) -> AsyncGenerator[FeedPage, None]:
    feed = following.feed
    async with following.held(look) as held:
        while not await has_passed(feed, held.position, last):  # a merged feed gives positions to what is read
            async with aclosing(held.committed(await feed.head())) as pages:
                async for page in pages:
                    yield page


def _looking(following: Following, last: Sequence[Position], wait_s: float) -> Look:
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait_s

    async def look() -> Checkpoint:
        now = await following.checkpoint()
        if await has_passed(following.feed, now.position, last):
            raise _Handled
        if now.owner is not None and clock() >= deadline:
            raise Contended(
                f"{now.follower} is held by worker {now.owner}, which has not come as far in {wait_s:g} s: try again"
            )
        return now

    return look
