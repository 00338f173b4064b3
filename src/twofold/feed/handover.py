"""From the checkpoint of a partition that has split to those of its parts.

The parts begin where the partition was left, in an epoch above its own. So a worker that still held it can no longer
write, and everything after that place comes in one of the parts.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence

from twofold.errors import LeaseLost
from twofold.feed.checkpoints import Checkpoints, FollowerId, Parked, SplitsCheckpoints
from twofold.feed.feed import Feed
from twofold.feed.partitions import ancestors, leaf_of, parts_of
from twofold.messages import Stream

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 5.0

log = logging.getLogger("twofold.follow")


async def inherit(checkpoints: Checkpoints, follower: FollowerId, feed: Feed, owner: str) -> None:
    """Hand over the checkpoints of all partitions that this one was split from, directly or not. Raises: Unavailable.

    The original one first: its parts may have split, too.
    """
    for partition in ancestors(feed, follower.partition):
        await hand_over(checkpoints, follower.in_partition(partition), feed, owner)


async def hand_over(checkpoints: Checkpoints, follower: FollowerId, feed: Feed, owner: str) -> None:
    """Replace the checkpoint of a partition that has split, if there is one. `feed` is the whole log's.

    Raises: Unavailable.
    """
    parts, pause_s = parts_of(feed, follower.partition), FIRST_PAUSE_S
    while (seen := await checkpoints.read(follower)) is not None:
        claim = await checkpoints.claim(seen, owner)
        if claim is not None:  # otherwise its holder has moved it meanwhile
            shares: dict[int, list[Parked]] = {part: [] for part in parts}
            for entry in await checkpoints.parked(follower):
                shares[leaf_of(feed, follower.partition, _stream_id(entry))].append(entry)
            try:
                await splitting(checkpoints).split(claim, seen.position, shares)
            except LeaseLost:
                log.debug("%s: another follower hands it over, too", follower)
            else:
                log.info("%s has split: %s go on at %s", follower, _named(parts), seen.position)
                return
        await asyncio.sleep(pause_s)  # grows until it is longer than the other follower's split takes
        pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)


def splitting(checkpoints: Checkpoints) -> SplitsCheckpoints:
    """The capability to store checkpoints of partitions that split. Raises: TypeError without it."""
    if not isinstance(checkpoints, SplitsCheckpoints):
        raise TypeError(f"{type(checkpoints).__name__} cannot store checkpoints of partitions that split")
    return checkpoints


def _stream_id(entry: Parked) -> str:
    """The id of the streams that a parked entry waits for: followers of a partition have no other keys."""
    return Stream.parse(entry.key).id if entry.kind == "stream" else str(json.loads(entry.key)[0])


def _named(partitions: Sequence[int]) -> str:
    return " and ".join(f"partition {number}" for number in partitions)
