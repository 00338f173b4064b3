"""Group commit: a batch is whatever was queued while the last batch was being written.

There is no timer, so a single caller never waits for others. The cost of ordering the feed is paid once per batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twofold.errors import BatchRefused, Closed, InvalidEvent, OutcomeUnknown, TwofoldError, VersionConflict
from twofold.messages import Append, Position, Receipt
from twofold.write.log import Log, checked_size

MAX_BATCH = 1_000
MAX_BATCH_BYTES = 8 * 1024 * 1024
MAX_QUEUED = 10_000
FEW = 8  # with fewer than this, adding one to a batch costs far less than another commit
TURNS_TO_JOIN = 2

_Queued = tuple[Append, "asyncio.Future[Receipt]"]


@dataclass
class Counts:
    """What has been committed since the start, for metrics. `events` counts those of new appends."""

    batches: int = 0
    appends: int = 0
    events: int = 0
    conflicts: int = 0
    largest_batch: int = 0

    def include(self, other: Counts) -> None:
        """Add the counts of another partition."""
        self.batches += other.batches
        self.appends += other.appends
        self.events += other.events
        self.conflicts += other.conflicts
        self.largest_batch = max(self.largest_batch, other.largest_batch)

    def add(self, batch: Sequence[_Queued], outcomes: Sequence[Receipt | TwofoldError]) -> None:
        """Count one batch and its outcomes."""
        self._add(len(batch), outcomes)

    def add_one(self, outcome: Receipt | TwofoldError) -> None:
        """Count an append that was committed by itself."""
        self._add(1, [outcome])

    def _add(self, size: int, outcomes: Sequence[Receipt | TwofoldError]) -> None:
        self.batches += 1
        self.largest_batch = max(self.largest_batch, size)
        for outcome in outcomes:
            if isinstance(outcome, VersionConflict):
                self.conflicts += 1
            elif isinstance(outcome, Receipt) and not outcome.repeated:
                self.appends += 1
                self.events += outcome.events


class GroupCommit:
    """Appends to one log from one event loop.

    At most `MAX_QUEUED` appends wait; a further one waits for room. Cancelling a caller withdraws its append while it
    is still queued; once its batch is being written, the append may be stored. `mark` is called with the new head.
    """

    def __init__(self, log: Log, mark: Callable[[Position], None] | None = None) -> None:
        self._log, self._mark, self._limits = log, mark, log.limits
        self._queue: deque[tuple[_Queued, int]] = deque()  # with the bytes of its events
        self._room = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._closed = False
        self.counts = Counts()

    @property
    def queued(self) -> int:
        """How many appends are queued for the next batch."""
        return len(self._queue)

    async def append(self, append: Append) -> Receipt:
        """Raises: VersionConflict, InvalidEvent, Unavailable, OutcomeUnknown; Closed after `close`."""
        size = checked_size(append, self._limits)
        while len(self._queue) >= MAX_QUEUED:
            self._room.clear()
            await self._room.wait()
        if self._closed:
            raise Closed("the log")
        outcome: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._queue.append(((append, outcome), size))
        if self._writer is None:
            self._begin()
        return await outcome

    def _begin(self) -> None:
        self._writer = asyncio.create_task(self._write(), name="twofold group commit")
        self._writer.add_done_callback(self._ended)

    def _ended(self, writer: asyncio.Task[None]) -> None:
        """If the writer was cancelled, appends queued meanwhile must not wait for the next caller."""
        self._writer = None
        if self._queue:
            self._begin()

    async def close(self) -> None:
        """Write what is queued, and refuse further appends."""
        self._closed = True
        while self._writer is not None:
            await asyncio.wait((self._writer,))

    async def _write(self) -> None:
        while batch := self._next_batch():
            await self._commit(batch)
            await self._let_others_join()

    async def _let_others_join(self) -> None:
        """Give callers that just got their receipts the chance to append again at once.

        Some turns of the event loop cost less than a commit. Without them a few callers end up in two groups, each
        always too late for the other's batch.
        """
        for _ in range(TURNS_TO_JOIN):
            if not 0 < len(self._queue) < FEW:
                return
            await asyncio.sleep(0)

    def _next_batch(self) -> list[_Queued]:
        batch: list[_Queued] = []
        size = 0
        while self._queue and len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            queued, event_bytes = self._queue.popleft()
            if not queued[1].cancelled():
                batch.append(queued)
                size += event_bytes
        self._room.set()
        return batch

    async def _commit(self, batch: Sequence[_Queued]) -> None:
        try:
            outcomes = await self._log.commit([append for append, _ in batch])
        except BatchRefused as refused:
            await self._bisect(batch, refused)
        except asyncio.CancelledError:
            for append, outcome in batch:
                _resolve(outcome, OutcomeUnknown(append.command_id, "the program was stopped during the commit"))
            raise
        except OutcomeUnknown as error:
            for append, outcome in batch:
                _resolve(outcome, OutcomeUnknown(append.command_id, str(error.__cause__ or error)))
        except Exception as error:  # whatever it is, the callers must get it
            for _, outcome in batch:
                _resolve(outcome, error)
        else:
            self.counts.add(batch, outcomes)
            positions = [outcome.position for outcome in outcomes if isinstance(outcome, Receipt)]
            if self._mark is not None and positions:
                self._mark(max(positions))  # a repeated append has an older one
            for (_, outcome), answer in zip(batch, outcomes, strict=True):
                _resolve(outcome, answer)

    async def _bisect(self, batch: Sequence[_Queued], refused: BatchRefused) -> None:
        """The store refused one append's data: write the others in the batch without it."""
        if len(batch) == 1:
            append, outcome = batch[0]
            error = InvalidEvent(f"{append.stream}: the store refuses the data: {refused.__cause__ or refused}")
            _resolve(outcome, error)
            return
        half = len(batch) // 2
        await self._commit(batch[:half])
        await self._commit(batch[half:])


def _resolve(outcome: asyncio.Future[Receipt], answer: Receipt | TwofoldError | Exception) -> None:
    if outcome.done():  # the caller was cancelled while its batch was being written
        return
    if isinstance(answer, Receipt):
        outcome.set_result(answer)
    else:
        outcome.set_exception(answer)
