"""User code that is awaited: how its failures are distinguished from the cancellation of the task that awaits it.

See `failures` for plain functions. Awaited code may raise `CancelledError` for its own reasons; only the number of
cancellation requests to the awaiting task shows that this task must stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TypeVar

from twofold.failures import failure

T = TypeVar("T")


def awaited_failure(error: BaseException) -> BaseException:
    """Return the error as a failure of what was awaited. Raises: the error, if this task itself must stop."""
    if issubclass(type(error), asyncio.CancelledError) and is_to_stop():  # see `failure`
        raise error
    return failure(error)


async def apart(work: Awaitable[T]) -> T:
    """Await user code in a task of its own, which it may cancel without stopping ours. Raises: its errors."""
    try:
        result, error = await asyncio.ensure_future(caught(work))
    finally:
        if isinstance(work, Coroutine):
            work.close()  # if it never started, Python would report it as never awaited
    if is_to_stop():  # even if user code swallowed the cancellation
        raise asyncio.CancelledError
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # without an error there is one


async def caught(work: Awaitable[T]) -> tuple[T | None, BaseException | None]:
    """The result, or the error that was raised. A `SystemExit` must not leave a task: it would end the event loop."""
    try:
        return await work, None
    except BaseException as error:
        return None, failure(error)


def is_to_stop() -> bool:
    """Whether this task was asked to stop, even if another error has taken the place of the cancellation."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
