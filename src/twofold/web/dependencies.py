"""Dependencies of a route, solved faster than FastAPI does where all of them are simple.

FastAPI's resolver supports whatever a function may declare. For a read that declares a key, a token and a limit it
takes longer than the read itself. A route for which `solver` returns None is left to FastAPI, and so is every route
of an app with `dependency_overrides`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, cast, get_args, get_type_hints

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant
from pydantic import BaseModel

from twofold.web.parameters import takes_several

_SIMPLE = frozenset(
    {"path_params", "query_params", "header_params", "dependencies"}
    | {"name", "call", "request_param_name", "use_cache", "path", "scope"}
)
"""What a simple function may declare. Anything else, also what FastAPI adds in the future, is left to FastAPI."""
_SIMPLE_DEFAULTS = (str, int, float, bool, type(None))
_NO_OVERRIDES: Mapping[Any, Any] = MappingProxyType({})


class Solver:
    """Finds the arguments of one function. Made by `solver`."""

    def __init__(self, dependant: Dependant) -> None:
        self.call: Callable[..., Awaitable[Any]] = cast("Callable[..., Awaitable[Any]]", dependant.call)
        self._request = dependant.request_param_name
        self._dependencies = [(dependency.name, Solver(dependency)) for dependency in dependant.dependencies]
        places = (
            ("path", dependant.path_params),
            ("query", dependant.query_params),
            ("header", dependant.header_params),
        )
        self._fields = [(place, field, field.alias) for place, declared in places for field in declared]

    async def arguments(self, request: Request, errors: list[Any]) -> dict[str, Any]:
        """By name. Values that are not valid are added to `errors`, in FastAPI's format."""
        arguments: dict[str, Any] = {}
        for name, dependency in self._dependencies:
            count = len(errors)
            inner = await dependency.arguments(request, errors)
            if len(errors) == count:
                value = await dependency.call(**inner)
                if name is not None:
                    arguments[name] = value
        sent: Mapping[str, Mapping[str, str]] = {
            "path": request.path_params,
            "query": request.query_params,
            "header": request.headers,
        }
        for place, field, alias in self._fields:
            text = sent[place].get(alias)
            if text is None:
                arguments[field.name] = field.field_info.default
            else:
                arguments[field.name], invalid = field.validate(text, arguments, loc=(place, alias))
                errors += invalid or ()
        if self._request is not None:
            arguments[self._request] = request
        return arguments


def solver(dependant: Dependant) -> Solver | None:
    """A solver that does exactly what FastAPI would; None where only FastAPI itself can.

    Simple are coroutine functions that take the request, path parameters, and single headers and query parameters
    with a plain default. A function that is declared twice is called once by FastAPI, so it is not simple either.
    """
    dependants = list(with_dependencies(dependant))
    calls = {declared.call for declared in dependants}
    decorated = any(declared.call is not inspect.unwrap(_call(declared)) for declared in dependants[1:])
    is_simple = (
        returns_response(_call(dependant))
        and len(calls) == len(dependants)
        and not decorated
        and all(map(_is_simple, dependants))
    )
    return Solver(dependant) if is_simple else None


def with_dependencies(dependant: Dependant, overrides: Mapping[Any, Any] = _NO_OVERRIDES) -> Iterator[Dependant]:
    """The parameters of a function, and those of its dependencies, recursively."""
    yield dependant
    for declared in dependant.dependencies:
        override = overrides.get(declared.call)
        actual = declared if override is None else get_dependant(path=declared.path or "", call=override)
        yield from with_dependencies(actual, overrides)


def returns_response(endpoint: Callable[..., Any]) -> bool:
    """Whether a function is annotated to return a `Response`."""
    returns = get_type_hints(endpoint).get("return")
    return isinstance(returns, type) and issubclass(returns, Response)


def _call(dependant: Dependant) -> Callable[..., Any]:
    return cast("Callable[..., Any]", dependant.call)


def _is_simple(dependant: Dependant) -> bool:
    return (
        not any(getattr(dependant, field.name) for field in fields(Dependant) if field.name not in _SIMPLE)
        and inspect.iscoroutinefunction(dependant.call)
        and all(type(field.field_info.default) in _SIMPLE_DEFAULTS for field in _optional(dependant))
        and all(map(_is_single, [*dependant.path_params, *_optional(dependant)]))
    )


def _optional(dependant: Dependant) -> list[Any]:
    return [*dependant.query_params, *dependant.header_params]


def _is_single(field: Any) -> bool:
    """Whether a parameter is one value, found under one name, whose default stands as it is."""
    info = field.field_info
    parts = (info.annotation, *get_args(info.annotation))
    return (
        info.validation_alias in (None, info.alias)
        and not info.validate_default
        and not field.config
        and not takes_several(info.annotation)
        and not any(isinstance(part, type) and issubclass(part, BaseModel) for part in parts)
    )
