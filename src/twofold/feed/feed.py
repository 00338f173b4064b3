"""The port to the feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from twofold.errors import LogReplaced
from twofold.messages import Entry, Position


class FeedPage(msgspec.Struct, frozen=True):
    """The events that were wanted, and how far was looked: nothing wanted lies between the last one and `upto`."""

    entries: Sequence[Entry]
    upto: Position


class Feed(Protocol):
    """The log in order of commit.

    The law (G4): whoever has read up to a position will never see an event at or before it appear later.
    """

    @property
    def log_id(self) -> str:
        """The random name of the log; positions mean something only together with it."""
        ...

    async def head(self) -> Position:
        """The position of the newest event. Raises: Unavailable, LogReplaced."""
        ...

    async def read(self, after: Position, limit: int, types: frozenset[str] | None = None) -> FeedPage:
        """Look at the next `limit` positions, `after` exclusive; answer the events of these stored names.

        `types=None` wants all. At the head `upto` is `after`. A page also ends early where it grows large.

        Raises: Unavailable; LogReplaced, also when `after` lies beyond the head: the log has become shorter (G11).
        """
        ...

    async def wait(self, after: Position, timeout_s: float) -> None:
        """Return when there may be events after this position, or when the time has passed."""
        ...


def another_log(place: object, log_id: str) -> LogReplaced:
    """The log at this place was replaced by another one while this process used it (G11)."""
    return LogReplaced(
        f"{place}: this is no longer log {log_id}, with which the program began: stop it, "
        f"put the log back, or start again on the new one"
    )


def check_not_beyond(after: Position, head: Position) -> None:
    """Raises: LogReplaced when somebody has read further than the log goes (G11)."""
    if after > head:
        raise LogReplaced(
            f"somebody has read up to {after}, and the log ends at {head}: an older copy was put in its place"
        )
