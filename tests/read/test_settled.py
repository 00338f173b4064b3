"""The row that a fold gets does not depend on where pages of the feed end, whatever the fold puts into it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import cached_property
from http import HTTPStatus
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold import Projection, Recorded
from twofold.ambient import Ambient
from twofold.codec import Codec
from twofold.messages import Entry
from twofold.read.cache import RowCache
from twofold.read.columns import Values
from twofold.read.folding import Folding
from twofold.read.parked import ParkedKeys
from twofold.read.projection import Key
from twofold.testing import recorded

EAST = timezone(timedelta(hours=5, minutes=30))


@dataclass(frozen=True)
class Put:
    """Sets fields of the row, each to the value at this place in PUTS."""

    places: dict[str, int] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        return {name: PUTS[name][place] for name, place in self.places.items()}


class Colour(Enum):
    RED = "red"

    @classmethod
    def _missing_(cls, value: object) -> Colour | None:
        return cls.RED if value == "rouge" else None


class Word(StrEnum):
    YES = "yes"


class Weight(IntEnum):
    HEAVY = 7


class Text(str):
    pass


class Money(Decimal):
    pass


@dataclass(frozen=True)
class Line:
    product: str
    price: Decimal = Decimal(0)
    at: datetime | None = None


class Insured(Line):
    pass


@dataclass(frozen=True)
class Row:
    id: str
    text: str = ""
    number: int = 0
    real: float = 0.0
    price: Decimal = Decimal(0)
    at: datetime | None = None
    colour: Colour | None = None
    line: Line | None = None
    lines: tuple[Line, ...] = ()
    tags: list[str] = field(default_factory=list)
    by_year: dict[int, int] = field(default_factory=dict)
    anything: Any = None
    seen: tuple[str, ...] = ()


def types_of(value: Any) -> str:
    """Everything a fold can see of a value; its repr may hide the types in it."""
    match value:
        case dict():
            return f"{{{', '.join(f'{types_of(k)}: {types_of(v)}' for k, v in value.items())}}}"
        case list() | tuple():
            return f"{type(value).__name__}({', '.join(map(types_of, value))})"
        case _:
            return f"{type(value).__name__} {value!r}"


def remembers(row: Row, event: Put, recorded: Recorded) -> Row:
    """Record the arguments in the row, which shows what the fold has seen."""
    given = ", ".join(types_of(getattr(row, name)) for name in Row.__dataclass_fields__ if name != "seen")
    return replace(row, **event.fields, seen=(*row.seen, given))


def in_place(row: Row, event: Put, recorded: Recorded) -> Row:
    """Change the list of an earlier event, and record what is seen of it."""
    row.tags.append("x")
    return replace(row, seen=(*row.seen, ",".join(row.tags)), **event.fields)


def in_pages(
    evolve: Callable[[Any, Any, Recorded], Any],
    puts: Sequence[dict[str, int]],
    sizes: Sequence[int],
    row: type[Any] = Row,
) -> tuple[Values | None, int | None]:
    """The row after these events, folded in pages of these sizes, and the position of a failed event.

    The projector, `verify` and a retry all fold like this.
    """
    projection: Projection[Any] = Projection("row", row, evolve)
    pages = list(paged([recorded(Put(places), version=number) for number, places in enumerate(puts, start=1)], sizes))
    values: Values | None = None
    failed = None
    for events in pages:
        outcome = projection.fold(KEY, values, events)
        values, failed = outcome.values, outcome.failed and outcome.failed.version
        if failed is not None:
            break
    assert (values, failed) == asyncio.run(as_the_projector_does(projection, pages))
    return values, failed


async def nothing_to_fetch(keys: Sequence[Key]) -> Mapping[Key, Values]:
    raise AssertionError(f"{keys} are known")


async def as_the_projector_does(
    projection: Projection[Any], pages: Sequence[Sequence[Recorded]]
) -> tuple[Values | None, int | None]:
    rows = RowCache(complete=True)
    for events in pages:
        folding = Folding(projection, CODEC, Ambient(), rows, ParkedKeys(()))
        entries = [entry(one) for one in events]
        changes = await folding.page(entries, nothing_to_fetch)
        rows.keep(changes.rows)
        for parked in changes.parked:
            return rows.get(KEY), parked.position.offset
    return rows.get(KEY), None


def paged(events: list[Recorded], sizes: Sequence[int]) -> Iterator[Sequence[Recorded]]:
    for size in sizes:
        if events:
            yield events[:size]
            events = events[size:]


def entry(one: Recorded) -> Entry:
    stored = CODEC.encode(one.event)
    meta = msgspec.json.encode({"command_id": "c", "correlation_id": "c"})
    return Entry(
        one.position, str(one.stream), one.version, stored.type, stored.schema, stored.data, meta, one.recorded_at
    )


KEY = ("1",)
CODEC = Codec([Put], {})


PUTS: dict[str, list[Any]] = {
    "text": ["a", Word.YES, Text("b"), "\x00", 1],
    "number": [1, Weight.HEAVY, HTTPStatus.OK, 2**63, True],
    "real": [1.5, 1, 0, -0.0, 2**53 + 1, 10**400, float("nan")],
    "price": [
        Decimal("1.10"),
        Decimal("1.1"),
        1,
        Money("2.0"),
        Decimal("1E+2"),
        Decimal("-0.0"),
        0.5,
        Decimal("1E-1001"),
        10**2000,
    ],
    "at": [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 23, tzinfo=EAST), datetime(2024, 1, 1)],  # noqa: DTZ001
    "colour": [Colour.RED, "red", "blue", "rouge"],
    "line": [Line("a", Decimal("1.10")), Insured("a"), Line("a", at=datetime(2024, 1, 1, 23, tzinfo=EAST)), Line(1)],  # type: ignore[arg-type]
    "lines": [(Line("a"),), [Line("a")], (Insured("b"),)],
    "tags": [["a"], ("a", Text("b")), ["a", 1]],
    "by_year": [{2024: 1}, {Weight.HEAVY: Weight.HEAVY}, {"2024": 1}],
    "anything": [{"a": [1, 2.0, None]}, {2024: 1}, (1, 2), Colour.RED, Word.YES, Decimal(1), Line("a")],
}
SOME = st.fixed_dictionaries({}, optional={name: st.integers(0, len(values) - 1) for name, values in PUTS.items()})


@pytest.mark.parametrize("evolve", [remembers, in_place])
@given(puts=st.lists(SOME, min_size=2, max_size=6), sizes=st.lists(st.integers(1, 6), min_size=6, max_size=6))
def test_folded_in_any_pages_the_rows_are_the_same(evolve: Any, puts: list[dict[str, Any]], sizes: list[int]) -> None:
    assert in_pages(evolve, puts, sizes) == in_pages(evolve, puts, [1] * 6)


@pytest.mark.parametrize(("name", "place"), [(name, n) for name, values in PUTS.items() for n in range(len(values))])
def test_each_value_is_seen_alike_within_a_page_and_after_it(name: str, place: int) -> None:
    puts = [{name: place}, {}, {name: place}]
    assert in_pages(remembers, puts, [3]) == in_pages(remembers, puts, [1, 1, 1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", "\x00"),
        ("number", 2**63),
        ("number", True),
        ("real", 2**53 + 1),
        ("real", 10**400),
        ("price", 10**2000),
        ("price", 0.5),
        ("price", Decimal("1E-1001")),
        ("colour", "blue"),
        ("colour", "rouge"),
        ("line", Insured("a")),
        ("lines", (Insured("b"),)),
        ("by_year", {"2024": 1}),
        ("anything", {2024: 1}),
        ("anything", Decimal(1)),
        ("anything", Line("a")),
        ("anything", Colour.RED),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_what_would_be_read_as_something_else_fails_on_its_event(name: str, value: Any) -> None:
    place = next(place for place, one in enumerate(PUTS[name]) if (type(one), one) == (type(value), value))
    values, failed = in_pages(remembers, [{"number": 0}, {name: place}, {name: 0}], [3])
    assert failed == 2
    assert values is not None
    assert values[2] == 1


def test_none_where_no_row_may_go_fails_on_its_event_within_a_page_too() -> None:
    def forgets(row: Row, event: Put, recorded: Recorded) -> Row:
        return None if event.fields else replace(row, number=row.number + 1)  # type: ignore[return-value]

    assert in_pages(forgets, [{}, {"text": 0}, {}], [3]) == in_pages(forgets, [{}, {"text": 0}, {}], [1, 1, 1])
    assert in_pages(forgets, [{}, {"text": 0}, {}], [3])[1] == 2


def test_a_fold_that_fails_after_changing_its_row_in_place_leaves_it_as_it_was() -> None:
    def fails(row: Row, event: Put, recorded: Recorded) -> Row:
        row.tags.append("half done")
        if event.fields:
            raise ArithmeticError("no")
        return replace(row, number=row.number + 1)

    values, failed = in_pages(fails, [{}, {"text": 0}], [2])
    assert failed == 2
    assert values is not None
    assert values[9] == '["half done"]'


@dataclass
class Cached:
    id: str
    number: int = 0
    doubled: int = 0

    @cached_property
    def twice(self) -> int:
        return self.number * 2


def doubles(row: Cached, event: Put, recorded: Recorded) -> Cached:
    row.number += 1
    row.doubled = row.twice
    return row


@dataclass
class Attribute:
    id: str
    number: int = 0


def remembers_beside(row: Any, event: Put, recorded: Recorded) -> Attribute:
    row.number = row.seen = getattr(row, "seen", 0) + 1
    return row  # type: ignore[no-any-return]


class Open(msgspec.Struct, dict=True):
    id: str
    number: int = 0


def remembers_in_a_struct(row: Any, event: Put, recorded: Recorded) -> Open:
    row.number = row.seen = getattr(row, "seen", 0) + 1
    return row  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Completed:
    id: str
    text: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.text + "!")


def says(row: Completed, event: Put, recorded: Recorded) -> Completed:
    return replace(row, text=row.text + "a")


class Clamped(msgspec.Struct):
    id: str
    number: int = 0

    def __post_init__(self) -> None:
        self.number = min(self.number, 2)


def counts_on(row: Clamped, event: Put, recorded: Recorded) -> Clamped:
    row.number += 1
    return row


@dataclass(init=False)
class ByHand:
    id: str
    number: int

    def __init__(self, id: str, number: int = 0) -> None:
        self.id, self.number = id, number + 1


def keeps(row: ByHand, event: Put, recorded: Recorded) -> ByHand:
    return row


@pytest.mark.parametrize(
    ("row", "evolve"),
    [
        (Cached, doubles),
        (Attribute, remembers_beside),
        (Open, remembers_in_a_struct),
        (Completed, says),
        (Clamped, counts_on),
        (ByHand, keeps),
    ],
)
def test_what_a_row_holds_beside_its_fields_is_not_there_for_the_next_event(row: type, evolve: Any) -> None:
    slowly = in_pages(evolve, [{}] * 4, [1] * 4, row)
    assert slowly[0] is not None
    assert in_pages(evolve, [{}] * 4, [4], row) == slowly
    assert in_pages(evolve, [{}] * 4, [2, 2], row) == slowly
