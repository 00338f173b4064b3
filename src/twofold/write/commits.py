"""The group commits of a log: one for each partition, so that none waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from twofold.messages import Append, Position, Receipt
from twofold.write.group_commit import Counts, GroupCommit
from twofold.write.log import Log

Mark = Callable[[Position], None]


class Commits:
    """See `GroupCommit`. `parts` are the partitions by number, and `partition_of` names that of a stream's id."""

    def __init__(self, parts: Mapping[int, Log], partition_of: Callable[[str], int], mark: Mark | None = None) -> None:
        self._of = {number: GroupCommit(part, mark) for number, part in parts.items()}
        self._partition_of = partition_of

    @property
    def waiting(self) -> int:
        """How many appends wait for their batch."""
        return sum(one.waiting for one in self._of.values())

    @property
    def counts(self) -> Counts:
        """Those of all partitions together."""
        total = Counts()
        for one in self._of.values():
            total.include(one.counts)
        return total

    async def append(self, append: Append) -> Receipt:
        """Raises: as `GroupCommit.append`."""
        return await self._of[self._partition_of(append.stream.id)].append(append)

    async def close(self) -> None:
        """Writes what still waits, then takes nothing more."""
        await asyncio.gather(*(one.close() for one in self._of.values()))
