"""Calls that are made while others run are run together: one change of threads for all of them.

A change of threads costs more than most reads. One connection takes whatever waits, for a short time; only if it is
still busy then, with a long query, another connection goes on with the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Generic, TypeVar

import apsw

from twofold.backends.sqlite.connection import Connection
from twofold.errors import TwofoldError

A = TypeVar("A")
R = TypeVar("R")

AT_ONCE = 64
TAKING_S = 0.001
PATIENCE_S = 0.002


class Gathered(Generic[A, R]):
    """Calls of one event loop. `work` gets the arguments of some calls, and returns their results in this order."""

    def __init__(
        self, connections: Sequence[Connection], work: Callable[[apsw.Connection, Iterator[A]], Sequence[R]]
    ) -> None:
        self._work, self._idle, self._count = work, list(connections), len(connections)
        self._waiting: deque[tuple[A, asyncio.Future[R]]] = deque()
        self._alone: deque[tuple[A, asyncio.Future[R]]] = deque()
        self._relief: asyncio.TimerHandle | None = None

    async def run(self, argument: A) -> R:
        """Raises: what `work` raises for this argument alone, and as `Connection.run`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((argument, future))
        if len(self._idle) == self._count:
            self._start()
        elif self._relief is None:
            self._relief = loop.call_later(PATIENCE_S, self._relieve)
        return await future

    def _relieve(self) -> None:
        self._relief = None
        if self._waiting and self._idle:
            self._start()

    def _start(self) -> None:
        connection = self._idle.pop()
        taken = [self._alone.popleft()] if self._alone else []
        try:
            running = connection.submit(self._run, taken)
        except TwofoldError as error:  # it is closed
            self._idle.append(connection)
            taken += self._alone
            self._alone.clear()
            self._fail(taken, error)
            self._fail([], error)
        else:
            running.add_done_callback(partial(self._settle, connection, taken))

    def _run(self, db: apsw.Connection, taken: list[tuple[A, asyncio.Future[R]]]) -> Sequence[R]:
        return self._work(db, self._take(taken))

    def _take(self, taken: list[tuple[A, asyncio.Future[R]]]) -> Iterator[A]:
        """On the connection's thread: whatever has been asked for by now."""
        if taken:
            yield taken[0][0]
            return
        until = time.perf_counter() + TAKING_S
        while len(taken) < AT_ONCE:
            try:
                taken.append(self._waiting.popleft())
            except IndexError:
                return
            yield taken[-1][0]
            if time.perf_counter() > until:
                return

    def _settle(
        self, connection: Connection, taken: list[tuple[A, asyncio.Future[R]]], done: asyncio.Future[Sequence[R]]
    ) -> None:
        self._idle.append(connection)
        error = done.exception()
        if error is not None and len(taken) > 1:
            self._alone.extend(taken)  # the fault of one of them
        elif error is not None:
            self._fail(taken, error)
        else:
            for (_, future), result in zip(taken, done.result(), strict=True):
                if not future.done():
                    future.set_result(result)
        if self._waiting or self._alone:
            self._start()

    def _fail(self, taken: list[tuple[A, asyncio.Future[R]]], error: BaseException) -> None:
        """For the call that ran, or, if none did, for all that wait."""
        if not taken:
            taken = list(self._waiting)
            self._waiting.clear()
        for _, future in taken:
            if not future.done():
                future.set_exception(error)
