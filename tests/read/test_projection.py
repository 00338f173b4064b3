"""A read model as a value: its keys, its fold, its rows in memory, and invalid definitions."""

from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from twofold import ConfigurationError, Projection, Recorded
from twofold.testing import recorded, rows


@dataclass(frozen=True)
class Sold:
    product: str
    units: int


@dataclass(frozen=True)
class Dropped:
    product: str


@dataclass(frozen=True)
class Unwanted:
    pass


@dataclass(frozen=True)
class Sales:
    product: str
    units: int = 0
    last: str = ""


def evolve(row: Sales, event: Sold | Dropped, recorded: Recorded) -> Sales | None:
    match event:
        case Sold(_, units):
            return replace(row, units=row.units + units, last=recorded.id)
        case Dropped():
            return None


def by_product(event: Any, recorded: Recorded) -> Any:
    return event.product


sales = Projection("sales", Sales, evolve, key=by_product)
per_stream = Projection("per_stream", Sales, evolve)


def test_a_read_model_is_folded_in_memory_as_from_the_feed() -> None:
    facts = [Sold("a", 1), Sold("b", 2), Unwanted(), Sold("a", 3), Sold("c", 1), Dropped("c")]
    assert rows(sales, *facts) == {"a": Sales("a", 4, "order-1@4"), "b": Sales("b", 2, "order-1@2")}
    two = rows(per_stream, recorded(Sold("a", 1), "order-x", 9), recorded(Sold("a", 2), "order-y", 1))
    assert two == {"x": Sales("x", 1, "order-x@9"), "y": Sales("y", 2, "order-y@1")}
    assert rows(sales, Sold("a", 1), Dropped("a"), Sold("a", 5)) == {"a": Sales("a", 5, "order-1@3")}


def test_what_a_fold_raises_is_raised_in_memory() -> None:
    def fails(row: Sales, event: Sold, recorded: Recorded) -> Sales:
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError):
        rows(Projection("fails", Sales, fails), Sold("a", 1))


@pytest.mark.parametrize(
    ("answer", "keys"),
    [
        ("a", [("a",)]),
        (["a", "b", "a"], [("a",), ("b",)]),
        pytest.param(iter(["b", "a"]), [("b",), ("a",)], id="iterator"),
        ({"a": 1}, [("a",)]),
        (None, []),
        ([], []),
        ("", [("",)]),
        (["ab"], [("ab",)]),
    ],
    ids=repr,
)
def test_one_key_several_or_none(answer: Any, keys: list[Any]) -> None:
    projection = Projection("keys", Sales, evolve, key=lambda event, recorded: answer)
    assert projection.keys(recorded(Sold("a", 1))) == keys


@dataclass(frozen=True)
class Daily:
    product: str
    units: int = 0
    day: date = date.min


def evolve_daily(row: Daily, event: Sold, recorded: Recorded) -> Daily:
    return replace(row, units=row.units + event.units)


def test_a_composite_key_is_a_tuple_in_the_order_of_key_fields() -> None:
    daily = Projection(
        "daily",
        Daily,
        evolve_daily,
        key=lambda event, recorded: (recorded.recorded_at.date(), event.product),
        key_fields=("day", "product"),
    )
    assert rows(daily, Sold("a", 1), Sold("a", 2)) == {(date(2026, 1, 1), "a"): Daily("a", 3, date(2026, 1, 1))}
    several = Projection(
        "daily",
        Daily,
        evolve_daily,
        key=lambda event, recorded: [(date(2026, 1, n), "a") for n in (1, 2)],
        key_fields=("day", "product"),
    )
    assert list(rows(several, Sold("a", 1))) == [(date(2026, 1, 1), "a"), (date(2026, 1, 2), "a")]


@pytest.mark.parametrize("key", [7, 1.5, ("a", 7), [["a"]], ["a", None], b"a"], ids=repr)
def test_a_key_of_the_wrong_type_is_an_error_and_not_a_row(key: Any) -> None:
    projection = Projection("keys", Sales, evolve, key=lambda event, recorded: key)
    with pytest.raises(ValueError, match=r"product|key"):
        projection.keys(recorded(Sold("a", 1)))


@pytest.mark.parametrize(
    "answer",
    [Sales("other"), Daily("a"), "a", Sales("a", "1"), Sales("a", 2**63), Sales("a", last="\x00")],  # type: ignore[arg-type]
    ids=repr,
)
def test_a_fold_that_answers_no_row_of_this_key_fails_on_its_event(answer: Any) -> None:
    def wrong(row: Sales, event: Sold, recorded: Recorded) -> Sales:
        return answer if event.units == 2 else replace(row, units=row.units + event.units)  # type: ignore[no-any-return]

    projection = Projection("wrong", Sales, wrong, key=by_product)
    facts = [recorded(Sold("a", units), version=version) for version, units in enumerate((1, 1, 2, 1), start=1)]
    folded = projection.fold(("a",), None, facts)
    assert folded.failed is facts[2]
    assert folded.values is not None
    assert folded.values[1] == 2, "the row holds what came before the event that failed"


def test_a_document_is_folded_from_the_initial_row_each_time() -> None:
    assert rows(per_stream, Sold("a", 1), Sold("a", 2), documents=True) == {"1": Sales("1", 2, "order-1@2")}


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_fold_that_forgets_to_return_fails_wherever_a_page_ends(documents: bool, place: int) -> None:
    """At the event for which it does, whatever the later events of the page make of the row."""

    def forgets(row: Sales, event: Sold, recorded: Recorded) -> Sales:
        if event.units:
            return replace(row, units=event.units)
        return None  # type: ignore[return-value]  # what Python does for a case without a return

    projection = Projection("forgets", Sales, forgets)
    projection = projection.over_documents() if documents else projection
    units = [0 if number == place else number + 1 for number in range(3)]
    facts = [recorded(Sold("a", each), "order-x", version) for version, each in enumerate(units, 1)]
    folded = projection.fold(("x",), None, facts)
    assert folded.failed == facts[place]
    assert folded.values == (("x", place, "") if place else None)


def test_the_fingerprint_is_that_of_the_columns() -> None:
    def fingerprint(*fields: Any) -> str:
        return Projection("p", msgspec.defstruct("Row", fields, frozen=True), evolve).table.fingerprint

    base = fingerprint(("id", str), ("n", int, 0))
    assert fingerprint(("id", str), ("n", int, 5)) == base
    others = {
        fingerprint(("id", str), ("n", Decimal, Decimal(0))),
        fingerprint(("id", str), ("n", int | None, None)),
        fingerprint(("id", str), ("m", int, 0)),
        fingerprint(("id", UUID), ("n", int, 0)),
        fingerprint(("id", str), ("n", int, 0), ("m", int, 0)),
    }
    assert len(others | {base}) == 6


# ---- invalid definitions


@dataclass(frozen=True)
class NoDefault:
    id: str
    count: int


@dataclass(frozen=True)
class Optional:
    id: str | None
    count: int = 0


@dataclass(frozen=True)
class Listed:
    id: str
    tags: tuple[str, ...] = ()
    price: Decimal = Decimal(0)


class Plain:
    id: str


@dataclass(frozen=True)
class HoldsPlain:
    id: str
    plain: Plain | None = None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": "Sales"}, "lower-case letters"),
        ({"name": "twofold_x"}, "not beginning with twofold"),
        ({"name": "a b"}, "lower-case letters"),
        ({"name": "x" * 49}, "at most 48"),
        ({"version": 0}, "version must be an int from 1 to 9999"),
        ({"version": "1"}, "version must be an int from 1 to 9999"),
        ({"row": Plain}, "frozen dataclass or a msgspec Struct"),
        ({"row": NoDefault}, "every other field needs a default, or is named in key_fields="),
        ({"row": Optional}, "'id' must be"),
        ({"row": HoldsPlain}, "plain cannot be kept as JSON"),
        ({"row": Listed, "key_fields": ("tags",)}, "'tags' must be"),
        ({"row": Listed, "key_fields": ("price",)}, "'price' must be"),
        ({"key_fields": ("product", "product")}, "each field of the key once"),
        ({"key_fields": 2}, "key_fields is a list of names, not 2"),
        ({"key_fields": ()}, "each field of the key once"),
        ({"key_fields": ("colour",)}, "'colour' is not a field of Sales"),
        ({"key_fields": ("product", "units"), "key": None}, "needs key="),
        ({"indexes": ["colour"]}, "'colour' is not a field of Sales"),
        ({"indexes": [()]}, "name fields"),
        ({"indexes": 2}, "indexes is a list, not 2"),
        ({"row": Listed, "indexes": [("tags", "id")]}, "one list field alone"),
        ({"evolve": lambda row, event, recorded: row}, "annotate event"),
        ({"evolve": lambda row, event: row}, "projection 'sales', evolve: .* must take 3 parameters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_a_projection_says_why(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Projection(**{"name": "sales", "row": Sales, "evolve": evolve, "key": by_product, **wrong})


@dataclass(frozen=True, kw_only=True)
class ByName:
    product: str
    units: int = 0


def test_the_fields_of_a_row_may_be_given_by_name_alone() -> None:
    def count(row: ByName, event: Sold, recorded: Recorded) -> ByName:
        return replace(row, units=row.units + event.units)

    assert rows(Projection("by_name", ByName, count, key=by_product), Sold("a", 1), Sold("a", 2)) == {
        "a": ByName(product="a", units=3)
    }


@dataclass(frozen=True)
class Derived:
    product: str
    units: int = 0
    twice: int = field(init=False, default=0)


def test_a_row_that_is_not_made_of_all_its_fields_is_refused() -> None:
    def count(row: Derived, event: Sold, recorded: Recorded) -> Derived:
        return row

    with pytest.raises(ConfigurationError, match="twice"):
        Projection("derived", Derived, count)
