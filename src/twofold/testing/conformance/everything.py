"""A row with a field of each kind, values of each in order, and the meaning of `find` in plain Python."""

from __future__ import annotations

import operator as op
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal
from uuid import UUID

from hypothesis import strategies as st

Size = Enum("Size", {"SMALL": "s", "LARGE": "l'"})
EAST, WEST = timezone(timedelta(hours=13)), timezone(timedelta(hours=-11, minutes=-30))


class Rank(IntEnum):
    """Kept as a number."""

    LOW = -1
    HIGH = 7


@dataclass(frozen=True)
class Line:
    """A nested value."""

    product: str
    price: Decimal
    at: datetime | None = None


@dataclass(frozen=True)
class Everything:
    """A field of each kind; all but the key may be None."""

    id: str
    text: str | None = None
    integer: int | None = None
    real: float | None = None
    boolean: bool | None = None
    decimal: Decimal | None = None
    timestamp: datetime | None = None
    day: date | None = None
    uuid: UUID | None = None
    raw: bytes | None = None
    size: Size | None = None
    rank: Rank | None = None
    literal: Literal["x", "y"] | None = None
    number: Literal[1, 2] | None = None
    line: Line | None = None
    lines: tuple[Line, ...] | None = None
    counts: dict[str, int] | None = None
    tags: list[str] | None = None
    numbers: tuple[int, ...] | None = None


IN_ORDER: dict[str, list[Any]] = {
    "text": ["", " ", "A", "a", "a ", "aa", "e\u0301", "z", "ä", "é", "שלום", "日本", "\uffff", "👩‍👩‍👧", "🦊"],
    "integer": [-(2**63), -(2**53) - 1, -(2**53), -1, 0, 1, 9, 10, 2**53, 2**53 + 1, 2**63 - 1],
    "real": [-1.7976931348623157e308, -1.5, -1e-300, 0.0, 5e-324, 0.1, 0.30000000000000004, 1e16, 1e300],
    "boolean": [False, True],
    "decimal": [
        Decimal(text)
        for text in (
            "-123456789012345678901234567890.1",
            "-123456789012345678901234567890",
            "-30",
            "-20",
            "-10",
            "-9.99",
            "-2.5",
            "-2",
            "-0.001",
            "0.000000000000000000000000000001",
            "0.1",
            "2",
            "2.5",
            "3",
            "10",
            "1E+2",
            "100.01",
            "999999999999999999999999999999",
            "1E+40",
        )
    ],
    "timestamp": [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2024, 1, 1, 13, 0, 0, 2, tzinfo=EAST),
        datetime(2023, 12, 31, 12, 30, 0, 3, tzinfo=WEST),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
    "day": [date.min, date(999, 1, 1), date(2024, 2, 29), date.max],
    "uuid": [UUID(int=0), UUID(int=10), UUID(int=2**127), UUID(int=2**128 - 1)],
    "raw": [b"", b"\x00", b"\x00\x00", b"a", b"\xff", b"\xff\x00"],
    "size": [Size.LARGE, Size.SMALL],
    "rank": [Rank.LOW, Rank.HIGH],
    "literal": ["x", "y"],
    "number": [1, 2],
}
NESTED: dict[str, list[Any]] = {
    "line": [Line("🦊 \\ \"'", Decimal("0.10")), Line("", Decimal(10) ** 20, datetime(2024, 1, 1, tzinfo=UTC))],
    "lines": [(), (Line("a", Decimal(1)), Line("a", Decimal(1)))],
    "counts": [{}, {"": 0, "ключ": -(2**63), "a.b": 2**63 - 1, "$": 1}],
    "tags": [[], ["a", "a", "", "ä 🦊 \"'"]],
    "numbers": [(), (1, 2**63 - 1, 1)],
}


# ---- the plain model

FEW: dict[str, list[Any]] = {**IN_ORDER, "tags": [["a"], ["a", "b"], [], ["b", "b"]], "numbers": [(1, 2), (), (2,)]}
ROWS = st.builds(
    Everything,
    id=st.one_of(st.sampled_from("abcdef"), st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=3)),
    **{name: st.one_of(st.none(), st.sampled_from(few)) for name, few in FEW.items()},
)
COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "contains": lambda members, wanted: all(one in members for one in wanted),
    "startswith": str.startswith,
    "lt": op.lt,
    "le": op.le,
    "gt": op.gt,
    "ge": op.ge,
}
ORDERS = st.sampled_from([f"{sign}{name}" for name in ("id", *IN_ORDER) for sign in ("", "-")])


@st.composite
def conditions(draw: Any, rows: Sequence[Everything]) -> dict[str, Any]:
    """Up to three conditions with values that occur in the rows, or could."""
    found: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from([*IN_ORDER, "tags", "numbers"]), max_size=3, unique=True)):
        if name in ("tags", "numbers"):
            members = st.sampled_from(["a", "b", "c"] if name == "tags" else [1, 2, 3])
            found[f"{name}__contains"] = draw(st.lists(members, max_size=2))
            continue
        operators = ["", "__ne", "__in", "__lt", "__le", "__gt", "__ge"]
        operator = draw(st.sampled_from([*operators, "__startswith"] if name == "text" else operators))
        there = [value for row in rows if (value := getattr(row, name)) is not None]
        values = st.sampled_from([*there, *IN_ORDER[name]])
        if operator == "__in":
            found[f"{name}__in"] = draw(st.lists(st.none() | values, max_size=3))
        elif operator == "__startswith":
            found[f"{name}__startswith"] = draw(values)[: draw(st.integers(0, 2))]
        else:
            found[f"{name}{operator}"] = draw(st.none() | values if operator in ("", "__ne") else values)
    return found


def meets(row: Everything, condition: str, wanted: Any) -> bool:
    """The meaning of a condition."""
    name, _, operator = condition.partition("__")
    value = plain(getattr(row, name))
    if operator == "in":
        return value in [plain(one) for one in wanted]
    bound = plain(wanted)
    if operator in ("", "ne"):
        return bool((value == bound) == (operator == ""))
    if value is None:
        return False
    return bool(COMPARED[operator](value, bound))


def in_order(rows: Iterable[Everything], order: Sequence[str]) -> list[Everything]:
    """The meaning of an order: the key breaks ties, in the direction of the last field."""
    descending = bool(order) and order[-1].startswith("-")
    found = list(rows)
    for field in reversed([*order, "-id" if descending else "id"]):
        found.sort(key=ranked(field.removeprefix("-")), reverse=field.startswith("-"))
    return found


def ranked(name: str) -> Callable[[Everything], tuple[bool, Any]]:
    """A sort key for rows: one field, None first."""

    def rank(row: Everything) -> tuple[bool, Any]:
        value = getattr(row, name)
        return (value is not None, plain(value) if value is not None else 0)

    return rank


def plain(value: Any) -> Any:
    """An enum member counts as its value."""
    return value.value if isinstance(value, Enum) else value


def in_utc(row: Everything) -> Everything:
    """Times compare equal in any zone; this makes failures readable."""
    return replace(row, timestamp=row.timestamp.astimezone(UTC)) if row.timestamp else row
