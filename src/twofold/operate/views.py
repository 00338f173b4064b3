"""How the views in a store are doing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from twofold.app import Running
from twofold.feed.checkpoints import FollowerId
from twofold.feed.partitions import partitions_of
from twofold.messages import Position


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """A view: how far the rows are that a read finds now, and what it is over (nothing: plain tables).

    `lag_events` counts all events, wanted or not. Where the log has several partitions, there is no such position, and
    the lag is that of the projections. `age_s` is the time since the last refresh, None unless it is materialised.
    `note` says what needs attention: why this process cannot refresh it, or move its public name.
    """

    name: str
    version: int
    kind: Literal["view", "materialised view"]
    live: bool
    in_app: bool
    over: Sequence[FollowerId]
    position: Position | None
    head: Position
    lag_events: int
    lag_s: float
    age_s: float | None
    note: str | None


async def views(running: Running) -> list[ViewStatus]:
    """All views in the read store, also those of other Apps and versions. Raises: Unavailable."""
    stored = await running.views.stored()
    if not stored:
        return []
    head, lag = await running.log.head(), running.lags[running.log.partition]  # after the positions
    lag.mark(head)
    several = len(partitions_of(running.log, spread=True)) > 1
    known = {view.follows: view for view in running.app.views}
    found = []
    for one in stored:
        view = known.get(one.follows)
        lag_events = 0 if several else await running.log.behind(one.position)
        status = ViewStatus(
            name=one.follows.name,
            version=one.follows.version,
            kind="view" if one.age_s is None else "materialised view",
            live=one.live,
            in_app=view is not None,
            over=one.over,
            position=None if several else one.position,
            head=head,
            lag_events=lag_events,
            lag_s=await lag.seconds(one.position) if lag_events > 0 else 0.0,
            age_s=one.age_s,
            note=None if view is None else running.views.note(view),
        )
        found.append(status)
    return found
