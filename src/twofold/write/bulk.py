"""A bulk of calls, such as an import: many at once, each on its own, no faster than those who read can bear."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from operator import length_hint
from typing import Any, Protocol

import msgspec

from twofold.messages import Receipt
from twofold.progress import Progress
from twofold.write.decider import Done

Call = Callable[[], Awaitable[Done[Any, Any] | Receipt]]


class Pace(Protocol):
    """Says when more may be appended."""

    def count(self, events: int) -> None:
        """So many events were appended."""
        ...

    async def keep(self) -> None:
        """Return when more may be."""
        ...


class Bulk(msgspec.Struct):
    """What a bulk came to: calls that are done, how many of them had been done before, and the events appended."""

    calls: int = 0
    repeated: int = 0
    events: int = 0

    def add(self, receipt: Receipt) -> None:
        """One more call is done."""
        self.calls += 1
        self.repeated += receipt.repeated
        self.events += 0 if receipt.repeated else receipt.events


async def bulk(calls: Iterable[Call], pace: Pace, at_once: int, progress: Progress) -> Bulk:
    """Make the calls in order, `at_once` of them side by side. See `Running.bulk`."""
    todo, total, made = iter(calls), length_hint(calls, 0), Bulk()
    errors: list[Exception] = []

    async def make_calls() -> None:
        for call in todo:
            await pace.keep()
            if errors:
                return
            answer = await call()
            receipt = answer.receipt if isinstance(answer, Done) else answer
            pace.count(0 if receipt.repeated else receipt.events)
            made.add(receipt)
            progress("imported", made.calls, max(total, made.calls))

    async def make_calls_until_one_fails() -> None:
        try:
            await make_calls()
        except Exception as error:  # whatever the calls, or what makes them, raise is the caller's
            errors.append(error)

    await asyncio.gather(*(make_calls_until_one_fails() for _ in range(at_once)))
    if errors:
        raise errors[0]
    return made
