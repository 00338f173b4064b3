"""The port for the feed: the events of one partition in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

import msgspec

from twofold.errors import Contended, InvalidToken, LogReplaced, Unavailable
from twofold.messages import Entry, Position

LARGEST_PAGE = 4_096


class PartitionSplit(Contended):
    """A partition has split: it has no more events, and its followers go on in its parts.

    Workers deal with it. An operator's task that was begun on the partition has changed nothing.
    """

    def __init__(self, partition: int) -> None:
        super().__init__(f"partition {partition} has split meanwhile, and goes on in its parts: try again")
        self.partition = partition


class FeedPage(msgspec.Struct, frozen=True):
    """The wanted events, and how far the feed was searched: no other wanted event is at or before `upto`.

    `more`: the feed continued after `upto` when it was read.
    """

    entries: Sequence[Entry]
    upto: Position
    more: bool = False


class Feed(Protocol):
    """One partition of the log in order of commit.

    The law (G4): once a reader has read up to a position, no event at or before it ever appears. Positions are ordered
    and opaque: they may have gaps, and only the feed does arithmetic with them.
    """

    @property
    def log_id(self) -> str:
        """The random id of the log; positions are valid only together with it."""
        ...

    @property
    def partition(self) -> int:
        """The partition of its positions."""
        ...

    async def head(self) -> Position:
        """The position of the newest event. Raises: Unavailable, LogReplaced."""
        ...

    async def read(
        self, after: Position, limit: int, types: frozenset[str] | None = None, until: Position | None = None
    ) -> FeedPage:
        """Search the next `limit` events, `after` exclusive and `until` inclusive; return those with these names.

        `types=None` returns all. At the head, and at `until`, the page's `upto` is `after`. A page may end early if it
        becomes large. With `more` and without any progress, what comes next cannot be read yet.

        Raises: Unavailable; LogReplaced, also if `after` is beyond the head: the log has become shorter (G11).
        """
        ...

    async def wait(self, after: Position, timeout_s: float) -> None:
        """Return when there may be events after this position, or when the time is up. Raises: Unavailable."""
        ...

    def before(self, position: Position) -> Position:
        """The place immediately before an event: reading after it starts with this event."""
        ...

    async def distance(self, after: Position, to: Position) -> int:
        """How many events are between two positions, `to` inclusive; 0 if `to` is not beyond `after`.

        For progress and lag; exact only while nothing is appended. Raises: Unavailable.
        """
        ...

    async def behind(self, after: Position) -> int:
        """How many events are after a position. Raises: Unavailable, LogReplaced."""
        ...

    async def covering(self, position: Position) -> Position | None:
        """The first position of this feed that includes the event at `position`, which may be in any partition.

        None if that place is not fixed yet. Raises: InvalidToken if the log has no such partition, Unavailable.
        """
        ...


class DenseFeed(ABC):
    """Common methods of a feed that numbers its events 1, 2, 3, …, and is the only one of its log."""

    log_id: str
    partition: int = 0

    @abstractmethod
    async def head(self) -> Position:
        """See `Feed.head`."""

    def before(self, position: Position) -> Position:
        """See `Feed.before`."""
        return Position(position.partition, position.offset - 1)

    async def distance(self, after: Position, to: Position) -> int:
        """See `Feed.distance`."""
        return max(0, to.offset - after.offset)

    async def behind(self, after: Position) -> int:
        """See `Feed.behind`."""
        return await self.distance(after, await self.head())

    async def covering(self, position: Position) -> Position | None:
        """See `Feed.covering`."""
        if position.partition != self.partition:
            raise InvalidToken(f"{position} is in partition {position.partition}, which this log does not have")
        return position


async def pages(
    feed: Feed, after: Position, upto: Position, types: frozenset[str] | None
) -> AsyncGenerator[FeedPage, None]:
    """The feed between two positions, `after` exclusive, in large pages.

    Raises: Unavailable, also if the events behind `after` are not in a cut yet; LogReplaced, also if the feed ends
    before `upto`.
    """
    while after < upto:
        page = await feed.read(after, LARGEST_PAGE, types, upto)
        if page.upto == after and page.more:  # a reactor that was ahead of the first cuts
            raise Unavailable(f"the events between {after} and {upto} are not in a cut yet: try again later")
        if page.upto == after:
            raise LogReplaced(
                f"a reader is at {upto}, but the log ends at {after}: an older copy replaced it", feed.log_id
            )
        yield page
        after = page.upto


def another_log(place: object, log_id: str) -> LogReplaced:
    """The log at this place was replaced by another one while this process used it (G11)."""
    return LogReplaced(
        f"{place}: this is no longer log {log_id}, with which the program began: stop it, "
        f"put the log back, or start again on the new one",
        log_id,
    )


def check_not_beyond(after: Position, head: Position) -> None:
    """Raises: LogReplaced if a reader is beyond the end of the log (G11)."""
    if after > head:
        raise LogReplaced(f"a reader is at {after}, but the log ends at {head}: an older copy replaced it")
