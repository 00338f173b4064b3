"""A read model built again from nothing, beside the one that is read, which it replaces when it has come as far.

Until then the old rows are read, and followers fold into them. Killed anywhere, the old table or the new one is whole.
A table that was being built then is dropped by the next rebuild, or by `twofold tables APP --drop`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

from twofold.errors import InvalidInput, TwofoldError, Unavailable
from twofold.feed.checkpoints import FollowerId
from twofold.feed.feed import Feed
from twofold.feed.follow import Following, Held, taken_over, taken_over_if_silent
from twofold.messages import Position
from twofold.read.projection import Table
from twofold.read.projector import Projector
from twofold.read.publish import is_of_another
from twofold.read.store import ReadStore

PATIENCE_S = 60.0
LOOK_S = 0.5

log = logging.getLogger("twofold.rebuild")


class Rebuilding:
    """Folds with `projector`, whose table lies beside that of `table`, and lets it take its place."""

    def __init__(self, table: Table, projector: Projector, store: ReadStore, feed: Feed, owner: str) -> None:
        self._table, self._built = table, projector.projection.table
        self._store, self._feed, self._owner = store, feed, f"{owner} rebuilding"
        self._following = Following(projector, feed, store.checkpoints, self._owner)

    async def run(self) -> AsyncGenerator[Position, None]:
        """The positions that are reached, until the new table has taken the old one's place.

        Raises: InvalidInput when somebody else is rebuilding it, or something of the user's depends on the old table;
        Unavailable, also when an open transaction reads from the old table for a minute. The old one stays then.
        """
        await drop_given_up(self._table, self._store, self._owner)
        await self._store.prepare(self._built)
        try:
            await self._following.register()
            async with self._following.held() as held, aclosing(self._until_it_replaces(held)) as positions:
                async for position in positions:
                    yield position
        finally:
            await self._tidy()

    async def _until_it_replaces(self, held: Held) -> AsyncGenerator[Position, None]:
        indexed, deadline = False, math.inf
        while True:
            async with aclosing(held.catch_up(await self._feed.head())) as positions:
                async for position in positions:
                    yield position
            if not indexed:
                await self._store.index(self._built)  # late, because a table without fills faster
                indexed = True
                continue
            if now() > deadline:
                raise Unavailable(
                    f"{self._table.follows} was built again, but an open transaction reads from the old table: "
                    f"end it, and run the rebuild again"
                )
            if await self._takes_its_place(held):
                return
            if deadline == math.inf:
                deadline = now() + PATIENCE_S
                log.warning("%s: an open transaction reads from the old table, waiting for it", self._table.follows)
            await asyncio.sleep(LOOK_S)

    async def _takes_its_place(self, held: Held) -> bool:
        """While the old table's checkpoint stands still, so that there is nothing more to catch up with."""
        async with taken_over(self._store.checkpoints, self._table.follows, self._owner) as (claim, old):
            if old.position > held.position and not await is_of_another(old, self._feed):
                async with aclosing(held.catch_up(old.position)) as positions:
                    async for _ in positions:
                        pass
            return await self._store.replace(self._table, [claim], self._built.follows, [held.position])

    async def _tidy(self) -> None:
        """Whatever has ended it: what did not take the old table's place is dropped."""
        follows = self._built.follows
        try:
            if any(table.follows == follows for table in await self._store.tables()):
                await self._store.drop(follows)
        except TwofoldError as error:
            log.warning("%s was not dropped, the next rebuild does: %s", follows, error)


def now() -> float:
    """The event loop's time."""
    return asyncio.get_running_loop().time()


async def drop_given_up(table: Table, store: ReadStore, owner: str) -> None:
    """Drop what was built beside a table by somebody who was killed.

    From scratch means with this code, so it does not go on with it. Raises: InvalidInput when somebody is at it.
    """
    for found in await store.tables():
        if found.follows.builds == table.follows:
            await drop_unheld(found.follows, store, owner)


async def drop_unheld(follows: FollowerId, store: ReadStore, owner: str) -> None:
    """Drop a version, or what is built beside one. A holder that gives no sign of life for a lease is none.

    Raises: InvalidInput when it is not there, is live, or is held.
    """
    async with taken_over_if_silent(store.checkpoints, follows, owner) as free:
        pass  # let go again, or it would seem to be held by us
    if not free and follows.builds is not None:
        raise InvalidInput(f"{follows.builds} is being built again by another process: wait until it has ended")
    await store.drop(follows)
