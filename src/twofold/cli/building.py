"""What `rebuild` does with one projection: fold to the end of the feed, and let its table be read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from twofold.app import Running
from twofold.cli.output import err, progress
from twofold.errors import NameHeld
from twofold.feed.checkpoints import Checkpoint, Parked
from twofold.feed.follow import Following
from twofold.messages import BEGINNING, Position
from twofold.read.projection import Table
from twofold.read.publish import is_of_another, published
from twofold.read.store import StoredTable

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


@dataclass
class Build:
    """One projection's table, and how it went. `held`: why the public name cannot show it."""

    running: Running
    table: Table
    held: str | None = None
    parked: list[Parked] = field(default_factory=list)
    versions: list[StoredTable] = field(default_factory=list)

    async def run(self, *, from_scratch: bool, anew: bool, quiet: bool) -> Pace:
        """Go as far as the end of the feed; `anew`: from scratch also where the table is of another log."""
        running, follows = self.running, self.table.follows
        following = await running.prepared(follows.name)
        begun, head = await running.rows.checkpoints.read(follows), await running.log.head()
        scratch = from_scratch or (anew and begun is not None and await is_of_another(begun, running.log))
        if not scratch:
            await following.check_log()
        pace = Pace(BEGINNING if scratch or begun is None else begun.position)
        with progress(quiet) as bar:
            task = bar.add_task(str(follows), total=head.offset, completed=pace.position.offset, pace="")
            async with aclosing(self._positions(following, scratch)) as positions:
                async for position in positions:
                    pace.reached(position)
                    total = max(head, position).offset
                    bar.update(task, completed=position.offset, total=total, pace=pace.shown)
            bar.update(task, completed=1, total=1, pace=pace.shown)
        self.parked = list(await running.rows.checkpoints.parked(follows))
        self.versions = [one for one in await running.rows.tables() if one.follows.name == follows.name]
        return pace

    @property
    def is_shown(self) -> bool:
        """Whether the public name shows this version, or a newer one, and nothing waits."""
        version = self.table.follows.version
        return not self.parked and any(one.live and one.follows.version >= version for one in self.versions)

    async def _positions(self, following: Following, scratch: bool) -> AsyncGenerator[Position, None]:
        if scratch:
            async with aclosing(self.running.rebuild(self.table.name)) as positions:
                async for position in positions:
                    yield position
        try:
            async with aclosing(built(self.running, following, self.table)) as positions:
                async for position in positions:
                    yield position
        except NameHeld as error:
            self.held = str(error)


async def built(running: Running, following: Following, table: Table) -> AsyncGenerator[Position, None]:
    """The positions that are reached on the way to the end of the feed, until the public name shows the table.

    Also ends when it cannot: a newer version is shown, rows are parked, or somebody who reads from the old table holds
    it in an open transaction for longer than `PUBLISH_S`. Raises: NameHeld.
    """
    tries, deadline = 0, 0.0
    while True:
        async with aclosing(_caught_up(running, following)) as positions:
            async for position in positions:
                yield position
        parked = await running.rows.checkpoints.parked(table.follows)
        if parked or await published(table, running.rows, running.log):
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
