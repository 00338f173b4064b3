"""Places where a process can be killed or paused: between two steps that belong together."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from torture.journal import Claimed, Fenced, Journal, Struck
from twofold.app import Running
from twofold.backends.partitioned.merged import Merged
from twofold.backends.ports import LogStore
from twofold.errors import LeaseLost
from twofold.feed.checkpoints import Checkpoint, Claim
from twofold.feed.partitions import Splitting, feeds
from twofold.messages import Position
from twofold.read.projection import Table
from twofold.read.store import Changes

Method = Callable[..., Awaitable[Any]]

BEFORE_APPEND, AFTER_APPEND = "before an append", "after an append"
BEFORE_ROWS, AFTER_ROWS = "before rows", "after rows"
BEFORE_PUBLISHING, AFTER_PUBLISHING = "before publishing", "after publishing"
BEFORE_CUT, AFTER_CUT = "before a cut", "after a cut"
BEFORE_ADVANCE, AFTER_ADVANCE = "before a reactor's checkpoint", "after a reactor's checkpoint"


class Strike(msgspec.Struct, frozen=True):
    """A signal for the first process that reaches a place; a pause ends after `pause_s`."""

    place: str
    signal: str
    pause_s: float = 0.0


class Aim:
    """The strike this process received. It is reported on standard output and in the journal just before it happens."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._pending: Strike | None = None

    def take(self, strike: Strike | None) -> None:
        """Replace the pending strike; None cancels it."""
        self._pending = strike

    def reached(self, place: str) -> None:
        """Strike if the pending strike is for this place."""
        strike = self._pending
        if strike is not None and strike.place == place:
            self._pending = None
            self._journal.write(Struck(place, strike.signal))
            os.write(1, msgspec.json.encode(strike) + b"\n")
            os.kill(os.getpid(), signal.Signals[strike.signal])


def watch(running: Running, aim: Aim, journal: Journal) -> None:
    """Wrap the calls of a running App with the places to strike and with the journal of claims."""
    for log in appended_to(running.log):
        around(log, "commit", passing(aim, BEFORE_APPEND, AFTER_APPEND))
    if isinstance(running.log, Merged):
        around(running.log.cuts, "add", passing(aim, BEFORE_CUT, AFTER_CUT))
    around(running.rows, "commit", passing(aim, BEFORE_ROWS, AFTER_ROWS, when=writes_rows))
    around(running.rows, "publish", passing(aim, BEFORE_PUBLISHING, AFTER_PUBLISHING))
    reactor = passing(aim, BEFORE_ADVANCE, AFTER_ADVANCE)
    around(running.log.checkpoints, "advance", reactor)
    around(running.rows, "commit", noting_refusals(journal))
    around(running.log.checkpoints, "advance", noting_refusals(journal))
    for checkpoints in (running.log.checkpoints, running.rows.checkpoints):
        around(checkpoints, "claim", noting_claims(journal))


def appended_to(log: LogStore) -> Iterable[LogStore]:
    """Where appends arrive: each partition, or a log whose partitions split."""
    return [log] if isinstance(log, Splitting) else feeds(log).values()


def around(owner: Any, name: str, wrap: Callable[[Method], Method]) -> None:
    """Wrap a method of one object."""
    setattr(owner, name, wrap(getattr(owner, name)))


def passing(
    aim: Aim, before: str, after: str, when: Callable[..., bool] = lambda *_: True
) -> Callable[[Method], Method]:
    """Put a place before and after a call, for the calls that `when` selects."""

    def wrap(method: Method) -> Method:
        async def call(*args: Any) -> Any:
            if when(*args):
                aim.reached(before)
            answer = await method(*args)
            if when(*args):
                aim.reached(after)
            return answer

        return call

    return wrap


def writes_rows(_table: Table, _claim: Claim, _after: Position, _to: Position, changes: Changes) -> bool:
    """Most pages of a slow feed hold nothing for a projection, and dying there would prove nothing."""
    return bool(changes.rows)


def noting_refusals(journal: Journal) -> Callable[[Method], Method]:
    """Journal each write that the fence refused."""

    def wrap(method: Method) -> Method:
        async def call(*args: Any) -> Any:
            try:
                return await method(*args)
            except LeaseLost as error:
                journal.write(Fenced(str(error)))
                raise

        return call

    return wrap


def noting_claims(journal: Journal) -> Callable[[Method], Method]:
    """Journal each claim, and whether it was taken over from another owner."""

    def wrap(method: Method) -> Method:
        async def call(seen: Checkpoint, owner: str) -> Any:
            claim = await method(seen, owner)
            if claim is not None:
                taken_over = seen.owner not in (None, owner)
                journal.write(Claimed(str(claim.follower), claim.epoch, taken_over))
            return claim

        return call

    return wrap
