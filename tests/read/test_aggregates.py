"""Each field of a rollup, by the rows that come into a group and leave it, is what plain Python makes of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.read.aggregates import Aggregate, Ask, Change, computed
from twofold.read.columns import Column
from twofold.read.quick import Unsure, initial, steps

Row = tuple[int, Any]


def some(rows: Sequence[Row]) -> list[Any]:
    return [value for _, value in rows if value is not None]


PLAIN: Mapping[Aggregate, Callable[[Sequence[Row]], Any]] = {
    Aggregate("count"): len,
    Aggregate("count", "value"): lambda rows: len(some(rows)),
    Aggregate("total", "value"): lambda rows: sum(some(rows)),
    Aggregate("maximum", "value"): lambda rows: max(some(rows), default=None),
    Aggregate("latest", "value"): lambda rows: max(some(rows), default=None),
    Aggregate("minimum", "value"): lambda rows: min(some(rows), default=None),
    Aggregate("distinct", "value"): lambda rows: len(set(some(rows))),
}
PLACES = {"id": 0, "value": 1}
GROUP = ("group",)

values = {
    "integer": st.none() | st.integers(-2, 2),
    "decimal": st.none() | st.sampled_from([Decimal("-0.1"), Decimal(0), Decimal("0.10"), Decimal(3)]),
}
fields = pytest.mark.parametrize(
    ("kind", "of"), [(kind, of) for kind in values for of in PLAIN], ids=lambda one: str(getattr(one, "operation", one))
)


def field_of(kind: str, of: Aggregate) -> Column:
    return Column("field", "integer" if of.operation in ("count", "distinct") else kind, nullable=True)


def answer(ask: Ask, others: Sequence[Row]) -> Any:
    """What the source says of the rows that have not changed."""
    found = some(others)
    match ask.what:
        case "any":
            return bool(others)
        case "value":
            return ask.value in found
        case "greatest":
            return max(found, default=None)
        case "least":
            return min(found, default=None)


@fields
@given(data=st.data())
def test_whatever_comes_and_goes(kind: str, of: Aggregate, data: st.DataObject) -> None:
    """Also a value that one row loses and another one gets."""
    drawn = [data.draw(st.lists(values[kind], max_size=4), name) for name in ("others", "left", "came")]
    others, left, came = (list(enumerate(some_values)) for some_values in drawn)
    field, plain = computed(of, field_of(kind, of), PLACES), PLAIN[of]
    change = Change()
    change.left, change.came = {(number,): (number, value) for number, value in left}, list(came)
    before = plain([*others, *left]) if others or left else None
    answers = {ask: answer(ask, others) for ask in field.asks(GROUP, before, change)}
    assert field.next(GROUP, before, change, answers) == plain([*others, *came])


@fields
@given(data=st.data())
def test_the_quick_way_leads_to_the_same_or_says_that_it_does_not(
    kind: str, of: Aggregate, data: st.DataObject
) -> None:
    others = list(enumerate(data.draw(st.lists(values[kind], max_size=4), "others")))
    old, new = (9, data.draw(values[kind], "old")), (9, data.draw(values[kind], "new"))
    plain, (come, stay) = PLAIN[of], steps(of, field_of(kind, of), PLACES.get(of.column or "", 0))
    before = plain(others) if others else initial(of, field_of(kind, of))
    with suppress(Unsure):
        assert come(before, new) == plain([*others, new])
    with suppress(Unsure):
        assert stay(plain([*others, old]), old, new) == plain([*others, new])
