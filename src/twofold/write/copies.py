"""The ports to copying a log to another store. Two capabilities of a log: it can be copied, it can become a copy.

A copy holds the events as they were recorded (ids, versions, times, data and meta byte for byte) and the command ids
of the original, also of commands that decided nothing. Only the log id and the positions are its own. What was taken,
and how far the original has been read, change in one transaction: a copy that stopped anywhere can go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from twofold.errors import ConfigurationError
from twofold.messages import Entry, Position


class KeptCommand(msgspec.Struct, frozen=True, gc=False):
    """The receipt of a command id without its position, which is that of event `version` of the stream (or 0:0)."""

    stream: str
    command_id: str
    version: int
    events: int


class Copied(msgspec.Struct, frozen=True):
    """The original's log id, how far each of its partitions was taken, and whether the last copy was completed."""

    source: str
    upto: Sequence[Position]
    ended: bool


class Export(Protocol):
    """What copying reads beside the feed."""

    async def commands(self, upto: Position, after: KeptCommand | None, limit: int) -> Sequence[KeptCommand]:
        """At most `limit` command ids whose receipt lies at or before `upto`, ordered by stream and id.

        `after` is the last one of the page before. Raises: LogReplaced, Unavailable.
        """
        ...


class Import(Protocol):
    """Every method but `copied` raises Unavailable, and LogReplaced; nothing was changed then."""

    async def copied(self) -> Copied | None:
        """None where the log is no copy. Raises: Unavailable."""
        ...

    async def begin(self, source: str, beginnings: Sequence[Position]) -> Copied:
        """Begin a copy of the log `source`, or go on with one; `beginnings` has a position for each partition.

        Raises: InvalidInput when this log holds anything but a copy of that one.
        """
        ...

    async def take(self, source: str, after: Position, upto: Position, entries: Sequence[Entry]) -> None:
        """Append entries as they were recorded, and move on from `after` to `upto`, in one transaction.

        Nothing happens where exactly this was done before. Raises: InvalidInput when the copy is not at `after`, or
        somebody appended to it. BatchRefused when the store cannot keep one of the entries.
        """
        ...

    async def keep(self, source: str, commands: Sequence[KeptCommand]) -> None:
        """Store command ids of events that were taken. One that is known already is left as it is."""
        ...

    async def end(self, source: str) -> None:
        """Say that the copy is complete: from now on it is a log like any other."""
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
    """Raises: ConfigurationError where the log is an unfinished copy of another one."""
    copied = await log.importing.copied() if isinstance(log, Imports) else None
    if copied is not None and not copied.ended:
        raise ConfigurationError(
            f"this store holds an unfinished copy of log {copied.source}: run the same `twofold copy` again, "
            f"which goes on where it stopped"
        )


def not_a_copy_of(source: str, copied: Copied | None) -> str | None:
    """Why a log that holds something cannot go on as a copy of `source`; None if it can, as far as this tells."""
    if copied is None:
        return "it already holds events or commands of its own: copy to an empty store"
    if copied.source != source:
        return f"it is a copy of log {copied.source}, not of {source}: copy to an empty store"
    return None


CHANGED = "something was appended to it since it was copied, so it cannot go on as a copy: copy to an empty store"
MOVED = "another process is copying to it, or has completed the copy: let that one end, then run this again"
