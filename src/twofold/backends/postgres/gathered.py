"""Calls that are made while others run are run together: one statement for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")

STATEMENTS = 2  # at a time: more would be smaller ones
AT_ONCE = 64


class Gathered(Generic[A, R]):
    """Calls of one event loop. `work` gets the arguments of some calls, and returns their results in this order.

    At most `most` statements run at a time.
    """

    def __init__(self, work: Callable[[Sequence[A]], Awaitable[Sequence[R]]], most: int = STATEMENTS) -> None:
        self._work, self._most = work, most
        self._waiting: list[tuple[A, asyncio.Future[R]]] = []
        self._running: set[asyncio.Task[None] | None] = set()

    async def run(self, argument: A) -> R:
        """Raises: what `work` raises for the calls that ran together."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((argument, future))
        if len(self._running) < self._most:
            self._running.add(asyncio.create_task(self._serve(), name="twofold gathers calls"))
        return await future

    async def _serve(self) -> None:
        try:
            while self._waiting:
                await self._serve_some()
        finally:
            self._running.discard(asyncio.current_task())  # at once: the next call must not wait for this task

    async def _serve_some(self) -> None:
        taken, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
        try:
            results = await self._work([argument for argument, _ in taken])
        except asyncio.CancelledError:
            for _, future in taken:
                future.cancel()
            raise
        except Exception as error:
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), result in zip(taken, results, strict=True):
                if not future.done():
                    future.set_result(result)
