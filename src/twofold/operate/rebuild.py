"""Builds the table of a projection up to the end of the feed, and publishes it under the projection's name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from twofold.app import Running
from twofold.errors import InvalidInput
from twofold.feed.checkpoints import Checkpoint
from twofold.feed.feed import Feed
from twofold.feed.follow import Following
from twofold.feed.lease import to_the_end
from twofold.feed.partitions import ends, has_passed, partitions_of
from twofold.messages import Position
from twofold.operate.check import check_is_of, prepared
from twofold.read.projection import Projection, Table
from twofold.read.projector import Projector
from twofold.read.publish import is_of_another, try_publish
from twofold.read.query import key_values
from twofold.read.rebuild import Rebuilding
from twofold.read.refold import Refold, Refolded
from twofold.read.rollup import Rollup
from twofold.read.rollups import fill_outdated

LOOK_S = 0.5
PUBLISH_S = 60.0

log = logging.getLogger("twofold.rebuild")

Note = Callable[[str], None]
"""Gets a sentence about what a rebuild is waiting for."""


async def rebuild(
    running: Running, projection: Projection[Any], *, from_scratch: bool = False, note: Note = log.warning
) -> AsyncGenerator[Position, None]:
    """Fold a projection to the end of the feed, until the public name for SQL shows its version.

    Yields the positions that are reached. The fold continues from the checkpoint. With `from_scratch` a new table is
    built beside the current one, which it then replaces. Until then readers see the old rows, workers fold into them,
    and stopping early leaves them as they are. This also replaces a table built from another log (`of_another_log`).

    A Rollup is filled again from its source, at once and where that stands.

    The name does not move if a newer version is live, if rows are parked, or if an open transaction has been reading
    from the old table for a minute.

    Raises: InvalidInput if the App has no such projection, another process is rebuilding it, or a user's database
    object depends on the old table. NameHeld if the table is built, but the name cannot show it. ConfigurationError,
    LogReplaced, Unavailable.
    """
    followings = await prepared(running, projection)
    if isinstance(projection, Rollup):
        yield await _filled(running, projection)
    elif from_scratch:
        async with aclosing(_anew(running, projection)) as positions:
            async for position in positions:
                yield position
    else:
        for following in followings:
            await following.check_log()
    tables = [projection.table, *(one.table for one in running.app.rollups if one.of is projection)]
    async with aclosing(_until_shown(running, followings, tables, from_scratch, note)) as positions:
        async for position in positions:
            yield position
    await running.views.show()


async def of_another_log(running: Running, projection: Projection[Any]) -> bool:
    """Whether the table was built from another log, or beyond the end of this one. Raises: Unavailable."""
    checkpoints = await running.rows.checkpoints.all_partitions(projection.follows)
    return any([await is_of_another(one, running.log) for one in checkpoints])


async def rebuild_row(running: Running, projection: Projection[Any], key: Any) -> Refolded:
    """Fold one row again from its first event up to the checkpoint, while all else continues.

    `key` is as for `Running.get`. A row without events is deleted; a parked row is unparked. If it cannot be folded,
    nothing is changed, and the result says why.

    Raises: InvalidInput, InvalidQuery, LogReplaced, Unavailable.
    """
    check_is_of(running, projection)
    if isinstance(projection, Rollup):
        raise InvalidInput(f"a row of {projection.owner} has no events: rebuild all of it, or a row of its source")
    refold = Refold(running.app.folding(projection), running.rows, running.log, running.app.codec)
    return await refold.run(key_values(projection, key), f"{running.owner} unparking")


async def _filled(running: Running, rollup: Rollup[Any]) -> Position:
    """Fill a rollup, and all others of its source. Returns where they then are."""
    partition = running.log.partition
    await running.belonging.register_rollup(rollup.follows.in_partition(partition), running.log.log_id)
    owner = f"{running.owner} filling"
    await fill_outdated(running.rows, rollup.of.table, partition, owner, anew=True)
    checkpoint = await running.rows.checkpoints.read(rollup.follows.in_partition(partition))
    return Position(partition, 0) if checkpoint is None else checkpoint.position


def _anew(running: Running, projection: Projection[Any]) -> AsyncGenerator[Position, None]:
    beside = running.app.folding(projection).beside(running.ambient.new_id()[:5])
    store, log, codec = running.rows, running.log, running.app.codec
    projectors = [
        Projector(beside, store, log, codec, running.ambient, partition=partition)
        for partition in partitions_of(log, spread=beside.spreads)
    ]
    return Rebuilding(projection.table, projectors, store, log, running.owner).run()


async def _until_shown(
    running: Running, followings: Sequence[Following], tables: Sequence[Table], caught_up: bool, note: Note
) -> AsyncGenerator[Position, None]:
    tries, deadline, table = 0, 0.0, tables[0]
    clock = asyncio.get_running_loop().time
    while True:
        for following in followings if not caught_up else ():
            async with aclosing(_caught_up(following, running.log, note)) as positions:
                async for position in positions:
                    yield position
        caught_up = False
        parked = any([await one.checkpoints.parked(one.follower_id) for one in followings])
        if parked or all([await try_publish(one, running.rows, running.log) for one in tables]):
            return
        tries, deadline = tries + 1, deadline or clock() + PUBLISH_S
        if clock() > deadline:
            return
        if tries == 2:  # on the first try the old table may just have been a little ahead
            note(f"{table.follows} is built; an open transaction is still reading from {table.name}: waiting for it")
        await asyncio.sleep(LOOK_S)


async def _caught_up(following: Following, log_feed: Feed, note: Note) -> AsyncGenerator[Position, None]:
    """Catch up, and yield the positions. While a worker holds the checkpoint, these are the ones it reaches,
    until it is at the end of the feed, or its lease has run out and this process takes over."""
    pages = following.catch_up()
    page = asyncio.ensure_future(anext(pages, None))
    try:
        if not await _done(page):
            newest = await ends(log_feed, following.feed)
            checkpoint = await _checkpoint(following)
            if checkpoint is not None and checkpoint.owner not in (None, following.owner):
                note(f"{following.follower_id} is held by worker {checkpoint.owner}: waiting for it")
            while not await _done(page):
                checkpoint = await _checkpoint(following)
                if checkpoint is not None:
                    yield checkpoint.position
                    held = checkpoint.owner is not None  # also by this process's own worker, which does not let go
                    if held and await has_passed(following.feed, checkpoint.position, newest):
                        return
        while (position := await page) is not None:
            yield position
            page = asyncio.ensure_future(anext(pages, None))
    finally:
        page.cancel()
        try:
            await to_the_end(page)
        finally:
            await to_the_end(pages.aclose())  # which releases the checkpoint


async def _done(page: asyncio.Future[Position | None]) -> bool:
    done, _ = await asyncio.wait([page], timeout=LOOK_S)
    return bool(done)


async def _checkpoint(following: Following) -> Checkpoint | None:
    return await following.checkpoints.read(following.follower_id)
