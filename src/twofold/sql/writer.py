"""A group commit for SQL commands: a batch is whatever was queued while the last one ran."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from weakref import WeakValueDictionary

from twofold.errors import BatchRefused, Closed, OutcomeUnknown
from twofold.sql.calls import CONFLICT, IDS, MAX_BATCH, WAITED, Answered, Call, Failed, SqlCalls

MAX_QUEUED = 10_000
AT_ONCE = 4  # commands that run alone, of different keys
WAIT_MS, ALONE_WAIT_MS = 20, 5_000  # for a lock; alone, also for others that run alone
TRIES = 3  # of a command that runs alone and meets a conflict or a deadlock
FEW = 8  # as in the group commit of the log: adding one to a batch costs less than another transaction
TURNS_TO_JOIN = 2

_Outcome = Answered | Failed
_Queued = tuple[Call, "asyncio.Future[_Outcome]"]


class SqlWriter:
    """The SQL commands of one process, from one event loop.

    A command that had to wait for a lock, or met a conflict, runs again alone, beside the next batches. Cancelling a
    caller withdraws its command while it is still queued; once it runs, it may be done.
    """

    def __init__(self, store: SqlCalls) -> None:
        self._store = store
        self._queue: deque[_Queued] = deque()
        self._room = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._alone: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by key
        self._behind: dict[str, deque[_Queued]] = {}  # for each command id in progress, further calls with the same one
        self._closed = False

    async def run(self, call: Call) -> _Outcome:
        """The outcome of a command. Raises: Unavailable, LogReplaced, ConfigurationError, OutcomeUnknown, Closed."""
        while len(self._queue) >= MAX_QUEUED:
            self._room.clear()
            await self._room.wait()
        if self._closed:
            raise Closed("the log")
        outcome: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        if (behind := self._behind.get(call.meta.command_id)) is not None:
            behind.append((call, outcome))
        else:
            self._behind[call.meta.command_id] = deque()
            self._put((call, outcome))
        return await outcome

    def _put(self, queued: _Queued) -> None:
        self._queue.append(queued)
        if self._writer is None:
            self._begin()

    async def close(self) -> None:
        """Run what is queued, and refuse further commands."""
        self._closed = True
        while self._writer is not None or self._alone:
            await asyncio.wait([*filter(None, [self._writer]), *self._alone])

    def _begin(self) -> None:
        self._writer = asyncio.create_task(self._write(), name="twofold SQL commands")
        self._writer.add_done_callback(self._ended)

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._writer = None
        if self._queue:
            self._begin()

    async def _write(self) -> None:
        while batch := self._next_batch():
            await self._run(batch, WAIT_MS)
            for _ in range(TURNS_TO_JOIN):
                if not 0 < len(self._queue) < FEW:
                    break
                await asyncio.sleep(0)

    def _next_batch(self) -> list[_Queued]:
        """The next commands, in the order of their keys."""
        batch: list[_Queued] = []
        while self._queue and len(batch) < MAX_BATCH:
            queued = self._queue.popleft()
            if queued[1].cancelled():
                self._release(queued[0])
            else:
                batch.append(queued)
        self._room.set()
        batch.sort(key=lambda queued: queued[0].key)
        return batch

    async def _run(self, batch: Sequence[_Queued], wait_ms: int) -> None:
        calls = [call for call, _ in batch]
        try:
            outcomes = list(zip(batch, await self._store.run(calls, wait_ms=wait_ms), strict=True))
        except BatchRefused:
            for queued in batch:
                self._run_alone(queued)
        except asyncio.CancelledError:
            for call, outcome in batch:
                unknown = OutcomeUnknown(call.meta.command_id, "the program was stopped while it ran")
                self._resolve(call, outcome, unknown)
            raise
        except OutcomeUnknown as error:
            for call, outcome in batch:
                why = str(error.__cause__ or error)
                self._resolve(call, outcome, OutcomeUnknown(call.meta.command_id, why))
        except Exception as error:  # whatever it is, the callers must get it
            for call, outcome in batch:
                self._resolve(call, outcome, error)
        else:
            for queued, answer in outcomes:
                if _is_worth_another_try(answer):
                    self._run_alone(queued)
                else:
                    self._resolve(*queued, answer)

    def _run_alone(self, queued: _Queued) -> None:
        task = asyncio.create_task(self._run_until_it_is_decided(queued), name="twofold SQL command, alone")
        self._alone.add(task)
        task.add_done_callback(self._alone.discard)

    async def _run_until_it_is_decided(self, queued: _Queued) -> None:
        """One of each key at a time: a row that is held for long takes one place, not all of them."""
        call, outcome = queued
        clock = asyncio.get_running_loop().time
        deadline = clock() + ALONE_WAIT_MS / 1000
        turn = self._turns.setdefault(call.key, asyncio.Lock())
        async with turn, self._places:
            for tries in range(1, TRIES + 1):
                try:
                    left_ms = max(1, round(1000 * (deadline - clock())))
                    [answer] = await self._store.run([call], wait_ms=left_ms)
                except asyncio.CancelledError:
                    self._resolve(call, outcome, OutcomeUnknown(call.meta.command_id, "the program was stopped"))
                    raise
                except Exception as error:
                    self._resolve(call, outcome, error)
                    return
                if tries == TRIES or not _is_worth_another_try(answer) or _has_waited(answer):
                    self._resolve(call, outcome, answer)
                    return

    def _resolve(self, call: Call, outcome: asyncio.Future[_Outcome], answer: _Outcome | Exception) -> None:
        self._release(call)
        if outcome.done():  # the caller was cancelled meanwhile
            return
        if isinstance(answer, Exception):
            outcome.set_exception(answer)
        else:
            outcome.set_result(answer)

    def _release(self, call: Call) -> None:
        """The next call with the same command id may run."""
        behind = self._behind.pop(call.meta.command_id)
        if behind:
            following = behind.popleft()
            self._behind[call.meta.command_id] = behind
            self._put(following)


def _is_worth_another_try(answer: _Outcome) -> bool:
    """After a conflict, a lock that was not free, or when the same command id was in use in another process."""
    return isinstance(answer, Failed) and (answer.sqlstate in (CONFLICT, *WAITED) or answer.constraint == IDS)


def _has_waited(answer: _Outcome) -> bool:
    """Whether it has waited as long as a command may."""
    return isinstance(answer, Failed) and answer.sqlstate == WAITED[0]
