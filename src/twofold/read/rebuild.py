"""A read model rebuilt from the beginning in a new table, which replaces the current one when it has caught up.

Until then readers see the old rows, and followers fold into them. If it is killed, either table is complete. An
unfinished table is dropped by the next rebuild, or by `twofold tables APP --drop`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing

from twofold.errors import Contended, InvalidInput, TwofoldError
from twofold.feed.checkpoints import FollowerId
from twofold.feed.feed import Feed, PartitionSplit
from twofold.feed.follow import Following, Held
from twofold.feed.lease import taken_over, taken_over_if_silent
from twofold.feed.partitions import ancestors, ends, has_passed
from twofold.messages import Position
from twofold.read.projection import Table
from twofold.read.projector import Projector
from twofold.read.publish import is_of_another
from twofold.read.rollups import rollups_of
from twofold.read.store import ReadStore

PATIENCE_S = 60.0
LOOK_S = 0.5

log = logging.getLogger("twofold.rebuild")


class Rebuilding:
    """Folds with `projectors`, one for each partition, into a new table that then replaces `table`."""

    def __init__(self, table: Table, projectors: Sequence[Projector], store: ReadStore, log: Feed, owner: str) -> None:
        self._table, self._built = table, projectors[0].projection.table
        self._rollups: Sequence[Table] = ()
        self._store, self._log, self._owner = store, log, f"{owner} rebuilding"
        self._followings = [Following(one, one.feed, store.checkpoints, self._owner) for one in projectors]

    async def run(self) -> AsyncGenerator[Position, None]:
        """Rebuild, and yield the positions that are reached until the new table has replaced the old one.

        Raises: InvalidInput if another process is rebuilding it, or a user's database object depends on the old table.
        Contended if an open transaction reads from the old table for a minute. Unavailable. The old table stays then.
        """
        rollups = await rollups_of(self._store, self._table.follows)
        for table in (self._table, *rollups):
            await drop_given_up(table, self._store, self._owner)
        await self._store.prepare(self._built)
        self._rollups = [one.beside(self._built.follows.generation) for one in rollups]
        try:
            async with AsyncExitStack() as stack:
                for rollup in self._rollups:
                    await self._store.prepare(rollup)
                    await self._register(rollup)
                for following in self._followings:
                    await following.register()
                all_held = [await stack.enter_async_context(following.held()) for following in self._followings]
                async with aclosing(self._until_it_replaces(all_held)) as positions:
                    async for position in positions:
                        yield position
        finally:
            await self._tidy()

    async def _until_it_replaces(self, all_held: Sequence[Held]) -> AsyncGenerator[Position, None]:
        indexed, deadline = False, math.inf
        while True:
            for held in all_held:
                async with aclosing(self._to_the_end(held)) as positions:
                    async for position in positions:
                        yield position
            if not indexed:
                for table in (self._built, *self._rollups):
                    await self._store.index(table)  # late, because a table without indexes fills faster
                indexed = True
                continue
            if now() > deadline:
                raise Contended(
                    f"{self._table.follows} was built again, but an open transaction reads from the old table: "
                    f"end it, and run the rebuild again"
                )
            if await self._takes_its_place(all_held):
                return
            if deadline == math.inf:
                deadline = now() + PATIENCE_S
                log.warning("%s: an open transaction reads from the old table, waiting for it", self._table.follows)
            await asyncio.sleep(LOOK_S)

    async def _to_the_end(self, held: Held) -> AsyncGenerator[Position, None]:
        """Fold up to the newest events at the start. A merged feed gives them positions only once it is read."""
        newest = await ends(self._log, held.feed)
        while not await has_passed(held.feed, held.position, newest):
            async with aclosing(held.catch_up(await held.feed.head())) as positions:
                async for position in positions:
                    yield position

    async def _takes_its_place(self, all_held: Sequence[Held]) -> bool:
        """Catch up and replace the old table while its checkpoints cannot move."""
        checkpoints, claims = self._store.checkpoints, []
        async with AsyncExitStack() as stack:
            for one in await checkpoints.all_partitions(self._table.follows):
                claim, old = await stack.enter_async_context(taken_over(checkpoints, one.follower, self._owner))
                claims.append(claim)
                if not await is_of_another(old, self._log):
                    await self._come_as_far(all_held, old.position)
            at = [held.position for held in all_held]
            return await self._store.replace(self._table, claims, self._built.follows, at)

    async def _come_as_far(self, all_held: Sequence[Held], old: Position) -> None:
        """Catch up with a checkpoint of the old table. Raises: PartitionSplit if it is in a part of what is held."""
        number = old.partition
        those = [
            held for held in all_held if number in (held.feed.partition, *ancestors(self._log, held.feed.partition))
        ]
        if not those:
            raise PartitionSplit(max({held.feed.partition for held in all_held} & {*ancestors(self._log, number)}))
        for held in those:
            if old.offset > held.position.offset:
                async with aclosing(held.catch_up(Position(held.feed.partition, old.offset))) as positions:
                    async for _ in positions:
                        pass

    async def _register(self, rollup: Table) -> None:
        """Create its checkpoint, which moves with that of its source."""
        follower = rollup.follows.in_partition(self._log.partition)
        await self._store.checkpoints.register(follower, self._log.log_id, Position(follower.partition, 0))

    async def _tidy(self) -> None:
        """Drop the new tables if they did not replace the old ones, for whatever reason."""
        for follows in [table.follows for table in (self._built, *self._rollups)]:
            try:
                if any(table.follows == follows for table in await self._store.tables()):
                    await self._store.drop(follows)
            except TwofoldError as error:
                log.warning("%s was not dropped, the next rebuild will drop it: %s", follows, error)


def now() -> float:
    """The event loop's time."""
    return asyncio.get_running_loop().time()


async def drop_given_up(table: Table, store: ReadStore, owner: str) -> None:
    """Drop the unfinished table of a rebuild that was killed. It may have been built by other code.

    Raises: InvalidInput if another process is still building it.
    """
    for stored in await store.tables():
        if stored.follows.builds == table.follows:
            await drop_unheld(stored.follows, store, owner)


async def _is_free(store: ReadStore, follower: FollowerId, owner: str) -> bool:
    """Whether no worker holds the checkpoint in this partition."""
    async with taken_over_if_silent(store.checkpoints, follower, owner) as free:
        pass  # release it again, or it would look held by us
    return free


async def drop_unheld(follows: FollowerId, store: ReadStore, owner: str) -> None:
    """Drop a version, or an unfinished rebuild of one, unless a holder sends heartbeats.

    Raises: InvalidInput if it does not exist, is live, or is held.
    """
    rolled = [one.declared.of for one in await store.rollups() if one.follows == follows and one.declared is not None]
    if rolled and follows.builds is None:
        await _drop_rollup(follows, rolled[0], store, owner)
        return
    followers = [one.follower for one in await store.checkpoints.all_partitions(follows)] or [follows]
    free = await asyncio.gather(*(_is_free(store, follower, owner) for follower in followers))
    if not all(free) and follows.builds is not None:
        raise InvalidInput(f"{follows.builds} is being built again by another process: wait until it has ended")
    await store.drop(follows)


async def _drop_rollup(follows: FollowerId, source: FollowerId, store: ReadStore, owner: str) -> None:
    """Drop a rollup while no worker writes it. The next holder of its source no longer knows it."""
    async with AsyncExitStack() as stack:
        for one in await store.checkpoints.all_partitions(source):
            await stack.enter_async_context(taken_over(store.checkpoints, one.follower, owner))
        await store.drop(follows)
