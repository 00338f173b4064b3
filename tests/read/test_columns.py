"""The kind of column for each annotation, and values that no column may hold."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Final, Literal, NamedTuple, NewType, Optional, Union
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, model_validator

from twofold import ConfigurationError
from twofold.read.columns import RowFormat
from twofold.read.kinds import canonical_decimal


class Word(Enum):
    A = "a"


class Number(IntEnum):
    ONE = 1


@dataclass(frozen=True)
class Inner:
    x: float | None = None


Text = NewType("Text", str)
Id = NewType("Id", Text)
Money = NewType("Money", Decimal)
Maybe = NewType("Maybe", Optional[int])  # type: ignore[valid-newtype]  # noqa: UP045
Tags = NewType("Tags", list[Text])
Named = NewType("Named", Word)  # type: ignore[valid-newtype]


@pytest.mark.parametrize(
    ("annotation", "kind", "nullable"),
    [
        (Id, "text", False),
        (Money | None, "decimal", True),
        (Annotated[Id, "why"], "text", False),
        (Annotated[Money | None, "why"], "decimal", True),
        (Maybe, "integer", True),
        (Named, "text", False),
        (Tags, "json", False),
        (list[Id], "json", False),
        (Id | int, "json", False),
        (Final[Id], "text", False),
        (str, "text", False),
        (int, "integer", False),
        (float, "real", False),
        (bool, "boolean", False),
        (Decimal, "decimal", False),
        (datetime, "timestamp", False),
        (date, "date", False),
        (UUID, "uuid", False),
        (bytes, "bytes", False),
        (int | None, "integer", True),
        (Optional[int], "integer", True),  # noqa: UP045
        (Union[None, str], "text", True),  # noqa: UP007
        (Annotated[Decimal | None, "why"], "decimal", True),
        (Annotated[int, "why"] | None, "integer", True),
        (Word, "text", False),
        (Number | None, "integer", True),
        (Literal["a", "b"], "text", False),
        (Literal[1, 2], "integer", False),
        (Literal["a", 1], "json", False),
        (Inner, "json", False),
        (dict[str, int], "json", False),
        (int | str, "json", False),
        (tuple[int, ...] | None, "json", True),
    ],
    ids=repr,
)
def test_annotations_become_columns(annotation: Any, kind: str, nullable: bool) -> None:
    [_, column] = RowFormat(msgspec.defstruct("Row", [("id", str), ("x", annotation)])).columns
    assert (column.kind, column.nullable) == (kind, nullable)


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        (list[str], True),
        (tuple[int, ...], True),
        (set[str], True),
        (list, True),
        (Tags, True),
        (Tags | None, True),
        (list[Id], True),
        (dict[str, int], False),
        (Inner, False),
    ],
    ids=repr,
)
def test_lists_can_be_searched(annotation: Any, found: bool) -> None:
    assert RowFormat(msgspec.defstruct("Row", [("x", annotation)])).columns[0].elements is found


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, None),
        (str, 1),
        (str, b"a"),
        (str, "\x00"),
        (str, "\ud800"),
        (int, True),
        (int, 1.0),
        (int, "1"),
        (int, 2**63),
        (int, -(2**63) - 1),
        (float, float("nan")),
        (float, float("inf")),
        (float, "1"),
        (float, 10**400),
        (bool, 1),
        (Decimal, 1.5),
        (Decimal, Decimal("NaN")),
        (Decimal, Decimal("Infinity")),
        (Decimal, Decimal("1E+100000")),
        (datetime, datetime(2024, 1, 1)),  # noqa: DTZ001
        (datetime, date(2024, 1, 1)),
        (date, datetime(2024, 1, 1, tzinfo=UTC)),
        (UUID, "00000000-0000-0000-0000-000000000000"),
        (bytes, "a"),
        (Inner, Inner(float("nan"))),
        (dict[str, float], {"a": float("inf")}),
        (tuple[str, ...], ("\x00",)),
        (tuple[str, ...], ("\ud800",)),
        pytest.param(Any, object(), id="object"),
    ],
    ids=repr,
)
def test_what_a_column_cannot_hold_is_refused_by_field(annotation: Any, value: Any) -> None:
    row = msgspec.defstruct("Row", [("id", str), ("x", annotation)])
    with pytest.raises(ValueError, match=r"Row\.x"):
        RowFormat(row).to_values(row("a", value))


class OfOurs(bytes):
    pass


class Told(str):
    pass


@pytest.mark.parametrize(("annotation", "value"), [(bytes, OfOurs(b"a")), (str, Told("a"))])
def test_a_value_of_a_class_of_ones_own_is_stored_as_a_plain_one(annotation: Any, value: Any) -> None:
    format_ = RowFormat(msgspec.defstruct("Row", [("id", str), ("x", annotation)]))
    [_, stored] = format_.to_values(format_.row("a", value))
    assert type(stored) is annotation


class Model(BaseModel, frozen=True):
    x: float | None = None


def test_a_model_in_a_row_comes_back() -> None:
    format_ = RowFormat(msgspec.defstruct("Row", [("id", str), ("x", Model), ("y", tuple[Model, ...])]))
    row = format_.row("a", Model(), (Model(x=1.5), Model()))
    assert format_.from_values(format_.to_values(row)) == row
    with pytest.raises(ValueError, match=r"Row\.x"):
        format_.to_values(format_.row("a", Model(x=float("nan")), ()))


class Aliased(BaseModel, frozen=True):
    member_id: str = Field("", alias="memberId")


class Hidden(BaseModel, frozen=True):
    secret: str = Field("", exclude=True)


class Place(NamedTuple):
    x: int
    y: int


class ByPlace(msgspec.Struct, frozen=True, array_like=True):
    x: int


@dataclass(frozen=True)
class Around:
    places: tuple[Place, ...] = ()


@pytest.mark.parametrize(
    "annotation",
    [Aliased, list[Aliased], Place, tuple[Place, ...], ByPlace | None, Around, complex, dict[str, object]],
    ids=str,
)
def test_a_type_that_json_cannot_give_back_is_refused_by_field(annotation: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Row: field x cannot be kept as JSON"):
        RowFormat(msgspec.defstruct("Row", [("id", str), ("x", annotation)]))


@dataclass
class NeverBelowZero:
    """It sets what it is given, so what was set later may be read back as something equal."""

    x: float = 0.0

    def __post_init__(self) -> None:
        self.x = abs(self.x)


def set_later(x: float) -> NeverBelowZero:
    made = NeverBelowZero()
    made.x = x
    return made


@pytest.mark.parametrize(
    ("annotation", "value", "path"),
    [
        (NeverBelowZero, set_later(-0.0), r"x\.x"),
        (tuple[Inner, ...], (Inner(1.0), Inner(float("nan"))), r"x\[1\]\.x"),
        (Hidden, Hidden(secret="a"), r"x\.secret"),
        (dict[Any, int], {2024: 1}, r"x\['2024'\]|x\[2024\]"),
        (dict, {"a": {1: 2}}, r"x\['a'\]"),
        (Any, {"at": datetime(2024, 1, 1, tzinfo=UTC)}, r"x\['at'\]"),
        (Any, [UUID(int=7)], r"x\[0\]"),
        (list[Any], [{"a": Word.A}], r"x\[0\]\['a'\]"),
        (list, [Place(1, 2)], r"x\[0\]"),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_what_json_would_give_back_as_something_else_is_refused_by_its_path(
    annotation: Any, value: Any, path: str
) -> None:
    format_ = RowFormat(msgspec.defstruct("Row", [("id", str), ("x", annotation)]))
    with pytest.raises(ValueError, match=rf"Row\.x: {path}"):
        format_.to_values(format_.row("a", value))


def test_a_value_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = []
    for _ in range(1_200):
        deep = [deep]
    format_ = RowFormat(msgspec.defstruct("Row", [("id", str), ("x", Any)]))
    with pytest.raises(ValueError, match=r"Row\.x: .*(deep|recursion)"):
        format_.to_values(format_.row("a", deep))


def test_what_comes_close_is_taken() -> None:
    row = msgspec.defstruct("Row", [("r", float), ("d", Decimal), ("w", Word)])
    assert RowFormat(row).to_values(row(1, 2, "a")) == (1.0, Decimal(2), "a")


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40))
def test_equal_numbers_have_one_text(number: Decimal) -> None:
    text = canonical_decimal(number)
    assert Decimal(text) == number
    assert "E" not in text
    more_zeros = Decimal(f"{text}000" if "." in text else f"{text}.000")
    assert text == canonical_decimal(Decimal(text)) == canonical_decimal(more_zeros)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40))
@example(Decimal("-0"))
@example(Decimal("-0.00"))
def test_a_column_holds_the_one_text_of_a_number(number: Decimal) -> None:
    row = msgspec.defstruct("Row", [("d", Decimal)])
    [value] = RowFormat(row).to_values(row(number))
    assert f"{value:f}" == canonical_decimal(number)


class Fussy(BaseModel, frozen=True):
    x: int = 0

    @model_validator(mode="before")
    @classmethod
    def fuss(cls, data: Any) -> Any:
        if data == {"x": 13}:
            raise SystemExit
        return data


def test_whatever_reading_a_field_raises_is_a_failure_of_the_field() -> None:
    format_ = RowFormat(msgspec.defstruct("Row", [("id", str), ("x", Fussy)]))
    with pytest.raises(ValueError, match=r"Row\.x: .*SystemExit"):
        format_.to_values(format_.row("a", Fussy.model_construct(x=13)))
    with pytest.raises(ValueError, match=r"Row\.x cannot be read"):
        format_.from_values(("a", '{"x":13}'))
