"""Making cuts. It is safe to stop at any point: a cut that was not appended does not exist."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from twofold.backends.partitioned.cuts import Cut, Cuts
from twofold.backends.partitioned.order import MOST_IN_CUT, Vector, in_order, next_cut
from twofold.backends.partitioned.runs import Run, Runs
from twofold.backends.partitioned.waiting import all_of
from twofold.errors import Closed, LogReplaced, Unavailable
from twofold.feed.feed import Feed, FeedPage, PartitionSplit
from twofold.messages import Position

PAUSE_S = 0.025  # between learning of a cut and proposing the next one
LOOK_PATIENCE_S = 0.25  # for a part that does not respond, when it is only checked
PATIENCE_S = 1.0  # for a part that does not respond, when readers of other parts must not wait for it

P = ParamSpec("P")
T = TypeVar("T")
PageOf = Callable[[Feed, Position], Coroutine[Any, Any, FeedPage]]


async def of_part(number: int, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work`; its errors name the partition."""
    try:
        return await work(*args, **kwargs)
    except PartitionSplit:
        raise
    except (Unavailable, Closed) as error:
        raise Unavailable(f"partition {number}: {error}") from error
    except LogReplaced as error:
        raise LogReplaced(f"partition {number}: {error}") from error


def shorter(number: int, offset: int, end: Position) -> LogReplaced:
    """The error for a part that ends before a cut's position in it (G11)."""
    return LogReplaced(
        f"partition {number}: the merged feed is at {Position(number, offset)}, but the partition ends at {end}: an "
        f"older copy replaced it. Put the newer one back; if it is gone, run `twofold log new-id APP`, then "
        f"`twofold rebuild APP --all`"
    )


def _check_reach(heads: Iterable[Position], vector: Vector) -> None:
    for head in heads:
        offset = vector[head.partition - 1]
        if head.offset < offset:
            raise shorter(head.partition, offset, head)


class Proposer:
    """Proposes cuts for this process, one at a time, at least `pause_s` after it learned of the last one.

    `feeds` are those of the partitions that have not split, by number; events of its cuts go to `runs`.
    """

    def __init__(self, feeds: Mapping[int, Feed], cuts: Cuts, runs: Runs, pause_s: float) -> None:
        self._feeds, self._cuts, self._runs, self._pause_s = feeds, cuts, runs, pause_s
        self._turn, self._turn_of_reactors = asyncio.Lock(), asyncio.Lock()
        self._not_all = 0

    async def propose(self, last: Cut) -> Cut:
        """The newest cut. If that is `last` and a part has news, the next one is proposed first, over all parts.

        Raises: Unavailable, LogReplaced.
        """
        async with self._turn:
            if self._cuts.newest.number > last.number or not await self.has_news(last):
                return self._cuts.newest
            return await self._propose(last, _page)

    async def propose_for_reactor(self, last: Cut) -> Cut:
        """The newest cut. If that is `last`, the next one is proposed first, over the parts that respond.

        An unreachable part holds up the merged feed, but no reactor on another partition: until it is back, cuts
        contain none of its events.
        """
        async with self._turn_of_reactors:
            if self._cuts.newest.number > last.number:
                return self._cuts.newest
            return await self._propose(last, _page_in_time)

    async def has_news(self, last: Cut) -> bool:
        """Whether a part has events beyond a cut. Raises: Unavailable, LogReplaced."""
        heads = await all_of(of_part(number, feed.head) for number, feed in self._feeds.items())
        vector = self._cuts.whole(last.vector)
        _check_reach(heads, vector)
        return any(head.offset > vector[head.partition - 1] for head in heads)

    async def check_complete(self, last: Cut) -> None:
        """Raises: LogReplaced when a part that responds in time ends before the cut."""
        vector = self._cuts.whole(last.vector)
        heads = await all_of(_head_in_time(feed, vector[number - 1]) for number, feed in self._feeds.items())
        _check_reach(heads, vector)

    def left_something(self, number: int) -> bool:
        """Whether this process made this cut, and saw more events than the cut contains."""
        return number == self._not_all

    async def _propose(self, last: Cut, page: PageOf) -> Cut:
        pause_s = self._cuts.learned_at + self._pause_s - asyncio.get_running_loop().time()
        if pause_s > 0:
            await asyncio.sleep(pause_s)
            await self._cuts.learn()
        if self._cuts.newest.number > last.number:
            return self._cuts.newest
        after = self._cuts.whole(last.vector)
        pages = await all_of(
            page(self._feeds[number], Position(number, at)) if number in self._feeds else _nothing(number, at)
            for number, at in enumerate(after, 1)
        )
        vector = next_cut(after, pages)
        cut = await self._cuts.add(last, vector) if vector != after else None
        if cut is not None:
            self._made(cut, after, pages)
        return self._cuts.newest

    def _made(self, cut: Cut, after: Vector, pages: Sequence[FeedPage]) -> None:
        entries = in_order(cut.number, [after, cut.vector], [page.entries for page in pages])
        self._runs.keep(Run.of(cut.number, cut.number, entries))
        if any(page.more or page.upto.offset > at for page, at in zip(pages, cut.vector, strict=True)):
            self._not_all = cut.number


async def _head_in_time(feed: Feed, at: int) -> Position:
    """Its head; a given offset if it does not respond in time. Raises: LogReplaced."""
    try:
        async with asyncio.timeout(LOOK_PATIENCE_S):
            return await of_part(feed.partition, feed.head)
    except (Unavailable, TimeoutError):
        return Position(feed.partition, at)


async def _page(feed: Feed, after: Position) -> FeedPage:
    try:
        return await of_part(feed.partition, feed.read, after, MOST_IN_CUT)
    except PartitionSplit:  # its events go on in its parts, from the next cut on
        return FeedPage((), after)


async def _page_in_time(feed: Feed, after: Position) -> FeedPage:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await _page(feed, after)
    except (Unavailable, TimeoutError):
        return FeedPage((), after)


async def _nothing(number: int, at: int) -> FeedPage:
    return FeedPage((), Position(number, at))
