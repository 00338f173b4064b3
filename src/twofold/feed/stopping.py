"""User code that is awaited: how its failures are told apart from the end of the task that awaits it.

See `failures` for plain functions. An awaited one may raise `CancelledError` for reasons of its own; only the count of
cancellations that were asked of the awaiting task says that this task is to stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TypeVar

from twofold.failures import failure

T = TypeVar("T")


def awaited_failure(error: BaseException) -> BaseException:
    """The error, as a failure of what was awaited. Raises: the error, when it is this task that is to stop."""
    if issubclass(type(error), asyncio.CancelledError) and _is_to_stop():  # see `failure`
        raise error
    return failure(error)


async def apart(work: Awaitable[T]) -> T:
    """Await user code in a task of its own, which it may cancel without stopping ours. Raises: whatever it raises."""
    try:
        answer, error = await asyncio.ensure_future(caught(work))
    finally:
        if isinstance(work, Coroutine):
            work.close()  # stopped before it began, it would be reported as never awaited
    if _is_to_stop():  # also where the user's code has swallowed it
        raise asyncio.CancelledError
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]  # without an error there is one


async def caught(work: Awaitable[T]) -> tuple[T | None, BaseException | None]:
    """The answer, or what was raised. A `SystemExit` must not leave a task: it would end the event loop."""
    try:
        return await work, None
    except BaseException as error:
        return None, failure(error)


def _is_to_stop() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
