"""The classes that a function accepts are read from its annotations, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NewType, Optional, Union

import pytest

from twofold import ConfigurationError
from twofold.signatures import may_answer_none, message_types, unwrapped

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
New = NewType("New", A)
Newer = NewType("Newer", New)  # type: ignore[valid-newtype]
Text = NewType("Text", str)


def one(event: A, state: int) -> None: ...
def several(event: A | B | C, state: int) -> None: ...
def older(event: Union[A, B], state: int) -> None: ...  # noqa: UP007 (it has to be read too)
def named(event: Two | C, state: int) -> None: ...
def annotated(event: Annotated[A | B, "why"], state: int) -> None: ...
def repeated(event: Two | B | A, state: int) -> None: ...
def new(event: New | B, state: int) -> New | None: ...
def newer(event: Annotated[Newer, "why"] | C | None, state: int) -> Newer: ...  # type: ignore[empty-body]
def text(event: Text, state: int) -> None: ...
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
        (new, (A, B)),
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
        (newer, "NoneType"),
        (text, "str"),
        (hidden, "Elsewhere.*module level"),
        (short, "must take 2 parameters"),
        (long, "must take 2 parameters, but takes 3"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(function: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as refused:
        message_types(function, parameters=2, index=0, owner="decider 'x'")
    assert str(refused.value).startswith(f"decider 'x': {function.__qualname__}")


def test_a_new_type_is_the_type_that_it_is_made_of() -> None:
    assert unwrapped(Newer) is A
    assert unwrapped(Annotated[Annotated[Newer, 1], 2]) is A
    assert unwrapped(list[New]) == list[New]
    assert may_answer_none(new)
    assert not may_answer_none(newer)
