"""Appends to a log that commits each stream by itself: each append is a commit of its own, beside the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from twofold.errors import Closed
from twofold.messages import Append, Position, Receipt
from twofold.write.group_commit import MAX_QUEUED, Counts
from twofold.write.log import Log, checked_size


class Apart:
    """Like `GroupCommit`, without groups. A caller that is cancelled leaves its append to be stored.

    At most `MAX_QUEUED` appends are under way; a further one waits for room.
    """

    def __init__(self, log: Log, mark: Callable[[Position], None] | None = None) -> None:
        self._log, self._mark, self._limits = log, mark, log.limits
        self._under_way: set[asyncio.Task[Receipt]] = set()
        self._room = asyncio.Semaphore(MAX_QUEUED)
        self._closed = False
        self.counts = Counts()

    @property
    def queued(self) -> int:
        """How many appends are under way."""
        return len(self._under_way)

    async def append(self, append: Append) -> Receipt:
        """Raises: VersionConflict, InvalidEvent, Unavailable, OutcomeUnknown; Closed after `close`."""
        checked_size(append, self._limits)
        await self._room.acquire()
        if self._closed:
            self._room.release()
            raise Closed("the log")
        task = asyncio.create_task(self._commit(append), name="twofold commit")
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Receipt]) -> None:
        self._under_way.discard(task)
        self._room.release()
        if not task.cancelled():
            task.exception()  # its caller may have been cancelled, and nobody else asks for it

    async def _commit(self, append: Append) -> Receipt:
        [outcome] = await self._log.commit([append])
        self.counts.add_one(outcome)
        if not isinstance(outcome, Receipt):
            raise outcome
        if self._mark is not None:
            self._mark(outcome.position)
        return outcome

    async def close(self) -> None:
        """Wait for what is under way, and refuse further appends."""
        self._closed = True
        while self._under_way:
            await asyncio.wait(self._under_way)
