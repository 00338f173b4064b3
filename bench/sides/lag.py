"""End-to-end lag of twofold: from the acknowledgement of an append until its row can be read."""

import asyncio
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from bench.orders import event, order_rows
from bench.protocol import percentile
from bench.workload import order_id
from twofold import Running
from twofold.messages import Stream

FOLLOWED_PER_S = 50
WAIT_S = 10.0


class Lag:
    """Appends at a steady rate, however long each takes; some are followed to their rows."""

    def __init__(self, running: Running, numbers: Iterator[int]) -> None:
        self._running, self._numbers = running, numbers

    async def settle(self) -> None:
        """Wait until the follower works and earlier events are folded."""
        await self._append(followed=True, lags_s=[])

    async def measured(self, per_second: int, seconds: float) -> dict[str, Any]:
        """Append for this long."""
        every = max(1, per_second // FOLLOWED_PER_S)
        lags_s: list[float] = []
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(per_second * seconds)):
                await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
                group.create_task(self._append(followed=number % every == 0, lags_s=lags_s))
        return {
            "count": int(per_second * seconds),
            "seconds": time.perf_counter() - began,
            "p50_ms": percentile(lags_s, 0.50) * 1_000,
            "p99_ms": percentile(lags_s, 0.99) * 1_000,
        }

    async def measured_until(self, done: asyncio.Future[Any], per_second: int) -> dict[str, Any]:
        """Append until the task is done; every append is followed."""
        lags_s: list[float] = []
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in count():
                pause_s = max(0.0, began + number / per_second - time.perf_counter())
                if (await asyncio.wait((done,), timeout=pause_s))[0]:
                    break
                group.create_task(self._append(followed=True, lags_s=lags_s))
        return {
            "count": len(lags_s),
            "seconds": time.perf_counter() - began,
            "p50_ms": percentile(lags_s, 0.50) * 1_000,
            "p99_ms": percentile(lags_s, 0.99) * 1_000,
        }

    async def _append(self, followed: bool, lags_s: list[float]) -> None:
        number = next(self._numbers)
        stream = Stream("order", order_id(number))
        receipt = await self._running.append(stream, [event(number)], expected_version=0)
        if followed:
            acknowledged = time.perf_counter()
            row = await self._running.get(order_rows, stream.id, after=receipt, wait_s=WAIT_S)
            lags_s.append(time.perf_counter() - acknowledged)
            if row is None or row.status != "placed":
                raise ValueError(f"the row of order {number} is {row}")
