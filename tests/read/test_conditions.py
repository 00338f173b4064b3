"""The operators of `find`, as conditions for a store."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import pytest

from twofold import Projection
from twofold.errors import ConfigurationError, InvalidQuery
from twofold.read.conditions import MAX_MEMBERS, MAX_VALUES, OPERATORS, conditions_of, query_of
from twofold.read.store import Condition
from twofold.testing.conformance.rows import nothing

Size = Enum("Size", {"SMALL": "s", "LARGE": "l"})


@dataclass(frozen=True)
class Thing:
    id: str
    text: str | None = None
    count: int = 0
    size: Size = Size.SMALL
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    nested: dict[str, int] | None = None
    from_: int = 0


things = Projection("thing", Thing, nothing)
COLUMNS = {column.name: column for column in things.format.columns}
SAMPLE: dict[str, Any] = {"text": "x", "integer": 1, "json": "x"}


def of(**conditions: Any) -> list[Condition]:
    return conditions_of(things, conditions)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("field", COLUMNS)
def test_an_operator_takes_what_it_says(operator: str, field: str) -> None:
    """`suits`, `several`, `most` and `none` are true for every kind of field."""
    takes, column = OPERATORS[operator], COLUMNS[field]
    value = SAMPLE[column.kind]

    def accepted(given: Any) -> bool:
        try:
            return bool(of(**{f"{field}{takes.suffix}": given}))
        except InvalidQuery:
            return False

    suits = takes.suits(column)
    assert accepted([value] if takes.several else value) is suits
    assert accepted([value] * takes.most if takes.several else value) is suits
    assert not accepted([value] * (takes.most + 1))
    assert accepted([None] if takes.several else None) is (operator in ("eq", "ne") or (suits and takes.none))
    assert not suits or accepted([]) is takes.several


def test_the_limits_of_several_values() -> None:
    assert (OPERATORS["in"].most, OPERATORS["contains"].most) == (MAX_VALUES, MAX_MEMBERS) == (1_000, 100)


def test_values_mean_what_they_mean_in_a_row() -> None:
    assert of(size=Size.LARGE) == of(size="l") == [Condition("size", "eq", "l")]
    assert of(size__in=[Size.SMALL, "l", "s"]) == [Condition("size", "in", ("l", "s"))]
    assert of(size__ne=Size.SMALL) == [Condition("size", "ne", "s")]
    assert of(size__startswith="s") == [Condition("size", "ge", "s"), Condition("size", "lt", "t")]
    assert of(from___in=[1]) == [Condition("from_", "in", (1,))]
    assert of(count__in=[1, 8, 64]) == of(count__in={64, 8, 1}) == [Condition("count", "in", (1, 8, 64))]


def test_a_set_has_one_order() -> None:
    """A cursor is valid in any process, whatever order a set has there."""
    assert (
        of(text__in={"b", "a", None})
        == of(text__in=[None, "a", "b", "a"])
        == [Condition("text", "in", (None, "a", "b"))]
    )


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        ("a", "b"),
        ("a%_\\", "a%_]"),
        ("Az", "A{"),
        ("\ud7ff", "\ue000"),
        ("a\U0010ffff", "b"),
        ("a\U0010ffff\U0010ffff", "b"),
        ("\uffff", "\U00010000"),
    ],
)
def test_a_beginning_is_a_range(prefix: str, end: str) -> None:
    assert of(text__startswith=prefix) == [Condition("text", "ge", prefix), Condition("text", "lt", end)]


@pytest.mark.parametrize("prefix", ["", "\U0010ffff", "\U0010ffff" * 3])
def test_a_range_without_an_end(prefix: str) -> None:
    assert of(text__startswith=prefix) == [Condition("text", "ge", prefix)]


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        (
            {"count__near": 1},
            "count__near: the operators are __ne, __gt, __ge, __lt, __le, __in, __startswith, __contains",
        ),
        ({"count__startswith": "1"}, "count__startswith: count is not a text"),
        ({"count__contains": 1}, "count__contains: count is not a list"),
        ({"names__in": ["a"]}, "names__in: names is kept as JSON and can only be compared with None"),
        ({"count__in": 3}, "count__in takes a list of values, not 3; for equality write count="),
        ({"count__in": [0] * 1_001}, "count__in takes at most 1,000 values, not 1,001; ask in several queries"),
        ({"count__in": [1, "2"]}, "Thing.count: not an integer: '2'"),
        ({"names__contains": ["a"] * 101}, "names__contains takes at most 100 members, not 101; search for fewer"),
        ({"text__startswith": None}, "text__startswith: None can only be compared for equality; write text=None"),
        ({"nothing": 1}, "thing has no field 'nothing'; it has id, text, count, size, kind, names, nested, from_"),
    ],
    ids=str,
)
def test_errors_say_how_to_go_on(conditions: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        of(**conditions)
    assert str(refused.value) == says


def test_a_scope_adds_to_the_conditions() -> None:
    """Also on the same field with the same operator."""
    query = query_of(things, {"count": 1, "names__contains": ["a"]}, (), 5, {"count": 2, "names__contains": "b"})
    assert query.conditions == [
        Condition("count", "eq", 1),
        Condition("names", "contains", "a"),
        Condition("count", "eq", 2),
        Condition("names", "contains", "b"),
    ]


def test_a_wrong_scope_is_no_fault_of_the_caller() -> None:
    with pytest.raises(ConfigurationError) as refused:
        conditions_of(things, {}, {"owner": "me"})
    assert str(refused.value).startswith("the scope of thing is not a condition of find: thing has no field 'owner'")
