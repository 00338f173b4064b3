"""The quick check is true for nearly every value, and false if a class or collection is not exactly the annotated."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest

from twofold.codec.exact import exactly


@dataclass
class Item:
    name: str = ""


class Better(Item):
    pass


class Struct(msgspec.Struct):
    item: Item


class Typed(TypedDict, total=False):
    item: Item
    name: str


class Pair(NamedTuple):
    a: int
    b: Item


class Text(str):
    __slots__ = ()


class Ints(list[int]):
    pass


class Same(set[int]):
    pass


@pytest.mark.parametrize(
    ("annotation", "yes", "no"),
    [
        (Item, [Item(), Item(Text("a"))], [Better(), "a"]),
        (Struct, [Struct(Item())], [Struct(Better())]),
        (list[int], [[], [1], (1,), [Text("a")]], [Ints(), "a"]),
        (tuple[int, ...], [(), (1,), [1]], [Ints(), (Pair(1, Item()))]),
        (list[Item], [[], [Item()], (Item(),)], [[Better()], [Item(), Better()], Ints()]),
        (tuple[int, Item], [(1, Item()), [1, Item()]], [(1, Better()), Pair(1, Item())]),
        (set[int], [{1}, frozenset()], [Same(), [1]]),
        (frozenset[int], [{1}, frozenset()], [Same()]),
        (dict[str, int], [{}, {"a": 1}], [Counter()]),
        (dict[str, list[Item]], [{}, {"a": [Item()]}], [{"a": [Better()]}, {"a": Ints()}, Counter()]),
        (dict[int, int], [{}, {1: 1}], [{True: 1}, {0: 1, True: 1}, {1.5: 1}]),
        (dict[float, int], [{0.5: 1}], [{Decimal("0.5"): 1}, {True: 1}]),
        (dict[Decimal, int], [{Decimal("0.5"): 1}], [{0.5: 1}, {True: 1}]),
        (dict[int | str, int], [{1: 1, "a": 1}], [{True: 1}]),
        (dict[Literal[1], int], [{}], [{True: 1}]),
        (Typed, [{}, {"item": Item()}, {"name": "a"}], [{"item": Better()}, Counter()]),
        (Item | None, [None, Item(), 1], [Better(), [Item()]]),
        (int | list[Item], [1, [], [Item()]], [[Better()], Ints()]),
    ],
)
def test_what_is_exactly_the_annotated(annotation: Any, yes: list[Any], no: list[Any]) -> None:
    check = exactly(msgspec.inspect.type_info(annotation))
    assert check is not None
    assert [check(value) for value in yes] == [True] * len(yes)
    assert [check(value) for value in no] == [False] * len(no)


@pytest.mark.parametrize("annotation", [int, str | None, float])
def test_single_values_need_no_check(annotation: Any) -> None:
    assert exactly(msgspec.inspect.type_info(annotation)) is None
