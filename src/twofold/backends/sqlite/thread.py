"""A thread that runs one call after another for an event loop.

concurrent.futures has such threads too, but they cost 10 µs more for each call of 20 µs (measured).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_Call = tuple["asyncio.Future[Any]", Callable[[], Any]]


class Thread:
    """Runs calls in the order they were made. Ends with `end`, or with the program."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._name = name
        self._thread: threading.Thread | None = None

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """The future of what `work` returns or raises. If cancelled before it starts, `work` does not run."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((future, work))
        return future

    async def run(self, work: Callable[[], T]) -> T:
        """Like `submit`; returns or raises what `work` does."""
        return await self.submit(work)

    def end(self, *, wait: bool = True) -> None:
        """End the thread, once the calls already made have run. Blocks until then, unless `wait` is False."""
        if self._thread is not None:
            self._calls.put(None)
            if wait:
                self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            future, work = call
            if future.cancelled():
                continue
            outcome: Any = None
            error: BaseException | None = None
            try:
                outcome = work()
            except BaseException as raised:  # any error belongs to the caller
                error = raised
            loop = future.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, future, outcome, error)
            del call, future, work, outcome, error  # a waiting thread must keep nothing alive


def _resolve(future: asyncio.Future[T], outcome: T, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(outcome)
