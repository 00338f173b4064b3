"""Which parts of a value are mutable, and how it is handed out. Decided by the value, not by its annotations."""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import cached_property
from threading import Lock
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, PrivateAttr

from twofold.kept import Kept, is_fixed, is_fixed_class, own

Sku = NewType("Sku", str)


class Colour(Enum):
    RED = "red"


class Pair(NamedTuple):
    one: Any
    other: Any = 0


@dataclass(frozen=True)
class Frozen:
    part: Any = 0


@dataclass(frozen=True, slots=True)
class Slotted:
    part: Any = 0
    more: Any = 0


@dataclass(frozen=True)
class Cached:
    part: int = 0

    @cached_property
    def parts(self) -> list[int]:
        return [self.part]


class Loose(Frozen):
    """Its fields cannot be set, but everything else can."""


@dataclass
class Open:
    part: Any = 0


@dataclass(slots=True)
class OpenSlotted:
    part: Any = 0


@dataclass(frozen=True)
class Unset:
    part: int = field(init=False)


class Struct(msgspec.Struct, frozen=True):
    part: Any = 0


class OpenStruct(msgspec.Struct):
    part: Any = 0


class Model(BaseModel):
    model_config = ConfigDict(frozen=True)
    part: Any = 0


class OpenModel(BaseModel):
    part: Any = 0


class PrivateModel(BaseModel):
    model_config = ConfigDict(frozen=True)
    part: int = 0
    _parts: list[int] = PrivateAttr(default_factory=lambda: [1])


class ExtraModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")
    part: int = 0


class Plain:
    def __init__(self, part: Any = 0) -> None:
        self.part = part


class Code(str):
    """A string that can have attributes."""


class Nothing:
    pass


FIXED = [
    None,
    1,
    1.5,
    "a",
    b"a",
    Decimal("1.5"),
    datetime(2026, 1, 1, tzinfo=UTC),
    UUID(int=1),
    Colour.RED,
    (),
    (1, ("a", frozenset({1}))),
    Pair(1, ("a",)),
    Frozen(Frozen((1, 2))),
    Slotted("a", Frozen()),
    Struct((1, Struct())),
    Model(part=(1, Model())),
    MappingProxyType({"a": (1,)}),
    object(),
    len,
    Frozen,
]

CHANGEABLE = [
    [],
    {},
    set(),
    bytearray(),
    deque([1]),
    ([],),
    (1, (2, [3])),
    Pair(1, []),
    Frozen([]),
    Frozen(Frozen({1: 2})),
    Slotted(1, [2]),
    Cached(1),
    Loose(1),
    Open(1),
    OpenSlotted([1]),
    Frozen(Open()),
    Struct([1]),
    OpenStruct(1),
    Model(part=[1]),
    OpenModel(part=1),
    Frozen(OpenModel(part=1)),
    PrivateModel(),
    Frozen((PrivateModel(),)),
    ExtraModel(part=1, more=[1]),  # type: ignore[call-arg]
    Plain([1]),
    defaultdict(list, a=[1]),
    MappingProxyType({"a": [1]}),
    Code("a"),
    Unset(),
]


def named(value: object) -> str:
    """Without its address, which differs in each test process."""
    return repr(value).partition(" at 0x")[0]


@pytest.mark.parametrize("value", FIXED, ids=named)
def test_what_cannot_be_changed_is_handed_out_as_it_is(value: object) -> None:
    assert is_fixed(value)
    kept = Kept(value)
    assert kept.own() is value
    assert not kept.shared


@pytest.mark.parametrize(
    "value", [one for one in CHANGEABLE if not isinstance(one, MappingProxyType | Unset)], ids=named
)
def test_of_what_can_be_everybody_gets_a_copy(value: Any) -> None:
    assert not is_fixed(value)
    kept = Kept(value)
    one, other = kept.own(), kept.own()
    assert not kept.shared
    assert one is not value
    assert one is not other
    assert type(one) is type(value)
    assert repr(one).partition(" object at ")[0] == repr(value).partition(" object at ")[0]


def test_a_long_way_down() -> None:
    deep: Any = ()
    for _ in range(200):
        deep = (deep, deep)  # 2**200 visits if each were visited
    assert is_fixed(deep)
    assert not is_fixed((deep, [1]))
    endless = Frozen()
    object.__setattr__(endless, "part", endless)
    assert not is_fixed(endless)


def test_a_copy_shares_what_cannot_be_changed_and_keeps_its_shape() -> None:
    item, nothing, same = Slotted("a"), Nothing(), [1]
    value = Open({"items": [item], "same": (same, same), "plain": Plain(nothing), "slots": OpenSlotted(same)})
    value.part["round"] = value
    copy = own(value)
    assert copy is not value
    assert copy.part["round"] is copy
    assert copy.part["items"][0] is item
    assert copy.part["plain"].part is nothing, "it is compared by identity"
    one, other = copy.part["same"]
    assert one is other is copy.part["slots"].part
    assert one is not same


def test_what_a_model_holds_beside_its_fields_is_copied_too() -> None:
    """Its private attributes, and fields that it does not declare."""
    kept = Kept((PrivateModel(), ExtraModel(part=1, more=[1])))  # type: ignore[call-arg]
    private, extra = kept.own()
    private._parts.append(2)
    extra.more.append(2)  # type: ignore[attr-defined]
    private, extra = kept.own()
    assert (private._parts, extra.more) == ([1], [1])  # type: ignore[attr-defined]


def test_a_key_that_can_be_changed_is_copied_with_its_dict() -> None:
    kept = Kept({Plain([1]): "a", (1, Plain([2])): "b"})
    for _ in range(2):
        one, (_, other) = kept.own()
        assert (one.part, other.part) == ([1], [2])
        one.part.append(3)
        other.part.append(3)


def test_what_cannot_be_copied_is_shared() -> None:
    class Stubborn:
        def __init__(self) -> None:
            self.parts = [1]

        def __deepcopy__(self, memo: object) -> object:
            raise SystemExit

    for value in (Plain(Lock()), Plain(iter([1] for _ in "1")), Stubborn(), (one for one in [1]), Frozen(Lock())):
        kept = Kept(value)
        assert kept.shared
        assert kept.own() is value


class Recursive(msgspec.Struct, frozen=True):
    below: "Recursive | None" = None


class Pair2(NamedTuple):
    one: int


@dataclass(frozen=True)
class Simple:
    sku: Sku
    kind: Literal["a", "b"]
    parts: tuple[Annotated[Pair2, "x"], ...] | None = None
    numbers: frozenset[int] = frozenset()
    at: datetime | None = None
    red: Colour = Colour.RED


class FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True)
    parts: tuple[int, ...] = ()
    child: "FrozenModel | None" = None


class ListModel(BaseModel):
    model_config = ConfigDict(frozen=True)
    parts: list[int] = []


class Typed(TypedDict):
    a: int


def one_of(annotation: Any) -> Any:
    return msgspec.defstruct("One", [("part", annotation)], frozen=True)


@pytest.mark.parametrize("cls", [Simple, Recursive, Pair2, FrozenModel, one_of(FrozenModel), one_of(tuple[int, str])])
def test_a_class_whose_events_cannot_be_changed(cls: type) -> None:
    assert is_fixed_class(cls)


@pytest.mark.parametrize(
    "cls",
    [
        Open,
        OpenStruct,
        ListModel,
        OpenModel,
        PrivateModel,
        ExtraModel,
        one_of(ListModel),
        one_of(tuple[PrivateModel, ...]),
        *map(one_of, [list[int], dict[str, int], set[int], Mapping[str, int], Any, Typed, tuple[list[int], ...], Open]),
    ],
)
def test_a_class_whose_events_can(cls: type) -> None:
    assert not is_fixed_class(cls)
