"""Awaiting several coroutines at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def all_of(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all. If one fails, its error is raised and the others are cancelled."""
    coroutines = list(work)
    if len(coroutines) == 1:
        return [await coroutines[0]]  # a task of its own would take longer than most of what is awaited here
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def first_of(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Return when the first is done, and cancel the others. Raises: what the first one raises."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
