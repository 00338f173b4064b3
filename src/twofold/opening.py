"""Functions entered by `async with`, with a clear error if they are awaited instead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from types import TracebackType
from typing import Generic, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Opening(AbstractAsyncContextManager[T], Generic[T]):
    """What a function decorated with `opens` returns."""

    def __init__(self, name: str, manager: AbstractAsyncContextManager[T]) -> None:
        self._name, self._manager = name, manager

    async def __aenter__(self) -> T:
        return await self._manager.__aenter__()

    async def __aexit__(
        self, cls: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._manager.__aexit__(cls, error, traceback)

    def __await__(self) -> NoReturn:
        raise TypeError(f"{self._name}(…) cannot be awaited: write `async with {self._name}(…) as running:`")


def opens(name: str) -> Callable[[Callable[P, AsyncIterator[T]]], Callable[P, Opening[T]]]:
    """Turn a generator function into one that is entered by `async with`. `name` is how the caller writes it."""

    def made_of(function: Callable[P, AsyncIterator[T]]) -> Callable[P, Opening[T]]:
        manager = asynccontextmanager(function)

        @wraps(function)
        def opened(*args: P.args, **kwargs: P.kwargs) -> Opening[T]:
            return Opening(name, manager(*args, **kwargs))

        return opened

    return made_of
