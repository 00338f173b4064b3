"""Every value in an event comes back unchanged or is refused by its path, whatever its class and its `==`."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag, StrEnum
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, NewType, NoReturn, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, PrivateAttr, RootModel, computed_field, field_serializer
from pydantic import Field as ModelField

from twofold import InvalidEvent
from twofold.codec import Codec
from twofold.codec.roundtrip import MAX_DEPTH
from twofold.errors import UndecodableEvent
from twofold.messages import Stream

BERLIN = ZoneInfo("Europe/Berlin")
ID = UUID(int=7)
NOW = datetime(2024, 1, 1, tzinfo=UTC)
NAIVE = datetime(2024, 1, 1)  # noqa: DTZ001 (it has to be refused)


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another"


class Number(int):
    pass


class Money(Decimal):
    pass


class Moment(datetime):
    pass


class Rank(IntEnum):
    HIGH = 7


class Rights(IntFlag):
    READ = 1
    WRITE = 2


class Tone(StrEnum):
    LOUD = "loud"


class Size(Enum):
    SMALL = "s"


CustomerId = NewType("CustomerId", str)
Price = NewType("Price", Decimal)


@dataclass(frozen=True)
class Parcel:
    owner: str


@dataclass(frozen=True)
class Insured(Parcel):
    value: int = 0


class Marked(Parcel):
    """Adds no field to Parcel."""


class Sly(Parcel):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = Parcel.__hash__


class Rude(Parcel):
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("never compare me")

    __hash__ = Parcel.__hash__


class Place(msgspec.Struct, frozen=True):
    owner: str


class Better(Place, frozen=True):
    pass


class Owned(BaseModel, frozen=True):
    owner: str


class OwnedBetter(Owned, frozen=True):  # noqa: PLW1641
    value: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Owned) and other.owner == self.owner


class Shelf(TypedDict):
    owner: str


class Point(NamedTuple):
    x: int
    y: int


class Basket(list[int]):
    owner = ""


def basket() -> Basket:
    made = Basket([1])
    made.owner = "ann"
    return made


T = TypeVar("T")


@dataclass(frozen=True)
class Box(Generic[T]):
    inside: T


class ModelBox(BaseModel, Generic[T], frozen=True):
    inside: T


class Cat(BaseModel, frozen=True):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel, frozen=True):
    kind: Literal["dog"] = "dog"


class Names(RootModel[tuple[str, ...]], frozen=True):
    pass


class Folded(BaseModel, frozen=True):
    at: datetime
    price: Decimal = Decimal(0)
    rank: int = 0
    anything: Any = None


@dataclass
class Put:
    """A field of each type that could hold a value of another type."""

    text: str = ""
    integer: int = 0
    real: float = 0.0
    decimal: Decimal = Decimal(0)
    raw: bytes = b""
    at: datetime = NOW
    clock: time | None = None
    customer: CustomerId = CustomerId("")
    price: Price | None = None
    shelf: dict[int | str, Any] = field(default_factory=dict)
    days: dict[datetime, int] = field(default_factory=dict)
    clocks: dict[time, int] = field(default_factory=dict)
    totals: dict[int, int] = field(default_factory=dict)
    parcel: Parcel | None = None
    hidden: Parcel | None = field(default=None, compare=False)
    parcels: tuple[Parcel, ...] = ()
    named: dict[str, Parcel] = field(default_factory=dict)
    chosen: frozenset[Parcel] = frozenset()
    numbers: set[float] = field(default_factory=set)
    place: Place | None = None
    owned: Owned | None = None
    either: Annotated[Cat, "one model, msgspec takes no more"] | None = None
    typed: Shelf | None = None
    box: Box[Parcel] | None = None
    model_box: ModelBox[Cat] | None = None
    point: tuple[int, int] = (0, 0)
    listed: list[int] = field(default_factory=list)
    anything: Any = None


@dataclass(frozen=True)
class Flat:
    """Without fields whose values must be walked: the fast path."""

    text: str = ""
    integer: int = 0
    real: float = 0.0
    decimal: Decimal = Decimal(0)
    at: datetime = NOW
    parcel: Parcel | None = None
    parcels: tuple[Parcel, ...] = ()
    place: Place | None = None
    typed: Shelf | None = None
    box: Box[Parcel] | None = None
    named: dict[str, list[Parcel]] = field(default_factory=dict)
    chosen: frozenset[int] = frozenset()
    point: tuple[int, int] = (0, 0)
    listed: list[int] = field(default_factory=list)


CODEC = Codec([Put, Flat, Folded], {})


def kept(event: Any) -> Any:
    return CODEC.encode(event).event


TWICE = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)


@pytest.mark.parametrize("cls", [Put, Flat])
@pytest.mark.parametrize("at", [TWICE, TWICE.replace(fold=1), datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN)])
def test_a_time_that_comes_twice_or_never_is_kept_as_its_moment(cls: Any, at: datetime) -> None:
    read = kept(cls(at=at)).at
    assert (read.timestamp(), read.utcoffset()) == (at.timestamp(), timedelta(0))
    assert kept(Folded(at=at)).at.timestamp() == at.timestamp()
    assert [key.timestamp() for key in kept(Put(days={at: 1})).days] == [at.timestamp()]


@pytest.mark.parametrize("cls", [Put, Flat])
@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("text", Text("a"), "a"),
        ("text", Tone.LOUD, "loud"),
        ("integer", Number(7), 7),
        ("integer", Rank.HIGH, 7),
        ("integer", Rights.READ | Rights.WRITE, 3),
        ("real", 2, 2.0),
        ("decimal", 10**30, Decimal(10**30)),
        ("decimal", Money("1.10"), Decimal("1.10")),
        ("decimal", Decimal("1.0E+1000"), Decimal("1.0E+1000")),
        ("decimal", Decimal("1." + "0" * 2000), Decimal("1." + "0" * 2000)),
        ("at", Moment(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), NOW),
        ("point", [1, 2], (1, 2)),
        ("listed", (1, 2), [1, 2]),
        ("listed", (Rank.HIGH, Number(7)), [7, 7]),
    ],
)
def test_a_subclass_is_kept_as_its_plain_value(cls: Any, name: str, value: Any, plain: Any) -> None:
    read = getattr(kept(cls(**{name: value})), name)
    assert read == plain
    assert type(read) is type(plain)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("customer", CustomerId("ann")),
        ("price", Price(Decimal("2.50"))),
        ("shelf", {"x": [1, {"y": None}]}),
        ("days", {NOW: 1}),
        ("clocks", {time(1): 1, time(1, tzinfo=UTC): 2}),
        ("totals", {Rank.HIGH: 1}),
        ("parcel", Parcel("a")),
        ("chosen", frozenset({Parcel("a"), Parcel("b")})),
        ("numbers", {1, 2.5}),
        ("place", Place("a")),
        ("owned", Owned(owner="a")),
        ("either", Cat(lives=3)),
        ("typed", {"owner": "a"}),
        ("box", Box(Parcel("a"))),
        ("model_box", ModelBox[Cat](inside=Cat())),
        ("model_box", ModelBox(inside=Cat())),
        ("named", defaultdict(Parcel, {"a": Parcel("a")})),
        ("anything", {"a": [1, 1.0, True, None, -0.0, "x", 10**30]}),
        ("anything", Tone.LOUD),
    ],
)
def test_what_is_kept(name: str, value: Any) -> None:
    assert getattr(kept(Put(**{name: value})), name) == value


REFUSED: list[tuple[str, Any, str]] = [
    ("text", ID, "text"),
    ("text", Decimal(1), "text"),
    ("text", b"a", "text"),
    ("text", date(2024, 1, 1), "text"),
    ("text", Size.SMALL, "text"),
    ("real", 2**53 + 1, "real"),
    ("decimal", 0.1, "decimal"),
    ("decimal", 0.5, "decimal"),
    ("decimal", 10**2000, "decimal is Decimal('1000"),
    ("decimal", Decimal("1E+1001"), "decimal is Decimal('1E+1001')"),
    ("decimal", Decimal("1E-1001"), "decimal"),
    ("decimal", Decimal("Infinity"), "decimal"),
    ("decimal", Decimal("0." + "3" * 1001), "decimal"),
    ("decimal", Decimal("1.23E-999"), "decimal"),
    ("parcel", Insured("a", 1), "parcel"),
    ("parcel", Marked("a"), "parcel"),
    ("parcel", Sly("a"), "parcel"),
    ("parcel", Rude("a"), "parcel"),
    ("parcels", (Parcel("a"), Insured("a")), "parcels[1]"),
    ("place", Better("a"), "place"),
    ("typed", {"owner": "a", "value": 1}, "typed['value']"),
    ("typed", {"owner": ID}, "typed['owner']"),
    ("box", Box(Insured("a")), "box.inside"),
    ("point", Point(1, 2), "point"),
    ("listed", basket(), "listed"),
]


@pytest.mark.parametrize("cls", [Put, Flat])
@pytest.mark.parametrize(("name", "value", "path"), REFUSED)
def test_what_would_be_another_is_refused_by_its_path(cls: Any, name: str, value: Any, path: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        CODEC.encode(cls(**{name: value}))
    assert str(refused.value).startswith(f"{cls.__name__}.{path}")


class Worse(BaseModel):
    inner: Owned | None = None
    out: int = ModelField(0, exclude=True)
    _by: str = PrivateAttr("nobody")


class Turned(BaseModel):
    total: int

    @field_serializer("total")
    def turn(self, total: int) -> int:
        return -total


class More(BaseModel, extra="allow"):
    owner: str


class Counted(BaseModel, extra="forbid", frozen=True):
    a: int
    b: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> int:
        return self.a + self.b


class Unset(msgspec.Struct):
    number: int
    anything: Any = None
    left_out: int | msgspec.UnsetType = msgspec.UNSET  # can be written as a field, and not by itself


class Computed(BaseModel):
    a: int
    b: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> int:
        return self.a + self.b


class Pets(BaseModel):
    pet: Annotated[Cat | Dog, ModelField(discriminator="kind")]
    loose: Cat | Dog | None = None


class Raw(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    raw: bytes


def by(worse: Worse, who: str) -> Worse:
    worse._by = who
    return worse


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (Put(hidden=Marked("a")), "Put.hidden"),
        (Put(named={"x": Insured("a")}), "Put.named['x']"),
        (Put(chosen=frozenset({Parcel("a"), Insured("b")})), "Put.chosen[Insured("),
        (Put(numbers={2**53 + 1}), "Put.numbers["),
        (Put(owned=OwnedBetter(owner="a", value=1)), "Put.owned"),
        (Put(model_box=ModelBox[Any](inside={"lives": 3})), "Put.model_box"),
        (Put(shelf={1: "a", "1": "b"}), "Put.shelf[1]"),
        (Put(shelf={1: "a"}), "Put.shelf[1] (the key)"),
        (Put(shelf={"x": [0, 1, Parcel("a")]}), "Put.shelf['x'][2]"),
        (Put(shelf={"x": {1: "a"}}), "Put.shelf['x'][1] (the key)"),
        (Put(days={NAIVE: 1}), "Put.days[datetime.datetime(2024, 1, 1, 0, 0)] (the key)"),
        (Put(days={NOW: 1, NAIVE: 1}), "Put.days[datetime.datetime(2024, 1, 1, 0, 0)] (the key)"),
        (Put(clocks={time(1, tzinfo=BERLIN): 1}), "Put.clocks["),
        (Put(clock=time(1, tzinfo=BERLIN)), "Put.clock"),
        (Put(clock=time(1, fold=1)), "Put.clock"),
        (Put(anything=Size.SMALL), "Put.anything"),
        (Put(anything=Sly("a")), "Put.anything"),
        (Put(anything=NOW), "Put.anything"),
        (Put(anything=ID), "Put.anything"),
        (Put(anything=Decimal("1.5")), "Put.anything"),
        (Put(anything=b"a"), "Put.anything"),
        (Put(anything={1, 2}), "Put.anything"),
        (Put(anything=Point(1, 2)), "Put.anything"),
        (Put(anything={"a": {True: 1}}), "Put.anything['a'][True] (the key)"),
        (Put(anything={"a": {(1, 2): 1}}), "Put.anything['a'][(1, 2)] (the key)"),
        (Put(anything=[{None: 1}]), "Put.anything[0][None] (the key)"),
        (Put(anything=[1j]), "Put.anything[0] is 1j"),
        (Put(integer=10**5000), "Put.integer is a value of int"),
        (Put(integer="1"), "Put.integer cannot be stored: Expected `int`, got `str`"),  # type: ignore[arg-type]
        (Put(totals={"x": 1}), "Put.totals cannot be stored: Expected `int`"),  # type: ignore[dict-item]
        (Put(parcels=(Parcel(1),)), "Put.parcels[0].owner cannot be stored: Expected `str`"),  # type: ignore[arg-type]
        (Put(owned=Owned.model_construct(owner=1)), "Put.owned cannot be stored: 1 validation error for Owned"),
        (Counted(a=1, b=2), "Counted.total cannot be stored: Extra inputs are not permitted"),
        (Unset(number=True), "Unset.number cannot be stored: Expected `int`, got `bool`"),
        (Unset(1, 1j), "Unset.anything is 1j"),
        (Names.model_construct(("a", 1)), "Names[1] cannot be stored: Input should be a valid string"),
        (Put(anything=Counter({1: 2})), "Put.anything[1] (the key)"),
        (Folded(at=NOW, anything=Parcel("a")), "Folded.anything"),
        (Folded(at=NOW, anything=(1, [Decimal(1)])), "Folded.anything[1][0]"),
        (Folded(at=NAIVE), "Folded.at"),
        (Folded(at=NOW, price=Decimal("1E+2000")), "Folded.price"),
        (Folded.model_construct(at=NOW, price=0.1), "Folded.price"),
        (Folded.model_construct(at=NOW, price=10**2000), "Folded.price"),
        (Folded.model_construct(at=NOW, rank=True), "Folded.rank"),
        (Worse(inner=OwnedBetter(owner="a")), "Worse.inner"),
        (Worse(out=1), "Worse.out"),
        (by(Worse(), "ann"), "Worse._by"),
        (Turned(total=1), "Turned.total"),
        (More(owner="a", more=ID), "More.more"),  # type: ignore[call-arg]
        (Pets.model_construct(pet=Dog(), loose=Owned(owner="a")), "Pets.loose"),
    ],
)
def test_what_only_the_walk_sees_is_refused_by_its_path(event: Any, path: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        Codec([type(event)], {}).encode(event)
    assert str(refused.value).startswith(path)


@pytest.mark.parametrize(
    "event",
    [
        Worse(inner=Owned(owner="a")),
        Turned(total=0),
        More(owner="a", more={"x": [1]}),  # type: ignore[call-arg]
        Computed(a=1, b=2),
        Pets(pet=Dog(), loose=Cat()),
        Names(("a", "b")),
        Raw(raw=b"\xff\x00>?"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_pydantic_keeps(event: Any) -> None:
    encoded = Codec([type(event)], {}).encode(event)
    assert encoded.event == event
    assert repr(encoded.event) == repr(event)


# ---- user code that raises


class Grumpy(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@dataclass
class Picky:  # noqa: PLW1641
    number: int
    checked: bool = False

    def __post_init__(self) -> None:
        if self.number > 1:
            raise Grumpy

    def __eq__(self, other: object) -> bool:
        raise KeyError("eq")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_whatever_a_class_raises_it_is_an_invalid_event() -> None:
    known = Codec([Picky], {})
    assert known.encode(Picky(1)).event.number == 1
    event = Picky(1)
    event.number = 2
    with pytest.raises(InvalidEvent, match=r"^Picky cannot be stored: .*Picky \(its repr raises RuntimeError\)"):
        known.encode(event)


class Broken(msgspec.Struct):  # noqa: PLW1641
    value: Any

    def __eq__(self, other: object) -> NoReturn:
        raise SystemError("eq")


def test_an_equality_that_raises_is_not_asked() -> None:
    assert Codec([Broken], {}).encode(Broken([1])).event.value == [1]


@dataclass
class Leaving:
    number: int
    raised: ClassVar[type[BaseException] | None] = None

    def __post_init__(self) -> None:
        if self.raised is not None:
            raise self.raised


@pytest.mark.parametrize("raised", [SystemExit, GeneratorExit, asyncio.CancelledError, Grumpy])
def test_only_ctrl_c_leaves_a_class_of_the_users(monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]) -> None:
    known, event = Codec([Leaving], {}), Leaving(1)
    encoded = known.encode(event)
    monkeypatch.setattr(Leaving, "raised", raised)
    with pytest.raises(InvalidEvent, match=rf"^Leaving cannot be stored: {raised.__name__}"):
        known.encode(event)
    with pytest.raises(UndecodableEvent, match=raised.__name__):
        list(known.events(Stream("put", "1"), 1, [("Leaving", 1, encoded.data)]))
    monkeypatch.setattr(Leaving, "raised", KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        known.encode(event)


def test_a_large_set_of_wrong_members_is_refused_at_the_first() -> None:
    insured = frozenset(Insured(str(number)) for number in range(3_000))
    with pytest.raises(InvalidEvent, match=r"^Put\.chosen\[Insured"):
        CODEC.encode(Put(chosen=insured))


# ---- nested endlessly


@dataclass
class Link:
    next: Link | None = None


def chain(links: int) -> Link:
    first = Link()
    for _ in range(links - 1):
        first = Link(first)
    return first


def nested(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels - 1):
        made = [made]
    return made


def test_the_limit_of_nesting() -> None:
    known = Codec([Put, Link], {})
    assert known.encode(chain(MAX_DEPTH)).event.next is not None
    assert known.encode(Put(anything=nested(MAX_DEPTH))).event.anything == nested(MAX_DEPTH)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 500, 1_200, 5_000])
def test_what_is_nested_too_deep_is_refused_by_the_start_of_its_path(levels: int) -> None:
    for event, start in [
        (Put(anything=nested(levels)), "Put.anything[0][0][0]"),
        (chain(levels), "Link.next.next"),
        (Folded(at=NOW, anything={"a": nested(levels)}), "Folded.anything['a'][0]"),
    ]:
        with pytest.raises(InvalidEvent) as refused:
            Codec([type(event)], {}).encode(event)
        assert str(refused.value).startswith(start)
        assert str(refused.value).endswith(f"is nested more than {MAX_DEPTH} levels deep")


# ---- against an oracle independent of the implementation


def same(value: Any, read: Any) -> bool:
    """Type by type, in the simplest way."""
    if isinstance(value, bool) or isinstance(read, bool):
        return value is read
    if isinstance(value, datetime):
        return type(read) is datetime and value.timestamp() == read.timestamp()
    for plain in (str, bytes):
        if isinstance(value, plain):
            return type(read) is plain and "".join(map(chr, map(ord, value))) == read if plain is str else value == read
    if isinstance(value, int | float | Decimal):
        return same_number(value, read)
    if isinstance(value, list | tuple):
        return type(read) in (list, tuple) and len(read) == len(value) and all(map(same, value, read))
    if isinstance(value, frozenset):
        return type(read) is frozenset and len(read) == len(value) and all(any(same(a, b) for b in read) for a in value)
    if isinstance(value, dict):
        keys = list(read)
        return len(keys) == len(value) and all(
            any(same(key, other) and same(inner, read[other]) for other in keys) for key, inner in value.items()
        )
    if is_dataclass(value):
        return type(value) is type(read) and all(
            same(getattr(value, each.name), getattr(read, each.name)) for each in fields(value)
        )
    return type(value) is type(read) and bool(value == read)


def same_number(value: Any, read: Any) -> bool:
    kinds = {next(kind for kind in (int, float, Decimal) if isinstance(each, kind)) for each in (value, read)}
    if kinds == {float} and math.copysign(1, value) != math.copysign(1, read):
        return False
    return kinds != {float, Decimal} and ratio(value) == ratio(read) is not None


def ratio(number: Any) -> tuple[int, int] | None:
    try:
        return number.as_integer_ratio()  # type: ignore[no-any-return]
    except (ValueError, OverflowError):  # NaN or infinite
        return None


TEXTS = st.text(st.characters(exclude_categories=()), max_size=4) | st.builds(Text, st.text(max_size=3))
ZONES = st.sampled_from([UTC, BERLIN, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(seconds=7)), None])
TIMES = st.datetimes(NAIVE, NAIVE.replace(year=2025), timezones=ZONES, allow_imaginary=True)
NUMBERS = st.sampled_from([0, 1, True, 2**53 + 1, 10**30, 10**1500, Rank.HIGH, Number(3)]) | st.integers() | st.floats()
SINGLE = TEXTS | NUMBERS | st.decimals() | TIMES | st.sampled_from([None, Size.SMALL, Tone.LOUD, ID, b"a", NOW.date()])
PARCELS = st.sampled_from([Parcel("a"), Insured("a", 1), Marked("b"), Sly("c"), Parcel(Text("d"))])
ANY = st.recursive(
    SINGLE | PARCELS,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.tuples(inner)
        | st.dictionaries(TEXTS | st.integers(0, 1) | TIMES, inner, max_size=2)
        | st.frozensets(st.integers(), max_size=2)
        | st.just(Point(1, 2))
    ),
    max_leaves=4,
)


def event_of(cls: Any) -> st.SearchStrategy[Any]:
    """Events with mostly right values, and one or two drawn from everything."""
    names = sorted({each.name for each in fields(cls)} & set(RIGHT))
    right = st.fixed_dictionaries({}, optional={name: RIGHT[name] for name in names})
    wrong = st.dictionaries(st.sampled_from(names), ANY, max_size=1)
    return st.builds(lambda some, other: cls(**{**some, **other}), right, wrong)


RIGHT: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXTS,
    "integer": st.integers() | st.sampled_from([Rank.HIGH, Number(3), 10**1500]),
    "real": st.floats() | st.integers(-(2**54), 2**54),
    "decimal": st.decimals("-1E+9", "1E+9") | st.builds(Money, st.decimals(0, 9)) | st.integers(),
    "at": TIMES,
    "shelf": st.dictionaries(TEXTS | st.integers(0, 2), ANY, max_size=2),
    "days": st.dictionaries(TIMES, st.integers(), max_size=2),
    "totals": st.dictionaries(st.integers() | st.just(Rank.HIGH), st.integers(), max_size=2),
    "parcel": PARCELS,
    "hidden": PARCELS,
    "parcels": st.lists(PARCELS, max_size=2).map(tuple),
    "chosen": st.frozensets(PARCELS, max_size=2),
    "box": st.builds(Box, PARCELS),
    "anything": ANY,
}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(event_of(Put) | event_of(Flat))
def test_an_event_comes_back_the_same_or_is_refused_by_a_path(event: Any) -> None:
    name = type(event).__name__
    try:
        encoded = CODEC.encode(event)
    except InvalidEvent as error:
        said = str(error)
    else:
        said = f"{name}."
        assert same(event, encoded.event)
        [again] = CODEC.events(Stream("put", "1"), 1, [(name, 1, encoded.data)])
        assert same(encoded.event, again)
    assert said.startswith(f"{name}.")
