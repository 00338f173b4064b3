"""A value read back is the same, or the path of the difference is named, whatever `==` says."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from pydantic import BaseModel, PrivateAttr

from twofold.codec.roundtrip import MAX_DEPTH, TooDeep, difference, parts
from twofold.failures import shown

BERLIN = ZoneInfo("Europe/Berlin")
TWICE = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)
NEVER = datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN)
ID = UUID(int=7)


class Rank(IntEnum):
    HIGH = 7


class Tone(StrEnum):
    LOUD = "loud"


class Size(Enum):
    SMALL = "s"


class Text(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


class Number(int):
    pass


class Moment(datetime):
    pass


class Money(Decimal):
    pass


@dataclass(frozen=True)
class Parcel:
    owner: str
    note: Any = field(default=None, compare=False)


@dataclass(frozen=True)
class Insured(Parcel):
    value: int = 0


class Silent(Parcel):
    """Adds no field, and claims to equal everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = Parcel.__hash__


@dataclass(eq=False)
class Unequal:
    number: int


class Rough:
    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rough) and other.number == self.number

    __hash__ = None  # type: ignore[assignment]


class Place(msgspec.Struct):
    owner: str


class Better(Place):
    pass


class Attrs:
    """As the attrs library creates them; it is not a development dependency."""

    __attrs_attrs__ = (SimpleNamespace(name="at"), SimpleNamespace(name="note"))

    def __init__(self, at: datetime, note: Any = None) -> None:
        self.at, self.note = at, note


class Seen(BaseModel, extra="allow"):
    owner: str
    _by: str = PrivateAttr("nobody")


class SeenBetter(Seen):
    pass


class Basket(list[int]):
    owner = ""


class Pair(NamedTuple):
    a: int
    b: int


def owned(basket: Basket) -> Basket:
    basket.owner = "ann"
    return basket


def private(seen: Seen) -> Seen:
    seen._by = "ann"
    return seen


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (TWICE, TWICE.astimezone(UTC)),
        (TWICE.replace(fold=1), TWICE.replace(fold=1).astimezone(UTC)),
        (NEVER, NEVER.astimezone(UTC)),
        (Moment(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
        ({TWICE: 1}, {TWICE.astimezone(UTC): 1}),
        ({TWICE}, {TWICE.astimezone(UTC)}),
        (Text("a"), "a"),
        (Number(7), 7),
        (Rank.HIGH, 7),
        (Tone.LOUD, "loud"),
        ("loud", Tone.LOUD),
        (Money("1.10"), Decimal("1.1")),
        (2**53, float(2**53)),
        (10**30, Decimal(10**30)),
        (1.0, 1),
        ((1, 2), [1, 2]),
        ([1, (2,)], (1, [2])),
        ({1, 2}, frozenset({2, 1})),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (Counter("aa"), {"a": 2}),
        (Size.SMALL, Size.SMALL),
        (Parcel("a", [1]), Parcel("a", (1,))),
        (Unequal(1), Unequal(1)),
        (Rough(1), Rough(1)),
        (Place("a"), Place("a")),
        (Attrs(TWICE), Attrs(TWICE.astimezone(UTC))),
        (Seen(owner="a", more=(1,)), Seen(owner="a", more=[1])),
        (bytearray(b"a"), b"a"),
        (None, None),
        (time(1, tzinfo=UTC), time(1, tzinfo=timezone.utc)),  # noqa: UP017
        ({frozenset({TWICE}): 1}, {frozenset({TWICE.astimezone(UTC)}): 1}),
    ],
)
def test_what_is_the_same(value: Any, read: Any) -> None:
    assert difference(value, read, "Put") is None


@pytest.mark.parametrize(
    ("value", "read", "path"),
    [
        (TWICE, TWICE.replace(fold=1).astimezone(UTC), "Put"),
        (datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), "Put"),  # noqa: DTZ001
        (datetime(2024, 1, 1, fold=1), datetime(2024, 1, 1), "Put"),  # noqa: DTZ001
        (datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01T00:00:00Z", "Put"),
        (datetime(2024, 1, 1, tzinfo=UTC), date(2024, 1, 1), "Put"),
        (date(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), "Put"),
        (time(1, fold=1), time(1), "Put"),
        (time(1, tzinfo=BERLIN), time(1), "Put"),
        (time(1, tzinfo=UTC), time(1), "Put"),
        (1, True, "Put"),
        (True, 1, "Put"),
        (0, None, "Put"),
        (None, 0, "Put"),
        (-0.0, 0.0, "Put"),
        (2**53 + 1, float(2**53 + 1), "Put"),
        (0.5, Decimal("0.5"), "Put"),
        (Decimal("0.5"), 0.5, "Put"),
        (Decimal("1.5"), "1.5", "Put"),
        (Decimal("sNaN"), Decimal("sNaN"), "Put"),
        (Size.SMALL, "s", "Put"),
        ("s", Size.SMALL, "Put"),
        (ID, str(ID), "Put"),
        (b"a", "YQ==", "Put"),
        ("YQ==", b"a", "Put"),
        (timedelta(1), "P1D", "Put"),
        ({1: "a"}, {"1": "a"}, "Put[1]"),
        ({1: "a", "1": "b"}, {"1": "b"}, "Put[1]"),
        ({"x": 1, "y": 2}, {"x": 1}, "Put['y']"),
        ({"x": 1}, {"x": 1, "y": 2}, "Put['y']"),
        ({True: 1}, {1: 1}, "Put[True]"),
        ({1, 2}, [1, 2], "Put"),
        ([1, 2], {1, 2}, "Put"),
        ({True}, {1}, "Put[True]"),
        ((1, 2), (1,), "Put"),
        (Pair(1, 2), (1, 2), "Put"),
        (owned(Basket([1])), [1], "Put"),
        (Insured("a", None, 2), Parcel("a"), "Put"),
        (Silent("a"), Parcel("a"), "Put"),
        (Parcel("a"), {"owner": "a", "note": None}, "Put"),
        ({"x": [1, 2, (Parcel("a"), Insured("a"))]}, {"x": [1, 2, (Parcel("a"), Parcel("a"))]}, "Put['x'][2][1]"),
        ({"x": [Parcel("a", Parcel("b"))]}, {"x": [Parcel("a", Parcel("c"))]}, "Put['x'][0].note.owner"),
        ({Parcel("a"), Insured("b")}, {Parcel("a"), Parcel("b")}, "Put[Insured("),
        (Unequal(1), Unequal(2), "Put.number"),
        (Rough(1), Rough(2), "Put"),
        (Better("a"), Place("a"), "Put"),
        (SeenBetter(owner="a"), Seen(owner="a"), "Put"),
        (Seen(owner="a", more=1), Seen(owner="a"), "Put.more"),
        (Seen(owner="a"), Seen(owner="a", more=1), "Put.more"),
        (Seen(owner="a", one=1), Seen(owner="a", other=1), "Put.one"),
        (Attrs(TWICE, Rank.HIGH), Attrs(TWICE, Size.SMALL), "Put.note"),
        (private(Seen(owner="a")), Seen(owner="a"), "Put._by"),
    ],
)
def test_what_is_not_the_same_is_named_by_its_path(value: Any, read: Any, path: str) -> None:
    said = difference(value, read, "Put")
    assert said is not None
    assert said.startswith((f"{path} is ", f"{path} (the key) is ", path if path.endswith("(") else f"{path} is "))
    assert "read back as" in said or "would be lost" in said


def test_two_values_that_look_alike_are_told_apart_by_their_types() -> None:
    namesake = type("Parcel", (Parcel,), {"__module__": "elsewhere", "__qualname__": "Parcel"})
    said = difference(namesake("a"), Parcel("a"), "Put") or ""
    alike = "Parcel(owner='a', note=None)"
    assert said.startswith(
        f"Put is {alike} of elsewhere.Parcel, and would be read back as {alike} of {__name__}.Parcel"
    )


@pytest.mark.parametrize("levels", [1_200, 100_000])
def test_what_is_nested_too_deep_is_said_with_the_limit(levels: int) -> None:
    deep: Any = []
    for _ in range(levels):
        deep = [deep]
    said = difference({"a": deep}, {"a": deep}, "Put")
    assert said is not None
    assert said.startswith("Put['a'][0][0]")
    assert said.endswith(f"is nested more than {MAX_DEPTH} levels deep")
    assert len(said) < 200
    with pytest.raises(TooDeep, match=r"^Put\['a'\]\[0\]\[0\].*nested more than"):
        list(parts({"a": deep}, "Put"))
    while deep:  # a hundred thousand levels would be freed recursively
        deep = deep.pop()


def test_all_parts_have_a_path() -> None:
    value = {"x": [Parcel("a", Seen(owner="b", more=1)), Size.SMALL]}
    assert dict(parts(value, "Put")) == {
        "Put['x'] (the key)": "x",
        "Put['x'][0].owner": "a",
        "Put['x'][0].note.owner": "b",
        "Put['x'][0].note._by": "nobody",
        "Put['x'][0].note.more": 1,
        "Put['x'][1]": Size.SMALL,
    }


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_whatever_a_repr_does_a_value_can_be_shown() -> None:
    assert shown(Shy()) == "a value of Shy (its repr raises RuntimeError)"
    assert shown(10**5000) == "a value of int (its repr raises ValueError)"
    assert len(shown("x" * 1000)) == 80
