"""How the followers of an App are doing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from twofold.app import Running
from twofold.errors import LogReplaced
from twofold.feed.checkpoints import Checkpoint, FollowerId
from twofold.feed.follow import Following, State, check_log
from twofold.messages import Position
from twofold.read.projector import Projector
from twofold.read.publish import note_on
from twofold.read.rollup import Rollup


@dataclass(frozen=True, slots=True)
class FollowerStatus:
    """How one projection or reactor is doing in one partition. `lag_events` counts all events, wanted or not.

    Partition 0 is the only one of an ordinary log, and the merged feed of a partitioned log.

    `state` is that of this process's worker (see `Following`), or "elsewhere" if this process does no work. `owner`
    is the worker that holds the checkpoint. `note` says what needs attention without stopping anything: the name for
    SQL cannot show this version yet.
    """

    name: str
    version: int
    partition: int
    kind: Literal["projection", "reactor"]
    position: Position | None
    head: Position
    lag_events: int
    lag_s: float
    owner: str | None
    state: State | Literal["elsewhere"]
    error: str | None
    parked: int
    note: str | None = None


async def status(running: Running) -> list[FollowerStatus]:
    """The status of every projection, reactor and Rollup, in each partition that it follows.

    If the log was replaced, each of them has an error that says so. Raises: Unavailable.
    """
    followers = list(running.followers)  # as they are now: partitions may split meanwhile
    checkpoints = [await one.checkpoints.read(one.follower_id) for one in followers]
    heads = {}  # read after the checkpoints, or these would seem to lie beyond them
    for feed in {following.feed.partition: following.feed for following in followers}.values():
        heads[feed.partition] = await feed.head()
    _forget_marks(running, followers, checkpoints, heads)
    tables = () if running.works else await running.rows.tables()  # a worker knows its own note
    notes = {table.follows: note_on(table, tables) for table in tables}
    found = [
        await _status(running, following, checkpoint, heads[following.feed.partition], notes)
        for following, checkpoint in zip(followers, checkpoints, strict=True)
    ]
    return found + [await _of_rollup(running, rollup, found, notes) for rollup in running.app.rollups]


def _forget_marks(
    running: Running,
    followers: Sequence[Following],
    checkpoints: Sequence[Checkpoint | None],
    heads: Mapping[int, Position],
) -> None:
    for partition, head in heads.items():
        places = [
            checkpoint.position if checkpoint is not None else Position(partition, 0)
            for following, checkpoint in zip(followers, checkpoints, strict=True)
            if following.feed.partition == partition
        ]
        running.lags[partition].mark(head)
        running.lags[partition].forget(min(places))


async def _status(
    running: Running,
    following: Following,
    checkpoint: Checkpoint | None,
    head: Position,
    notes: Mapping[FollowerId, str | None],
) -> FollowerStatus:
    follower, feed = following.follower, following.feed
    parked = await following.checkpoints.parked(follower.follows)
    position = checkpoint.position if checkpoint is not None else Position(feed.partition, 0)
    lag_events = await feed.behind(position)
    note = notes.get(follower.follows.whole)
    return FollowerStatus(
        name=follower.follows.name,
        version=follower.follows.version,
        partition=feed.partition,
        kind="projection" if isinstance(follower, Projector) else "reactor",
        position=None if checkpoint is None else position,
        head=head,
        lag_events=lag_events,
        lag_s=await running.lags[feed.partition].seconds(position) if lag_events > 0 else 0.0,
        owner=checkpoint.owner if checkpoint is not None else None,
        state=following.state if running.works else "elsewhere",
        error=following.error or _replaced(checkpoint, running.log.log_id, head),
        parked=len(parked),
        note=note or (follower.publisher.note if isinstance(follower, Projector) else None),
    )


async def _of_rollup(
    running: Running, rollup: Rollup[Any], found: Sequence[FollowerStatus], notes: Mapping[FollowerId, str | None]
) -> FollowerStatus:
    """The status of a rollup: that of its source, at its own checkpoint."""
    source = next(one for one in found if (one.name, one.version) == (rollup.of.name, rollup.of.version))
    feed, checkpoint = running.log, await running.rows.checkpoints.read(rollup.follows.in_partition(source.partition))
    position = checkpoint.position if checkpoint is not None else Position(feed.partition, 0)
    lag_events = await feed.behind(position)
    return replace(
        source,
        name=rollup.name,
        version=rollup.version,
        position=None if checkpoint is None else position,
        lag_events=lag_events,
        lag_s=await running.lags[feed.partition].seconds(position) if lag_events > 0 else 0.0,
        note=notes.get(rollup.follows),
    )


def _replaced(checkpoint: Checkpoint | None, log_id: str, head: Position) -> str | None:
    try:
        if checkpoint is not None:
            check_log(checkpoint, log_id, head)
    except LogReplaced as error:
        return str(error)
    return None
