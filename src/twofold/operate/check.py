"""Checks that a store belongs to this App, before anything is done to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold.app import Running
from twofold.errors import InvalidInput
from twofold.feed.follow import Following, check_log
from twofold.read.projection import Projection
from twofold.read.rollup import Rollup
from twofold.read.store import check_columns


async def check(running: Running) -> None:
    """Check that `App.open` would accept this store. Nothing is created in it.

    Raises: ConfigurationError, LogReplaced, Unavailable.
    """
    stored = {table.follows: table.fingerprint for table in await running.rows.tables()}
    for projection in running.app.projections:
        if projection.follows in stored:
            check_columns(projection.table, stored[projection.follows])
    await running.belonging.check()
    for following in list(running.followers):
        checkpoint = await following.checkpoints.read(following.follower_id)
        if checkpoint is not None:
            check_log(checkpoint, running.log.log_id, await following.feed.head())


async def prepared(running: Running, projection: Projection[Any]) -> Sequence[Following]:
    """The followers of one projection, one for each partition, ready to catch up outside `Running.work`.

    Creates the projection's table and checkpoints if they are missing, and its rollups, filled. Of a Rollup they are
    those of its source.

    Raises: InvalidInput if the App has no such projection. ConfigurationError, Unavailable.
    """
    check_is_of(running, projection)
    if isinstance(projection, Rollup):
        await running.rows.prepare(projection.table)
        return await prepared(running, projection.of)
    followings = [one for one in running.followers if one.follower_id.whole == projection.follows]
    await running.belonging.check()
    rollups = [one for one in running.app.rollups if one.of is projection]
    for one in (projection, *rollups):
        await running.rows.prepare(one.table)
    for following in followings:
        await running.belonging.register(following)
    await running.fill(rollups)
    return followings


def check_is_of(running: Running, projection: Projection[Any]) -> None:
    """Raises: InvalidInput if the App does not have this projection."""
    if projection not in running.app.projections:
        raise InvalidInput(f"{projection.owner} does not belong to {running.app.name}")
