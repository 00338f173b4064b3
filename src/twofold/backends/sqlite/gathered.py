"""Calls that are made while others run are run together: one change of threads for all of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import apsw

from twofold.backends.sqlite.connection import Connection
from twofold.errors import TwofoldError

A = TypeVar("A")
R = TypeVar("R")

AT_ONCE = 64


class Gathered(Generic[A, R]):
    """Calls of one event loop. `work` gets the arguments of some calls, and returns their results in this order."""

    def __init__(self, connection: Connection, work: Callable[[apsw.Connection, Sequence[A]], Sequence[R]]) -> None:
        self._connection, self._work = connection, work
        self._waiting: deque[tuple[A, asyncio.Future[R]]] = deque()
        self._taken: list[tuple[A, asyncio.Future[R]]] = []
        self._is_running = False

    async def run(self, argument: A) -> R:
        """Raises: what `work` raises for the calls that ran together, and as `Connection.run`."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((argument, future))
        if not self._is_running:
            self._start()
        return await future

    def _start(self) -> None:
        self._taken = []
        try:
            running = self._connection.submit(self._run)
        except TwofoldError as error:  # it is closed
            self._fail(error)
            return
        self._is_running = True
        running.add_done_callback(self._settle)

    def _run(self, db: apsw.Connection) -> Sequence[R]:
        """On the connection's thread: whatever has been asked for by now."""
        while self._waiting and len(self._taken) < AT_ONCE:
            self._taken.append(self._waiting.popleft())
        return self._work(db, [argument for argument, _ in self._taken])

    def _settle(self, done: asyncio.Future[Sequence[R]]) -> None:
        self._is_running = False
        error = done.exception()
        if error is not None:
            self._fail(error)
        else:
            for (_, future), result in zip(self._taken, done.result(), strict=True):
                if not future.done():
                    future.set_result(result)
        if self._waiting:
            self._start()

    def _fail(self, error: BaseException) -> None:
        """For the calls that ran, or, if none did, for all that wait."""
        failed = self._taken or list(self._waiting)
        if not self._taken:
            self._waiting.clear()
        for _, future in failed:
            if not future.done():
                future.set_exception(error)
