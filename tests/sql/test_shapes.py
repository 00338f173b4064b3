"""The shape of an event's JSON: where its classes contain each other, integers among other numbers, and tags."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Literal

import msgspec

from twofold.sql.shapes import shape_of


@dataclass(frozen=True)
class Folder:
    name: str
    files: list[File] = field(default_factory=list)


@dataclass(frozen=True)
class File:
    size: int
    within: Folder | None = None


@dataclass(frozen=True)
class Filed:
    """An event."""

    first: File
    folder: Folder


def test_classes_that_contain_each_other_are_checked_once_on_each_way() -> None:
    """Within itself a class is any object."""
    shape = shape_of(Filed)
    assert [one.name for one in shape.fields] == ["first", "folder"]
    for within in ('$."first"."within"."name"', '$."folder"."name"'):
        assert f"exists({within})" in shape.fits
    assert '"within"."files"' in shape.fits
    assert '."within"."files"."within"' not in shape.fits
    assert "size" in shape.fields[1].fits


class Level(Enum):
    LOW = 1
    HIGH = 2


class Card(msgspec.Struct, tag_field="kind"):
    """One of two that a field may have."""

    number: int


class Cash(msgspec.Struct, tag_field="kind"):
    """The other one."""

    rate: int | float


@dataclass(frozen=True)
class Paid:
    """An event."""

    count: int
    perhaps: int | None
    named: int | str
    rate: int | float
    exact: int | Decimal | None
    price: Decimal
    level: Level
    digit: Literal[1, 2, "many"]
    counts: list[int]
    pair: tuple[int, float]
    rates: dict[str, int | float]
    by: Card | Cash


def test_what_may_be_another_number_is_not_held_to_be_an_integer() -> None:
    """1.0 is refused where only an integer may stand, and 1.5 taken where a float or a decimal may stand, too."""
    names = ("count", "perhaps", "named", "level", "digit")
    expected = {f'$."{name}"' for name in names} | {'$."counts"[*]', '$."pair"[0]', '$."by"."number"'}
    assert set(shape_of(Paid).integers) == expected


def test_the_tag_of_a_class_is_one_of_its_fields() -> None:
    """It is demanded, and no unknown one."""
    fits = shape_of(Paid).fits
    for name, member in (("Card", "number"), ("Cash", "rate")):
        assert f'$."by"."kind" == "{name}"' in fits
        assert f'!(@.key == "{member}" || @.key == "kind")' in fits
