"""The fields of an event class, and which are refused when the App is built."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal
from typing import Annotated, Any, Generic, NamedTuple, NewType, TypedDict, TypeVar

import msgspec
import pytest
from pydantic import AliasChoices, AliasGenerator, BaseModel, ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass as pydantic_dataclass

from twofold import App, ConfigurationError, Decider, Stored
from twofold.codec import Codec
from twofold.codec.fields import equality_tells_all, holds_itself
from twofold.messages import Stream

T = TypeVar("T")


class Named(NamedTuple):
    a: int
    b: int


Untyped = namedtuple("Untyped", "a b")  # noqa: PYI024 (this is how it is written too)


class Array(msgspec.Struct, array_like=True):
    a: int


NewNamed = NewType("NewNamed", Named)


@dataclass
class InOptional:
    inner: dict[str, list[Named] | None]


@dataclass
class InNewType:
    inner: Annotated[NewNamed, "why"]


@dataclass
class InUntyped:
    inner: Untyped


@dataclass
class Box(Generic[T]):
    inside: T


@dataclass
class InGeneric:
    inner: Box[tuple[Array, ...]]


@dataclass
class OfGeneric(Box[Named]):
    pass


class Typed(TypedDict):
    inner: Named


@dataclass
class InTyped:
    inner: Typed


class InModel(BaseModel):
    inner: tuple[Named, ...] = ()


class ModelBox(BaseModel, Generic[T]):
    inside: T


class InModelBox(BaseModel):
    inner: ModelBox[Named] | None = None


@dataclass
class HoldsModel:
    inner: InModel


class Rows(RootModel[list[Named]]):
    pass


class InStruct(msgspec.Struct):
    inner: Array | None = None


@dataclass
class Itself:
    more: list[Itself]
    inner: Named


@pytest.mark.parametrize(
    ("cls", "path"),
    [
        (Named, "Named"),
        (Array, "Array"),
        (InOptional, "InOptional.inner"),
        (InNewType, "InNewType.inner"),
        (InUntyped, "InUntyped.inner"),
        (InGeneric, "InGeneric.inner"),
        (OfGeneric, "OfGeneric"),
        (InTyped, "InTyped.inner.inner"),
        (InModel, "InModel.inner"),
        (InModelBox, "InModelBox.inner.inside"),
        (HoldsModel, "HoldsModel.inner.inner"),
        (Rows, "Rows.root"),
        (InStruct, "InStruct.inner"),
        (Itself, "Itself.inner"),
    ],
)
def test_what_is_stored_by_place_is_refused_with_the_way_out(cls: type, path: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf" {path} would be stored by position.*Make it a dataclass.*upcaster"
    ):
        Codec([cls], {})


class Taken(msgspec.Struct):
    origin: str
    target: str


def test_what_was_stored_by_place_is_read_as_the_way_out_says() -> None:
    known = Codec([Taken], {Taken: Stored("Trip", 2, [lambda old: {"origin": old[0], "target": old[-1]}])})  # type: ignore[index]
    assert list(known.events(Stream("trip", "1"), 1, [("Trip", 1, b'["Bonn","Ulm","Rom"]')])) == [Taken("Bonn", "Rom")]


class Aliased(BaseModel):
    paid_at: int = Field(alias="paidAt")


class Validated(BaseModel):
    paid_at: int = Field(validation_alias=AliasChoices("paidAt", "paid"))


class Serialized(BaseModel):
    paid_at: int = Field(serialization_alias="paidAt")


class Generated(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)
    paid_at: int


class GeneratedBoth(BaseModel):
    model_config = ConfigDict(alias_generator=AliasGenerator(serialization_alias=to_camel))
    paid_at: int


class ByAlias(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True)
    paid_at: int


@pydantic_dataclass
class AliasedDataclass:
    paid_at: int = Field(alias="paidAt")


class Nested(BaseModel):
    many: dict[str, list[Aliased]]


class NestedDataclass(BaseModel):
    one: AliasedDataclass


@dataclass
class Held:
    nested: Nested | None


class Inherited(Generated):
    more_of_it: int = 0


@pytest.mark.parametrize(
    ("cls", "path"),
    [
        (Aliased, "Aliased.paid_at has the alias 'paidAt'"),
        (Validated, "Validated.paid_at has the alias AliasChoices"),
        (Serialized, "Serialized.paid_at has the alias 'paidAt'"),
        (Generated, "Generated.paid_at has the alias 'paidAt'"),
        (GeneratedBoth, "GeneratedBoth.paid_at has the alias 'paidAt'"),
        (ByAlias, "ByAlias.paid_at has the alias 'paidAt'"),
        (Nested, "Nested.many.paid_at"),
        (NestedDataclass, "NestedDataclass.one.paid_at"),
        (Held, "Held.nested.many.paid_at"),
        (Inherited, "Inherited.paid_at"),
    ],
)
def test_an_alias_is_refused_with_the_way_out(cls: type, path: str) -> None:
    def decide(command: int, state: int) -> list[Any]:
        return []

    def evolve(state: int, event: Any) -> int:
        return state

    decide.__annotations__["command"], evolve.__annotations__["event"] = Taken, cls
    decider = Decider("thing", 0, decide, evolve)
    with pytest.raises(ConfigurationError, match=rf"{path}.*remove the alias, or set validate_by_name=True"):
        App("a", deciders=[decider])


class ByName(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)
    paid_at: int
    same: int = Field(2, alias="same")


class Populated(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    paid_at: int = Field(alias="paidAt")


@pytest.mark.parametrize("event", [ByName(paid_at=1), Populated(paid_at=1)], ids=["by name", "populated"])
def test_an_alias_beside_the_name_of_the_field_does_no_harm(event: BaseModel) -> None:
    encoded = Codec([type(event)], {}).encode(event)
    assert encoded.event == event
    assert b"paid_at" in encoded.data


# ---- when == and the same JSON are enough


@dataclass(frozen=True, slots=True, order=True)
class Whole:
    a: int
    b: tuple[str, ...] = ()
    c: Decimal = Decimal(0)
    d: datetime | None = None


@dataclass(frozen=True)
class MoreOfIt(Whole):
    inner: Whole | None = None
    boxed: Box[int] | None = None


class Undecorated(Whole):
    pass


@dataclass
class Uncompared:
    a: int
    b: int = field(default=0, compare=False)


@dataclass
class OwnEquality:
    a: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnEquality)

    __hash__ = None  # type: ignore[assignment]


@dataclass(eq=False)
class Identity:
    a: int


@dataclass
class HoldsIdentity:
    many: list[Identity]


class Struct(msgspec.Struct):
    a: int


class StructOfIdentity(msgspec.Struct, eq=False):
    a: int


class StructOfItsOwn(msgspec.Struct):
    a: int

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Timed:
    at: time


@dataclass
class Loose:
    many: dict[str, Any]


@pytest.mark.parametrize("cls", [Whole, MoreOfIt, Undecorated, Struct])
def test_equality_tells_all(cls: type) -> None:
    assert equality_tells_all(cls)


@pytest.mark.parametrize(
    "cls",
    [Uncompared, OwnEquality, Identity, HoldsIdentity, StructOfIdentity, StructOfItsOwn, Timed, Loose, HoldsModel],
)
def test_equality_does_not_tell_all(cls: type) -> None:
    assert not equality_tells_all(cls)


def test_what_can_be_nested_without_end() -> None:
    assert holds_itself(Itself)
    assert holds_itself(Box[Itself])
    assert not holds_itself(MoreOfIt)
