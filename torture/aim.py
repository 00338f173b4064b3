"""Places where a process may be told to die or to stand still: between two steps that belong together."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from torture.journal import Claimed, Fenced, Journal, Struck
from twofold.app import Running
from twofold.backends.partitioned import Partitioned
from twofold.errors import LeaseLost
from twofold.feed.checkpoints import Checkpoint, Claim
from twofold.feed.partitions import feeds
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
    """What is to happen to who comes by a place first: a signal, and after how long a pause is over."""

    place: str
    signal: str
    pause_s: float = 0.0


class Aim:
    """What this process was told. Where it strikes it says so, on standard output and in its journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._told: Strike | None = None

    def take(self, strike: Strike | None) -> None:
        """From now on; None forgets."""
        self._told = strike

    def reached(self, place: str) -> None:
        """The process is at this place now."""
        told = self._told
        if told is not None and told.place == place:
            self._told = None
            self._journal.write(Struck(place, told.signal))
            os.write(1, msgspec.json.encode(told) + b"\n")
            os.kill(os.getpid(), signal.Signals[told.signal])


def watch(running: Running, aim: Aim, journal: Journal) -> None:
    """Put the places, and what is written down of claims, around the calls of a running App."""
    for log in feeds(running.log).values():
        around(log, "commit", passing(aim, BEFORE_APPEND, AFTER_APPEND))
    if isinstance(running.log, Partitioned):
        around(running.log.cuts, "add", passing(aim, BEFORE_CUT, AFTER_CUT))
    around(running.rows, "commit", passing(aim, BEFORE_ROWS, AFTER_ROWS, when=writes_rows))
    around(running.rows, "publish", passing(aim, BEFORE_PUBLISHING, AFTER_PUBLISHING))
    reactor = passing(aim, BEFORE_ADVANCE, AFTER_ADVANCE)
    around(running.log.checkpoints, "advance", reactor)
    around(running.rows, "commit", noting_refusals(journal))
    around(running.log.checkpoints, "advance", noting_refusals(journal))
    for checkpoints in (running.log.checkpoints, running.rows.checkpoints):
        around(checkpoints, "claim", noting_claims(journal))


def around(owner: Any, name: str, wrap: Callable[[Method], Method]) -> None:
    """Wrap a method of one object, for whoever calls it from now on."""
    setattr(owner, name, wrap(getattr(owner, name)))


def passing(
    aim: Aim, before: str, after: str, when: Callable[..., bool] = lambda *_: True
) -> Callable[[Method], Method]:
    """A call with a place before it and one after it, where it has something to do."""

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
    """Most pages of a slow feed hold nothing for a projection: to die there would show nothing."""
    return bool(changes.rows)


def noting_refusals(journal: Journal) -> Callable[[Method], Method]:
    """Write down each write that the fence has refused."""

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
    """Write down each claim, and whether it was taken over from the dead."""

    def wrap(method: Method) -> Method:
        async def call(seen: Checkpoint, owner: str) -> Any:
            claim = await method(seen, owner)
            if claim is not None:
                taken_over = seen.owner not in (None, owner)
                journal.write(Claimed(str(claim.follower), claim.epoch, taken_over))
            return claim

        return call

    return wrap
