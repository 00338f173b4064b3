"""Which message classes a function takes, read from its annotations. Nothing else is derived from a signature."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from twofold.errors import ConfigurationError


def message_types(
    function: Callable[..., Any], parameters: int, index: int, owner: str, *, may_await: bool = False
) -> tuple[type, ...]:
    """The classes in the annotation of parameter `index` of a function with exactly `parameters` parameters.

    Raises: ConfigurationError, naming `owner`, the function and the parameter.
    """
    check_accepts(function, parameters, owner, may_await=may_await)
    name = f"{owner}: {getattr(function, '__qualname__', function)}"
    names = list(inspect.signature(function).parameters)
    if len(names) != parameters:
        raise ConfigurationError(f"{name} must take {parameters} parameters, but takes {len(names)}")
    parameter = names[index]
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise ConfigurationError(
            f"{name}: the annotation of {parameter} cannot be read ({error}); define the classes at module level"
        ) from error
    if parameter not in hints:
        raise ConfigurationError(f"{name}: annotate {parameter} with the classes it takes, like `A | B`")
    messages = tuple(dict.fromkeys(_flatten(hints[parameter])))
    for message in messages:
        if not isinstance(message, type) or message in (Any, type(None)) or message.__module__ == "builtins":
            raise ConfigurationError(f"{name}: {parameter} must be annotated with message classes, not {message!r}")
    return messages


def check_accepts(function: Callable[..., Any], parameters: int, owner: str, *, may_await: bool = False) -> None:
    """Check that this is a function, plain unless `may_await`, that takes this number of arguments.

    Raises: ConfigurationError.
    """
    name = f"{owner}: {getattr(function, '__qualname__', function)}"
    if not callable(function) or (inspect.iscoroutinefunction(function) and not may_await):
        wanted = "function" if may_await else "plain function: it has to be pure, so it cannot await anything"
        raise ConfigurationError(f"{name} must be a {wanted}")
    try:
        inspect.signature(function).bind(*[None] * parameters)
    except TypeError:
        raise ConfigurationError(f"{name} must take {parameters} parameters") from None


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether calling it returns a coroutine: an `async def`, or an object with such a `__call__`."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def may_answer_none(function: Callable[..., Any]) -> bool:
    """Whether the return annotation includes None. A function without one may return anything."""
    returned = get_type_hints(function).get("return", Any)
    return returned is Any or type(None) in _flatten(returned) or None in _flatten(returned)


def unwrapped(annotation: Any) -> Any:
    """The type without any NewType, `type X = …` or Annotated around it."""
    while True:
        if hasattr(annotation, "__supertype__"):  # NewType("Placed", A)
            annotation = annotation.__supertype__
        elif hasattr(annotation, "__value__"):  # type Event = A | B
            given = get_args(annotation)  # type Maybe[A] = A | None
            annotation = annotation.__value__[given] if given else annotation.__value__
        elif get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        else:
            return annotation


def _flatten(annotation: Any) -> list[Any]:
    annotation = unwrapped(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return [message for part in get_args(annotation) for message in _flatten(part)]
    return [annotation]
