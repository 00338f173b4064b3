"""The protocol between a side and its parent: a request is one line of JSON on standard input, the answer one line on
standard output. Only the standard library is used, so that every side's Python can import this.
"""

import asyncio
import inspect
import json
import os
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO


@dataclass
class Clocked:
    """The duration of each of many equal calls, and of all together."""

    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def answer(self, **more: Any) -> dict[str, Any]:
        """The answer of a side."""
        return {
            "count": len(self.latencies_s),
            "seconds": self.seconds,
            "p50_ms": percentile(self.latencies_s, 0.50) * 1_000,
            "p99_ms": percentile(self.latencies_s, 0.99) * 1_000,
            **more,
        }


def percentile(values: list[float], share: float) -> float:
    """The value that this share of all values does not exceed; 0 without values."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


async def callers(calls: Sequence[Callable[[], Awaitable[object]]], seconds: float) -> Clocked:
    """Run one caller for each of these for `seconds`: each makes its next call when the last one has returned."""
    clocked = Clocked()
    clock = time.perf_counter
    began = clock()
    end = began + seconds

    async def caller(call: Callable[[], Awaitable[object]]) -> None:
        while (before := clock()) < end:
            await call()
            clocked.latencies_s.append(clock() - before)

    await asyncio.gather(*(caller(call) for call in calls))
    clocked.seconds = clock() - began
    return clocked


async def steadily(per_second: float, seconds: float) -> AsyncIterator[int]:
    """Numbers from 0, each at its time."""
    began = time.monotonic()
    for number in range(int(per_second * seconds)):
        await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
        yield number


def serve(side: object) -> None:
    """Let the parent call the side's methods until it closes standard input."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # output of a library must not look like an answer
    try:
        import uvloop
    except ModuleNotFoundError:
        asyncio.run(_serve(side, answers))
    else:
        uvloop.run(_serve(side, answers))


async def _serve(side: object, answers: TextIO) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        try:
            answer = getattr(side, request.pop("do"))(**request)
            answer = await answer if inspect.isawaitable(answer) else answer
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
