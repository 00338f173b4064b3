"""Which version the public name shows. Folding never waits for it and never fails because of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from twofold.errors import ConfigurationError, InvalidToken, NameHeld
from twofold.feed.checkpoints import Checkpoint, FollowerId
from twofold.feed.feed import Feed
from twofold.feed.partitions import covered_by, feed_of, learn
from twofold.read.projection import Table
from twofold.read.store import ReadStore, StoredTable, has_come_as_far

AGAIN_S = 10.0

log = logging.getLogger("twofold.publish")


class Publisher:
    """Publishes a version under the public name as soon as it may: then `done`. `note` says what prevents it."""

    def __init__(self, table: Table, store: ReadStore, log: Feed) -> None:
        self._table, self._store, self._log = table, store, log
        self.done = table.follows.builds is not None
        self.note: str | None = None
        self._not_before = 0.0

    async def publish(self, *, look_for_lost: bool = False) -> None:
        """Try to publish, unless it is done or too early. See `try_publish`."""
        clock = asyncio.get_running_loop().time
        if self.done or clock() < self._not_before:
            return
        try:
            self.done = await try_publish(self._table, self._store, self._log, look_for_lost=look_for_lost)
            self.note = None
        except (NameHeld, ConfigurationError) as error:  # an unavailable store also fails the next page
            if str(error) != self.note:
                log.warning("%s", error)
            self.note, self._not_before = str(error), clock() + AGAIN_S


async def try_publish(table: Table, store: ReadStore, log: Feed, *, look_for_lost: bool = True) -> bool:
    """Like `ReadStore.publish`. A version of several partitions is not shown while a row of any of them is parked.

    `look_for_lost`: also check whether the live version still counts (`lost_live`).
    """
    mine = await store.checkpoints.all_partitions(table.follows)
    if len(mine) > 1 and any([await store.checkpoints.parked(one.follower) for one in mine]):
        return False
    covered = await covered_by(log, [one.position for one in mine])
    if await store.publish(table, covered):
        return True
    lost = await lost_live(table.follows, store, log) if look_for_lost else []
    return bool(lost) and await store.publish(table, covered, lost)


async def lost_live(follows: FollowerId, store: ReadStore, log: Feed) -> Sequence[Checkpoint]:
    """The live version's checkpoints that are of another log or beyond this one's head: they do not count."""
    live = [table for table in await store.tables() if table.live and table.follows.name == follows.name]
    return [one for table in live for one in table.checkpoints if await is_of_another(one, log)]


async def is_of_another(checkpoint: Checkpoint, log: Feed) -> bool:
    """Whether it belongs to no part of this log. The head must be read after it, or it could seem to be beyond."""
    if checkpoint.log_id != log.log_id:
        return True
    await learn(log, [checkpoint.follower.partition])
    try:
        feed = feed_of(log, checkpoint.follower.partition)
    except InvalidToken:
        return True
    return checkpoint.position > await feed.head()


def note_on(table: StoredTable, tables: Sequence[StoredTable]) -> str | None:
    """What an operator should know about a table besides its version, position and owner."""
    if (builds := table.follows.builds) is not None:
        rest = f"by worker {table.owner}" if table.owner else "given up: it can be dropped"
        return f"built again for {builds}, {rest}"
    name = table.follows.name
    live = [other for other in tables if other.live and other.follows.name == name]
    if not live:
        return f"the name {name} shows no version yet"
    covered = [one.position for one in table.checkpoints]
    as_far = has_come_as_far(table.checkpoints, live[0].checkpoints, covered, [])
    if live[0].follows.version < table.follows.version and as_far:
        return f"it has caught up with {live[0].follows}, which the name {name} still shows"
    return None
