"""Rows that consist of their fields alone can be made again from them."""

from dataclasses import dataclass
from functools import cached_property

import msgspec
import pytest

from twofold.read.annotations import nothing_beside


@dataclass(frozen=True)
class Frozen:
    id: str


@dataclass(slots=True)
class Slotted:
    id: str


class Struct(msgspec.Struct):
    id: str


@dataclass(frozen=True)
class Checked:
    id: str

    def __post_init__(self) -> None:
        assert self.id


@dataclass(frozen=True, init=False)
class Own:
    id: str

    def __init__(self, id: str) -> None:
        object.__setattr__(self, "id", id)


@dataclass
class Open:
    id: str

    @cached_property
    def shown(self) -> str:
        return self.id


@pytest.mark.parametrize("row", [Frozen, Slotted, Struct])
def test_nothing_can_be_beside_the_fields(row: type) -> None:
    assert nothing_beside(row, 1) is None


@pytest.mark.parametrize("row", [Checked, Own])
def test_who_runs_code_of_the_class_may_get_anything(row: type) -> None:
    check = nothing_beside(row, 1)
    assert check is not None
    assert not check(row("a"))


def test_a_property_may_be_kept_beside_the_fields() -> None:
    check, row = nothing_beside(Open, 1), Open("a")
    assert check is not None
    assert check(row)
    assert row.shown == "a"
    assert not check(row)
