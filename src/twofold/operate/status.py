"""How the followers of an App are doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twofold.app import Running
from twofold.errors import LogReplaced
from twofold.feed.checkpoints import Checkpoint
from twofold.feed.follow import Following, State, check_log
from twofold.messages import BEGINNING, Position
from twofold.read.projector import Projector
from twofold.read.publish import note_on


@dataclass(frozen=True, slots=True)
class FollowerStatus:
    """How one projection or reactor is doing. `lag_events` counts positions of the feed, wanted or not.

    `state` is that of this process's worker (see `Following`), or "elsewhere" where this process does no work;
    `owner` names the worker that holds the checkpoint. `note` is what somebody should see to that stops nothing: the
    name for SQL cannot show this version yet.
    """

    name: str
    version: int
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
    """The status of every projection and reactor. A log that was replaced is reported as an error of each.

    Raises: Unavailable.
    """
    checkpoints = [await one.checkpoints.read(one.follower.follows) for one in running.followers]
    head = await running.log.head()  # after them, or they would seem to lie beyond it
    running.lag.mark(head)
    running.lag.forget(min((one.position if one is not None else BEGINNING for one in checkpoints), default=head))
    tables = () if running.works else await running.rows.tables()  # a worker knows its own note
    notes = {table.follows: note_on(table, tables) for table in tables}
    return [
        await _status(running, following, checkpoint, head, notes.get(following.follower.follows))
        for following, checkpoint in zip(running.followers, checkpoints, strict=True)
    ]


async def _status(
    running: Running, following: Following, checkpoint: Checkpoint | None, head: Position, note: str | None
) -> FollowerStatus:
    follows = following.follower.follows
    parked = await following.checkpoints.parked(follows)
    position = checkpoint.position if checkpoint is not None else None
    lag_events = await following.feed.distance(position or BEGINNING, head)
    return FollowerStatus(
        name=follows.name,
        version=follows.version,
        kind="projection" if isinstance(following.follower, Projector) else "reactor",
        position=position,
        head=head,
        lag_events=lag_events,
        lag_s=await running.lag.seconds(position) if lag_events > 0 else 0.0,
        owner=checkpoint.owner if checkpoint is not None else None,
        state=following.state if running.works else "elsewhere",
        error=following.error or _replaced(checkpoint, running.log.log_id, head),
        parked=len(parked),
        note=note or (following.follower.publisher.note if isinstance(following.follower, Projector) else None),
    )


def _replaced(checkpoint: Checkpoint | None, log_id: str, head: Position) -> str | None:
    try:
        if checkpoint is not None:
            check_log(checkpoint, log_id, head)
    except LogReplaced as error:
        return str(error)
    return None
