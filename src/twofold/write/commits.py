"""The group commits of a log: one for each partition, so that partitions do not wait for one another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from twofold.errors import Closed
from twofold.feed.feed import Feed
from twofold.feed.partitions import Parts, feeds
from twofold.messages import Append, Position, Receipt
from twofold.write.apart import Apart
from twofold.write.group_commit import Counts, GroupCommit
from twofold.write.log import CommitsApart, Log


class LogAndFeed(Log, Feed, Protocol):
    """A log, or one partition of it, that can be followed."""


class Commits:
    """A `GroupCommit` for each partition, or an `Apart` where grouping is of no use.

    `mark` gets the position of the last committed event.
    """

    def __init__(self, log: LogAndFeed, mark: Callable[[Position], None] | None = None) -> None:
        self._log, self._mark, self._parts = log, mark, log if isinstance(log, Parts) else None
        self._of: dict[int, GroupCommit | Apart] = {}
        self._closed = False
        self.follow_splits()

    def follow_splits(self) -> None:
        """Add partitions that are new. What is queued for one that has split is still written, into its parts."""
        for number, part in feeds(self._log).items():
            if number not in self._of:
                kind = Apart if isinstance(part, CommitsApart) else GroupCommit
                self._of[number] = kind(part, self._mark)

    @property
    def queued(self) -> int:
        """How many appends are queued for the next batch."""
        return sum(one.queued for one in self._of.values())

    @property
    def counts(self) -> Counts:
        """The counts of all partitions together."""
        total = Counts()
        for one in self._of.values():
            total.include(one.counts)
        return total

    def append(self, append: Append) -> Awaitable[Receipt]:
        """Raises: like `GroupCommit.append`."""
        if self._closed:  # the group of a partition that is new since then is not
            raise Closed("the log")
        partition = self._log.partition if self._parts is None else self._parts.partition_of(append.stream.id)
        return self._of[partition].append(append)

    async def close(self) -> None:
        """Write what is queued, and refuse further appends."""
        self._closed = True
        await asyncio.gather(*(one.close() for one in self._of.values()))
