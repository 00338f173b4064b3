"""The ports for copying a log to another store. Two capabilities of a log: it can be copied, and it can become a copy.

A copy contains the events as they were recorded (ids, versions, times, data and meta byte for byte) and the command ids
of the original, including those of commands that decided nothing. Only the log id and the positions differ. Each page
of events is stored together with how far the original has been read, so a copy can be interrupted anywhere and resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from twofold.errors import ConfigurationError
from twofold.messages import Entry, Position


class KeptCommand(msgspec.Struct, frozen=True, gc=False):
    """The receipt of a command id without its position: that of event `version` of the stream, or 0:0."""

    stream: str
    command_id: str
    version: int
    events: int


class Copied(msgspec.Struct, frozen=True):
    """The original's log id, how far each of its partitions was copied, and whether the copy is complete."""

    source: str
    upto: Sequence[Position]
    ended: bool


class Export(Protocol):
    """What copying reads in addition to the feed."""

    async def commands(self, upto: Position, after: KeptCommand | None, limit: int) -> Sequence[KeptCommand]:
        """At most `limit` command ids whose receipt is at or before `upto`, ordered by stream and id.

        `after` is the last one of the previous page. Raises: LogReplaced, Unavailable.
        """
        ...


class Import(Protocol):
    """Every method except `copied` may raise Unavailable and LogReplaced, having changed nothing."""

    async def copied(self) -> Copied | None:
        """The state of the copy; None if the log is not a copy. Raises: Unavailable."""
        ...

    async def begin(self, source: str, beginnings: Sequence[Position]) -> Copied:
        """Begin a copy of the log `source`, or resume one; `beginnings` has a position for each partition.

        Raises: InvalidInput if this log contains anything but a copy of that one.
        """
        ...

    async def take(self, source: str, after: Position, upto: Position, entries: Sequence[Entry]) -> None:
        """Append entries as they were recorded, and move from `after` to `upto`, in one transaction.

        Repeating the last call does nothing. Raises: InvalidInput if the copy is not at `after`, or something else was
        appended to it. BatchRefused if the store cannot keep one of the entries.
        """
        ...

    async def keep(self, source: str, commands: Sequence[KeptCommand]) -> None:
        """Store command ids of copied events. One that is already stored is left as it is."""
        ...

    async def end(self, source: str) -> None:
        """Mark the copy as complete: from now on it is a log like any other."""
        ...


@runtime_checkable
class Exports(Protocol):
    """A log that can be copied."""

    @property
    def exporting(self) -> Export:
        """What copying reads."""
        ...


@runtime_checkable
class Imports(Protocol):
    """A log that can be made a copy of another one."""

    @property
    def importing(self) -> Import:
        """What copying writes."""
        ...


async def check_complete(log: object) -> None:
    """Raises: ConfigurationError if the log is an unfinished copy of another one."""
    copied = await log.importing.copied() if isinstance(log, Imports) else None
    if copied is not None and not copied.ended:
        raise ConfigurationError(
            f"this store holds an unfinished copy of log {copied.source}: run the same `twofold copy` again to "
            f"resume it"
        )


def not_a_copy_of(source: str, copied: Copied | None) -> str | None:
    """Why a log with contents cannot be resumed as a copy of `source`; None if this does not prevent it."""
    if copied is None:
        return "it already holds events or commands of its own: copy to an empty store"
    if copied.source != source:
        return f"it is a copy of log {copied.source}, not of {source}: copy to an empty store"
    return None


CHANGED = "something was appended to it since it was copied, so the copy cannot be resumed: copy to an empty store"
MOVED = "another process is copying to it, or has completed the copy: wait until it has ended, then run this again"
