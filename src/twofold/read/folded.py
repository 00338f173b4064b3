"""Which events of a page its rows contain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold.codec import Codec
from twofold.feed.feed import FeedPage
from twofold.feed.follow import Following
from twofold.messages import Recorded
from twofold.read.parked import ParkedKeys
from twofold.read.projection import Key, Projection


async def folded(projection: Projection[Any], codec: Codec, following: Following, page: FeedPage) -> Sequence[Recorded]:
    """The events of a committed page, without those that are parked for every row they touch. Raises: Unavailable."""
    parked = ParkedKeys(await following.checkpoints.parked(following.follower_id))
    events = [
        codec.recorded(entry) for entry in page.entries if not (parked and parked.stream(entry.stream, entry.position))
    ]
    if not parked:
        return events
    return [event for event in events if not _is_parked(event, projection.keys(event), parked)]


def _is_parked(event: Recorded, keys: Sequence[Key], parked: ParkedKeys) -> bool:
    return bool(keys) and all(parked.row(key, event.position) for key in keys)
