"""Queries and mutations of your own, where a rule is not enough. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_type_hints

from twofold.api.actors import Allow
from twofold.api.served import Input, check_allow
from twofold.errors import ConfigurationError
from twofold.signatures import is_coroutine_function

Resolve = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Resolver:
    """A coroutine function whose first parameter is the request (`asked`), and whose others are arguments."""

    kind: Literal["query", "mutation"]
    name: str
    function: Resolve
    allow: Allow | None

    @property
    def owner(self) -> str:
        """How errors name it."""
        return f"{self.kind} {self.name!r}"

    @cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(self.function, include_extras=True)
        except NameError as error:
            raise ConfigurationError(
                f"{self.owner}: its annotations cannot be read ({error}); define the types at module level"
            ) from error

    @cached_property
    def inputs(self) -> dict[str, Input]:
        """Its arguments."""
        _, *parameters = inspect.signature(self.function).parameters.values()
        return {
            one.name: Input(self._hints[one.name], required=one.default is inspect.Parameter.empty)
            for one in parameters
        }

    @property
    def returns(self) -> Any:
        """The annotation of what it returns."""
        return self._hints["return"]

    def check(self) -> None:
        """Raises: ConfigurationError."""
        if not is_coroutine_function(self.function):
            raise ConfigurationError(f"{self.owner} must be a coroutine function: async def {self.name}(asked, …)")
        parameters = list(inspect.signature(self.function).parameters.values())
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        if not parameters or any(one.kind not in named for one in parameters):
            raise ConfigurationError(f"{self.owner} must take the request first, and its arguments by name")
        for name in (*(one.name for one in parameters[1:]), "return"):
            if name not in self._hints:
                raise ConfigurationError(f"{self.owner}: annotate {name!r}: GraphQL describes it by its type")
        check_allow(self.allow, self.owner)
