"""Following on demand, for a process that works only when it is called, such as a function in a cloud."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from twofold.errors import Contended, LeaseLost
from twofold.feed.checkpoints import Checkpoint, FollowerId
from twofold.feed.feed import Feed, FeedPage, PartitionSplit
from twofold.feed.follow import Following, Look
from twofold.feed.partitions import has_passed, heads, parts_of, related
from twofold.messages import Position


class _Handled(Exception):
    """Nothing is left to do: the checkpoint has passed the events."""


async def caught_up(
    followers: Sequence[Following], name: str, log: Feed, events: Sequence[Position], wait_s: float
) -> AsyncGenerator[tuple[Following, FeedPage], None]:
    """Follow with all followers of this name, one after another, until these events are handled.

    Yields the pages that this call has handled, each once it is committed. While another worker holds a checkpoint, it
    waits until that one has handled the events, or its lease has run out. `followers` changes when a partition splits.

    Raises: Contended if that worker has not handled them within `wait_s` seconds; like `Following.catch_up`.
    """
    places, done = await located(log, events), set[FollowerId]()
    while left := [one for one in followers if one.follower_id.name == name and one.follower_id not in done]:
        mine = related(log, left[0].feed.partition, places)
        try:
            async with aclosing(_caught_up(left[0], mine, wait_s)) as pages:
                async for page in pages:
                    yield left[0], page
        except PartitionSplit:  # it is no longer listed, but its parts are
            continue
        done.add(left[0].follower_id)


async def located(log: Feed, events: Sequence[Position]) -> Sequence[Position]:
    """The newest event of each partition, where it is now.

    A process that did not know of a split names an event of a part by the former partition. Which part it is in cannot
    be seen, but that part has got that far: so the event is handled once each part is, up to there or its end. Waiting
    for all of them to get that far would be waiting for events of other streams. Raises: Unavailable.
    """
    found: list[Position] = []
    for event in {event.partition: event for event in sorted(events)}.values():
        if not parts_of(log, event.partition):
            found.append(event)
        else:
            ends = await heads(log, event.partition)
            found += [min(end, Position(end.partition, event.offset)) for end in ends]
    return found


async def _caught_up(following: Following, events: Sequence[Position], wait_s: float) -> AsyncGenerator[FeedPage, None]:
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
    async with following.held(look, calling=True) as held:
        while not await has_passed(feed, held.position, last):  # reading a merged feed gives it positions
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
                f"{now.follower} is held by worker {now.owner}, which has not come so far within {wait_s:g} s: "
                f"try again"
            )
        return now

    return look
