"""What `rebuild` does: fold to the end of the feed, and let the new table be seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from twofold.app import Running
from twofold.cli.output import err
from twofold.feed.checkpoints import Checkpoint
from twofold.feed.follow import Following
from twofold.messages import Position
from twofold.read.projection import Table

LOOK_S = 0.5
PUBLISH_S = 60.0


class Pace:
    """How far a rebuild has come, and how fast: positions of the feed, wanted or not."""

    def __init__(self, start: Position) -> None:
        self._began, self._start, self.position = time.monotonic(), start, start

    def reached(self, position: Position) -> None:
        """One more page is folded."""
        self.position = position

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    @property
    def shown(self) -> str:
        """For people."""
        events = self.position.offset - self._start.offset
        return f"{events / max(self.seconds, 1e-3):,.0f} events/s"


async def built(running: Running, following: Following, table: Table) -> AsyncGenerator[Position, None]:
    """The positions that are reached on the way to the end of the feed, until the public name shows the table.

    Also ends when it cannot: a newer version is shown, rows are parked, or somebody who reads from the old table holds
    it in an open transaction for longer than `PUBLISH_S`.
    """
    tries, deadline = 0, 0.0
    while True:
        async with aclosing(_caught_up(running, following)) as positions:
            async for position in positions:
                yield position
        if await running.rows.checkpoints.parked(table.follows) or await running.rows.publish(table):
            return
        tries, deadline = tries + 1, deadline or time.monotonic() + PUBLISH_S
        if time.monotonic() > deadline:
            return
        if tries == 2:  # once, the old table may just have been a little ahead
            err.print(f"{table.follows} is built; an open transaction still reads from {table.name}: waiting for it")
        await asyncio.sleep(LOOK_S)


async def _caught_up(running: Running, following: Following) -> AsyncGenerator[Position, None]:
    """Where another worker holds the checkpoint, the positions that it reaches, until it has come to the end of the
    feed, or gives no more sign of life and this process goes on."""
    pages = following.catch_up()
    page = asyncio.ensure_future(anext(pages, None))
    try:
        if not await _done(page):
            head = await running.log.head()
            checkpoint = await _checkpoint(following)
            if checkpoint is not None and checkpoint.owner not in (None, following.owner):
                err.print(f"{following.follower.follows} is held by worker {checkpoint.owner}: waiting for it")
            while not await _done(page):
                checkpoint = await _checkpoint(following)
                if checkpoint is not None:
                    yield checkpoint.position
                    if checkpoint.position >= head and checkpoint.owner not in (None, following.owner):
                        return
        while (position := await page) is not None:
            yield position
            page = asyncio.ensure_future(anext(pages, None))
    finally:
        page.cancel()
        await asyncio.gather(page, return_exceptions=True)
        await pages.aclose()


async def _done(page: asyncio.Future[Position | None]) -> bool:
    done, _ = await asyncio.wait([page], timeout=LOOK_S)
    return bool(done)


async def _checkpoint(following: Following) -> Checkpoint | None:
    return await following.checkpoints.read(following.follower.follows)
