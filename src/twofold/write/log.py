"""The port to the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from twofold.errors import TwofoldError
from twofold.messages import Append, Entry, Position, Receipt, StoredEvent, Stream


class Loaded(msgspec.Struct, frozen=True):
    """A stream as one look saw it, and the receipt of a command id if the stream knows it.

    Of the events only what a state is folded from; `version` and `position` are those of the last one.
    """

    events: Sequence[StoredEvent]
    version: int
    position: Position
    receipt: Receipt | None


class Log(Protocol):
    """Streams of events, and the order in which they were committed.

    An empty stream is at version 0. A commit is durable before it is answered (G1); a position is given under the
    lock that is held until the commit, so the order of positions is the order of commits, without gaps (G4).
    """

    @property
    def log_id(self) -> str:
        """16 hex digits, made up when the log was; positions mean something only together with it."""
        ...

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """Take the appends in order, each all or nothing, all in one commit; one outcome for each.

        A command id that its stream knows is answered with the receipt of that time and appends nothing, whatever
        version is expected (G3). A version that is not the expected one is a `VersionConflict` (G2). An append sees
        those before it in the batch.

        Raises: BatchRefused when the data of one of the appends cannot be stored, Unavailable: in both cases
        nothing of the batch is stored. OutcomeUnknown when it may have been.
        """
        ...

    async def load(
        self, stream: Stream, command_id: str | None = None, last: int | None = None, after: int = 0
    ) -> Loaded:
        """The stream's events in order, with the receipt of `command_id`: one snapshot.

        Only the `last` so many where that is given, and only those of a version above `after`; when there are none,
        the version that is answered is `after`, and the position the beginning.

        Raises: Unavailable.
        """
        ...

    async def read_stream(self, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        """At most `limit` events of a stream in order, beginning with `from_version`. Raises: Unavailable."""
        ...
