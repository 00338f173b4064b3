"""From the checkpoint of a partition that has split to those of its parts.

The parts begin where the partition was left, in an epoch above its own. So a worker that still held it can no longer
write, and everything after that place comes in one of the parts.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from hashlib import sha256

from twofold.errors import LeaseLost
from twofold.feed.checkpoints import Checkpoints, FollowerId, Parked, SplitsCheckpoints
from twofold.feed.feed import Feed
from twofold.feed.partitions import ancestors, leaf_of, parts_of
from twofold.messages import Stream

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 1.0

log = logging.getLogger("twofold.follow")


async def inherit(checkpoints: Checkpoints, follower: FollowerId, feed: Feed, owner: str) -> None:
    """Hand over what a follower of this partition takes over from those that it came of. Raises: Unavailable.

    The original one first, so that one that was left at an older place is no more than a loss of work.
    """
    for partition in ancestors(feed, follower.partition):
        await hand_over(checkpoints, follower.in_partition(partition), feed, owner)


async def hand_over(checkpoints: Checkpoints, follower: FollowerId, feed: Feed, owner: str) -> None:
    """Replace the checkpoint of a partition that has split, if there is one. `feed` is the whole log's.

    A part that has split, too, may have been handed over before: its checkpoint, which now exists again, is as well.
    Raises: Unavailable.
    """
    parts = parts_of(feed, follower.partition)
    if await _split(checkpoints, follower, parts, feed, owner):
        for part in parts:
            if parts_of(feed, part):
                await hand_over(checkpoints, follower.in_partition(part), feed, owner)


async def _split(checkpoints: Checkpoints, follower: FollowerId, parts: Sequence[int], feed: Feed, owner: str) -> bool:
    """Returns whether there was a checkpoint."""
    if not isinstance(checkpoints, SplitsCheckpoints):
        raise TypeError(f"{type(checkpoints).__name__} cannot split the checkpoint of {follower}")
    pause_s = FIRST_PAUSE_S
    while (seen := await checkpoints.read(follower)) is not None:
        claim = await checkpoints.claim(seen, owner)
        if claim is not None:  # otherwise its holder has moved it meanwhile
            shares: dict[int, list[Parked]] = {part: [] for part in parts}
            for entry in await checkpoints.parked(follower):
                shares[leaf_of(feed, follower.partition, _stream_id(entry))].append(entry)
            try:
                await checkpoints.split(claim, seen.position, shares)
            except LeaseLost:
                log.debug("%s: another follower hands it over, too", follower)
            else:
                log.info("%s has split: %s go on at %s", follower, _named(parts), seen.position)
                return True
        await asyncio.sleep(pause_s * _share_of_pause(owner))
        pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
    return False


def _share_of_pause(owner: str) -> float:
    """Between 0 and 1, and different for each task: two that hand over the same could fence each other off for ever."""
    task = asyncio.current_task()
    name = "" if task is None or task.get_name().startswith("Task-") else task.get_name()  # followers' have a name
    return int(sha256(f"{owner}|{name}".encode()).hexdigest()[:8], 16) / 2**32


def _stream_id(entry: Parked) -> str:
    """The id of the streams that a parked entry waits for: followers of a partition have no other keys."""
    return Stream.parse(entry.key).id if entry.kind == "stream" else str(json.loads(entry.key)[0])


def _named(partitions: Sequence[int]) -> str:
    return " and ".join(f"partition {number}" for number in partitions)
