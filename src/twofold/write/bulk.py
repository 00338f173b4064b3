"""Many independent calls, such as an import: concurrent, and no faster than readers can cope with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from operator import length_hint
from typing import Any

import msgspec

from twofold.feed.standing import Pace
from twofold.messages import Receipt
from twofold.progress import Progress
from twofold.write.decider import Done

Call = Callable[[], Awaitable[Done[Any, Any] | Receipt]]


class Bulk(msgspec.Struct):
    """The result: calls that are done, how many of them were repeated, and the events appended."""

    calls: int = 0
    repeated: int = 0
    events: int = 0

    def add(self, receipt: Receipt) -> None:
        """Count a call that is done."""
        self.calls += 1
        self.repeated += receipt.repeated
        self.events += 0 if receipt.repeated else receipt.events


async def bulk(calls: Iterable[Call], pace: Pace, at_once: int, progress: Progress) -> Bulk:
    """Make the calls in order, `at_once` of them concurrently. See `Running.bulk`."""
    todo, total, made = iter(calls), length_hint(calls, 0), Bulk()
    errors: list[Exception] = []

    async def make_calls() -> None:
        for call in todo:
            await pace.keep()
            if errors:
                return
            result = await call()
            receipt = result.receipt if isinstance(result, Done) else result
            pace.count(0 if receipt.repeated else receipt.events)
            made.add(receipt)
            progress("imported", made.calls, max(total, made.calls))

    async def make_calls_until_one_fails() -> None:
        try:
            await make_calls()
        except Exception as error:  # errors of the calls, or of the iterable, are for the caller
            errors.append(error)

    await asyncio.gather(*(make_calls_until_one_fails() for _ in range(at_once)))
    if errors:
        raise errors[0]
    return made
