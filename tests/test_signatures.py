"""The classes that a function takes are read from its annotations, and nothing is guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Optional, Union

import pytest

from twofold import ConfigurationError
from twofold.signatures import message_types

if TYPE_CHECKING:
    from somewhere import Elsewhere


@dataclass
class A:
    pass


@dataclass
class B:
    pass


@dataclass
class C:
    pass


Two = A | B


def one(event: A, state: int) -> None: ...
def several(event: A | B | C, state: int) -> None: ...
def older(event: Union[A, B], state: int) -> None: ...  # noqa: UP007 (it has to be read too)
def named(event: Two | C, state: int) -> None: ...
def annotated(event: Annotated[A | B, "why"], state: int) -> None: ...
def repeated(event: Two | B | A, state: int) -> None: ...
def without(event, state: int) -> None: ...  # type: ignore[no-untyped-def]
def optional(event: Optional[A], state: int) -> None: ...  # noqa: UP045
def anything(event: Any, state: int) -> None: ...
def plain(event: object, state: int) -> None: ...
def builtin(event: A | dict, state: int) -> None: ...  # type: ignore[type-arg]
def generic(event: list[A], state: int) -> None: ...
def hidden(event: Elsewhere, state: int) -> None: ...
def short(event: A) -> None: ...
def long(event: A, state: int, more: int = 0) -> None: ...


class Callables:
    def method(self, event: A | B, state: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (one, (A,)),
        (several, (A, B, C)),
        (older, (A, B)),
        (named, (A, B, C)),
        (annotated, (A, B)),
        (repeated, (A, B)),
        (Callables().method, (A, B)),
    ],
)
def test_the_classes_in_the_order_of_the_annotation(function: Any, found: tuple[type, ...]) -> None:
    assert message_types(function, parameters=2, index=0, owner="decider 'x'") == found


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (without, "annotate event"),
        (lambda event, state: None, "annotate event"),
        (optional, "NoneType"),
        (anything, "Any"),
        (plain, "object"),
        (builtin, "dict"),
        (generic, "list"),
        (hidden, "Elsewhere.*module level"),
        (short, "must take 2 parameters"),
        (long, "must take 2 parameters, it takes 3"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(function: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as refused:
        message_types(function, parameters=2, index=0, owner="decider 'x'")
    assert str(refused.value).startswith(f"decider 'x': {function.__qualname__}")
