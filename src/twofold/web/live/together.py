"""Coroutines that run side by side until the first of them ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first_of(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Run them until one ends, then cancel the others and wait for them.

    Raises: what that one raises; RuntimeError if user code cancelled it.
    """
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in ended:
            if task.cancelled():
                raise RuntimeError("A function of the Api was cancelled by itself")
            task.result()
