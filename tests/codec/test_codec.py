"""Events become JSON and are read back unchanged, or are refused by name; old JSON is upcast."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from twofold import ConfigurationError, InvalidEvent, Stored
from twofold.codec import MAX_EVENT_BYTES, Codec
from twofold.errors import UndecodableEvent
from twofold.messages import BEGINNING, Encoded, Entry, Stream

EAST = timezone(timedelta(hours=5, minutes=30))


NOBODY = UUID(int=0)
NAIVE = datetime(2024, 1, 1)  # noqa: DTZ001 (it has to be refused)


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Rank(IntEnum):
    LOW = -1
    HIGH = 7


@dataclass(frozen=True, slots=True)
class Item:
    product: str
    price: Decimal
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Everything:
    text: str = ""
    integer: int = 0
    real: float = 0.0
    boolean: bool = False
    decimal: Decimal = Decimal(0)
    moment: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    day: date = date(2024, 1, 1)
    clock: time = time(12, tzinfo=UTC)
    length: timedelta = timedelta(0)
    uuid: UUID = NOBODY
    raw: bytes = b""
    size: Size = Size.SMALL
    rank: Rank = Rank.LOW
    literal: Literal["a", "b"] = "a"
    optional: Decimal | None = None
    items: tuple[Item, ...] = ()
    listed: list[int] = field(default_factory=list)
    mapped: dict[str, Decimal] = field(default_factory=dict)
    chosen: frozenset[int] = frozenset()
    pair: tuple[int, str] = (0, "")


class EverythingStruct(msgspec.Struct, frozen=True):
    text: str
    decimal: Decimal
    moment: datetime
    item: Item
    size: Size = Size.SMALL
    optional: int | None = None


class PydanticItem(BaseModel, frozen=True):
    product: str
    price: Decimal


class EverythingModel(BaseModel, frozen=True):
    text: str
    count: Annotated[int, Field(ge=0)]
    decimal: Decimal
    moment: datetime
    day: date
    uuid: UUID
    size: Size
    rank: Rank
    items: tuple[PydanticItem, ...]
    mapped: dict[str, float] = {}
    optional: datetime | None = None


@dataclass(frozen=True)
class HoldsModel:
    item: PydanticItem
    others: list[PydanticItem]


@dataclass(frozen=True)
class Loose:
    value: Any


WHOLE = Everything(
    '日本 🦊 \\ " \u2028',
    -(2**63),
    0.1,
    True,
    Decimal("-0.1000000000000000000000000000000000001"),
    datetime(2024, 2, 29, 1, 2, 3, 456_789, tzinfo=UTC),
    date(9999, 12, 31),
    time(23, 59, 59, 1, tzinfo=UTC),
    timedelta(days=-1, microseconds=1),
    UUID(int=2**128 - 1),
    b"\x00\xff",
    Size.LARGE,
    Rank.HIGH,
    "b",
    Decimal("1.50"),
    (Item("a", Decimal("0.10"), datetime(1, 1, 1, tzinfo=UTC)), Item("", Decimal("1E+40"))),
    [1, 2**63 - 1],
    {"": Decimal(1), "ключ.$": Decimal("2.0")},
    frozenset({1, 2}),
    (7, "x"),
)
STRUCT = EverythingStruct("ä", Decimal("1.10"), datetime(2024, 1, 1, tzinfo=UTC), Item("a", Decimal(1)))
MODEL = EverythingModel(
    text="🦊",
    count=3,
    decimal=Decimal("1.10"),
    moment=datetime(2024, 1, 1, 2, 3, 4, 5, tzinfo=UTC),
    day=date(2024, 1, 1),
    uuid=UUID(int=7),
    size=Size.LARGE,
    rank=Rank.HIGH,
    items=(PydanticItem(product="a", price=Decimal("0.10")),),
    mapped={"a": 0.5},
)


def codec(*types: type, **stored: Stored) -> Codec:
    return Codec(types, {cls: stored[cls.__name__] for cls in types if cls.__name__ in stored})


def entry(encoded: Encoded, **changes: Any) -> Entry:
    found = Entry(BEGINNING, "order-1", 3, encoded.type, encoded.schema, encoded.data, b"{}", datetime.now(UTC))
    return msgspec.structs.replace(found, **changes)


def round_trip(event: Any) -> Any:
    known = codec(type(event))
    encoded = known.encode(event)
    read = known.decode(entry(encoded))
    assert encoded.event == read, "the answer to a command shows what will be read later"
    return read


# ---- there and back


@pytest.mark.parametrize(
    "event",
    [Everything(), WHOLE, STRUCT, MODEL, HoldsModel(PydanticItem(product="a", price=Decimal("1.0")), [])],
    ids=lambda event: type(event).__name__,
)
def test_an_event_comes_back_as_it_was(event: Any) -> None:
    assert round_trip(event) == event
    if not isinstance(event, BaseModel):  # those have their own zone, which is UTC too
        assert repr(round_trip(event)) == repr(event)


@pytest.mark.parametrize(
    "text", ["0.10", "1E+2", "-0.0", "123456789012345678901234567890.123456789012345678901234567890"]
)
def test_a_decimal_keeps_its_digits(text: str) -> None:
    assert str(round_trip(Everything(decimal=Decimal(text))).decimal) == str(Decimal(text))


@pytest.mark.parametrize("event", [Everything(), STRUCT, MODEL], ids=lambda event: type(event).__name__)
def test_times_are_stored_in_utc(event: Any) -> None:
    moment = datetime(2024, 1, 1, 3, 0, tzinfo=EAST)
    match event:
        case Everything():
            event = Everything(moment=moment, items=(Item("a", Decimal(1), moment),))
            assert round_trip(event).items[0].at.utcoffset() == timedelta(0)
        case EverythingStruct():
            event = msgspec.structs.replace(event, moment=moment)
        case _:
            event = event.model_copy(update={"moment": moment})
    read = round_trip(event)
    assert read.moment == moment
    assert (read.moment.utcoffset(), read.moment.hour, read.moment.day) == (timedelta(0), 21, 31)


ODD_ZONES = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)) | st.timedeltas(
    timedelta(seconds=-60), timedelta(seconds=60)
)


@given(
    st.datetimes(NAIVE.replace(year=2), NAIVE.replace(year=9998), timezones=st.builds(timezone, ODD_ZONES)),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")) | st.just("2024-01-01T03:00:00+05:30"),
)
def test_offsets_that_json_cannot_say_are_stored_in_utc_too(moment: datetime, product: str) -> None:
    """JSON offsets have minutes, Python's microseconds. A class of only texts, numbers and times."""
    item = Item(product, Decimal("1.10"), moment)
    assert round_trip(item) == item
    stored = msgspec.json.decode(codec(Item).encode(item).data)
    assert stored["at"] == f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


def test_names_and_schema_are_the_classes_own_unless_told() -> None:
    known = codec(Item, Everything, Item=Stored("stock.Item"))
    assert [known.encode(event).type for event in (WHOLE, WHOLE.items[0])] == ["Everything", "stock.Item"]
    assert known.encode(WHOLE).schema == 1
    assert known.names([Item]) == {"stock.Item"}
    assert known.decode(entry(known.encode(WHOLE.items[0]))) == WHOLE.items[0]


SAFE = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False).filter(lambda number: abs(number.adjusted()) <= 1_000)
MOMENTS = st.datetimes(
    timezones=st.sampled_from([UTC, EAST]), min_value=NAIVE.replace(year=2), max_value=NAIVE.replace(year=9998)
)
ITEMS = st.builds(Item, product=st.text(SAFE), price=NUMBERS, at=st.none() | MOMENTS)


@given(
    st.builds(
        Everything,
        text=st.text(SAFE),
        integer=st.integers(-(2**63), 2**63 - 1),
        real=st.floats(allow_nan=False, allow_infinity=False),
        decimal=NUMBERS,
        moment=MOMENTS,
        clock=st.times().map(lambda t: t.replace(tzinfo=UTC)),
        length=st.timedeltas(min_value=timedelta(days=-10_000), max_value=timedelta(days=10_000)),
        raw=st.binary(),
        optional=st.none() | NUMBERS,
        items=st.lists(ITEMS, max_size=3).map(tuple),
        mapped=st.dictionaries(st.text(SAFE), NUMBERS, max_size=3),
    )
)
def test_any_event_comes_back_as_it_was(event: Everything) -> None:
    assert round_trip(event) == event


SINGLE = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(SAFE)


@given(st.recursive(SINGLE, lambda inner: st.lists(inner) | st.dictionaries(st.text(SAFE), inner)))
def test_any_json_comes_back_in_a_field_of_any_type(value: Any) -> None:
    assert round_trip(Loose(value)) == Loose(value)


# ---- what is refused, by the path of the field


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (Everything(moment=NAIVE), "Everything.moment"),
        (
            Everything(items=(Item("a", Decimal(1)), Item("a", Decimal(1), NAIVE))),
            "Everything.items[1].at",
        ),
        (Item("a", Decimal(1), NAIVE), "Item.at"),
        (Everything(real=float("nan")), "Everything.real"),
        (Everything(real=float("-inf")), "Everything.real"),
        (Everything(decimal=Decimal("NaN")), "Everything.decimal"),
        (Everything(mapped={"a": Decimal("Infinity")}), "Everything.mapped['a']"),
        (Everything(items=(Item("a", Decimal("sNaN")),)), "Everything.items[0].price"),
        (Everything(text="a\x00b"), "Everything.text"),
        (Everything(items=(Item("\x00", Decimal(1)),)), "Everything.items[0].product"),
        (Everything(mapped={"\x00": Decimal(1)}), "Everything.mapped"),
        (Everything(text="\ud800"), "Everything.text"),
        (Everything(items=(Item("a\udfff", Decimal(1)),)), "Everything.items[0].product"),
        (Loose({"deep": [1, {"er": float("nan")}]}), "Loose.value['deep'][1]['er']"),
        (MODEL.model_copy(update={"moment": NAIVE}), "EverythingModel.moment"),
        (MODEL.model_copy(update={"mapped": {"a": float("inf")}}), "EverythingModel.mapped['a']"),
        (MODEL.model_copy(update={"text": "\x00"}), "EverythingModel.text"),
        (msgspec.structs.replace(STRUCT, decimal=Decimal("NaN")), "EverythingStruct.decimal"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_kept_is_refused_by_its_path(event: Any, path: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        codec(type(event)).encode(event)
    assert path in str(refused.value)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (Everything(integer="1"), "Everything"),  # type: ignore[arg-type]
        (Everything(size="s2"), "Everything"),  # type: ignore[arg-type]
        (Everything(text=None), "Everything"),  # type: ignore[arg-type]
        (Loose(object()), "Loose"),
        (MODEL.model_copy(update={"count": -1}), "count"),
        (Everything(text="x" * MAX_EVENT_BYTES), "bytes"),
    ],
    ids=["a wrong type", "no member", "None", "no JSON", "a constraint", "too big"],
)
def test_what_could_not_be_read_again_is_refused(event: Any, says: str) -> None:
    with pytest.raises(InvalidEvent, match=says):
        codec(type(event)).encode(event)


def test_a_nested_value_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidEvent, match="Loose"):
        codec(Loose).encode(Loose(endless))


class RawModel(BaseModel, frozen=True):
    raw: bytes


def test_a_model_that_would_come_back_changed_is_refused() -> None:
    """Pydantic reads bytes differently from how they are written; no value may change silently."""
    with pytest.raises(InvalidEvent, match=r"RawModel\.raw is b'plain', and would be read back as"):
        round_trip(RawModel(raw=b"plain"))


def test_an_event_of_another_app_is_refused() -> None:
    with pytest.raises(InvalidEvent, match=r"test_codec\.Loose is not an event of this App"):
        codec(Item).encode(Loose(1))


# ---- bringing old JSON up to date


def add_currency(old: dict[str, Any]) -> dict[str, Any]:
    return {**old, "currency": "EUR"}


def rename_amount(old: dict[str, Any]) -> dict[str, Any]:
    return {"currency": old["currency"], "value": old["amount"]}


@dataclass(frozen=True)
class Paid:
    value: Decimal
    currency: str


@pytest.mark.parametrize(
    ("schema", "data", "currency"),
    [
        (1, b'{"amount":"1.10"}', "EUR"),
        (2, b'{"amount":"1.10","currency":"CHF"}', "CHF"),
        (3, b'{"value":"1.10","currency":"CHF"}', "CHF"),
    ],
)
def test_upcasters_are_a_chain_from_the_stored_schema_on(schema: int, data: bytes, currency: str) -> None:
    known = codec(Paid, Paid=Stored("Paid", 3, [add_currency, rename_amount]))
    encoded = known.encode(Paid(Decimal(1), "CHF"))
    assert encoded.schema == 3
    assert known.decode(entry(encoded, schema=schema, data=data)) == Paid(Decimal("1.10"), currency)
    assert list(known.events(Stream("order", "1"), 1, [("Paid", schema, data)])) == [Paid(Decimal("1.10"), currency)]


# ---- while processes of the old code still run


@dataclass(frozen=True)
class PaidBefore:
    amount: Decimal


def without_currency(new: dict[str, Any]) -> dict[str, Any]:
    return {"amount": new["amount"]}


def amount_again(new: dict[str, Any]) -> dict[str, Any]:
    return {"amount": new["value"], "currency": new["currency"]}


BOTH = Stored("Paid", 3, [add_currency, rename_amount], [without_currency, amount_again], write=1)


def test_new_code_can_write_what_old_code_reads() -> None:
    old = codec(PaidBefore, PaidBefore=Stored("Paid"))
    new = codec(Paid, Paid=BOTH)
    written = new.encode(Paid(Decimal("1.10"), "EUR"))
    assert (written.schema, written.data) == (1, b'{"amount":"1.10"}')
    assert written.event == Paid(Decimal("1.10"), "EUR")
    assert old.decode(entry(written)) == PaidBefore(Decimal("1.10"))
    assert new.decode(entry(written)) == written.event
    assert new.decode(entry(written, schema=3, data=b'{"value":"1","currency":"CHF"}')) == Paid(Decimal(1), "CHF")


@dataclass(frozen=True)
class Due:
    at: datetime
    place: str = "here"


@pytest.mark.parametrize(
    "offset",
    [timedelta(hours=2), timedelta(hours=-5, minutes=-30), timedelta(seconds=20), timedelta(minutes=53, seconds=28)],
    ids=str,
)
def test_an_older_schema_holds_the_same_moment_in_any_zone(offset: timedelta) -> None:
    """JSON leaves out the seconds of an offset: such a time is written again, in UTC and with the older schema."""
    step, down = (lambda old: {**old, "place": "here"}), (lambda new: {"at": new["at"]})
    written = codec(Due, Due=Stored("Due", 2, [step], [down], write=1)).encode(
        Due(datetime(2026, 3, 4, 5, tzinfo=timezone(offset)))
    )
    moment = (datetime(2026, 3, 4, 5, tzinfo=UTC) - offset).isoformat().replace("+00:00", "Z")
    assert (written.schema, written.data.decode()) == (1, f'{{"at":"{moment}"}}')
    assert written.event == Due(datetime(2026, 3, 4, 5, tzinfo=timezone(offset)))


def test_one_step_down_is_the_last_of_the_downcasters() -> None:
    for downcasters in ([amount_again], [without_currency, amount_again]):
        known = codec(Paid, Paid=Stored("Paid", 3, [add_currency, rename_amount], downcasters, write=2))
        written = known.encode(Paid(Decimal(1), "CHF"))
        assert (written.schema, written.data) == (2, b'{"amount":"1","currency":"CHF"}')
        assert known.decode(entry(written)) == Paid(Decimal(1), "CHF")
    assert (
        codec(Paid, Paid=Stored("Paid", 3, BOTH.upcasters, BOTH.downcasters)).encode(Paid(Decimal(1), "CHF")).schema
        == 3
    )


def test_what_the_old_schema_cannot_hold_is_refused_by_its_path() -> None:
    with pytest.raises(InvalidEvent, match=r"^Paid\.currency is 'CHF', and would be read back as 'EUR'.*schema 1"):
        codec(Paid, Paid=BOTH).encode(Paid(Decimal(1), "CHF"))


def test_a_downcaster_that_raises_is_an_invalid_event() -> None:
    known = codec(Paid, Paid=Stored("Paid", 2, [add_currency], [lambda new: new["x"]], write=1))
    with pytest.raises(InvalidEvent, match=r"^Paid cannot be stored: KeyError: 'x'"):
        known.encode(Paid(Decimal(1), "EUR"))


@pytest.mark.parametrize(
    ("downcasters", "write", "says"),
    [
        ([], 1, "writing schema 1 of 3 needs 2 downcasters, one for each step down, but has 0"),
        ([amount_again], 1, "needs 2 downcasters.* but has 1"),
        ([amount_again] * 3, None, "needs 0 downcasters.* but has 3"),
        ([amount_again] * 2, 0, "write=0 is not one of its schemas, 1 to 3"),
        ([amount_again] * 2, 4, "write=4 is not one of its schemas, 1 to 3.*oldest running process"),
        ([amount_again] * 2, True, "write=True"),
    ],
)
def test_a_way_down_that_cannot_be_is_refused(downcasters: list[Any], write: int | None, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Stored("Paid", 3, [add_currency, rename_amount], downcasters, write)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 3}, "deploy the newer code"),
        ({"schema": 0}, "schema 0"),
        ({"type": "Refunded"}, "'Refunded', and this App has no class for it"),
        ({"data": b'{"value":"lots","currency":"EUR"}'}, r"order-1@3, a Paid of schema 2.*value"),
        ({"data": b"{"}, r"order-1@3"),
        ({"schema": 1, "data": b'{"no":"amount"}'}, r"order-1@3.*KeyError"),
    ],
)
def test_what_cannot_be_read_says_where_it_lies_and_why(changes: dict[str, Any], says: str) -> None:
    known = codec(Paid, Paid=Stored("Paid", 2, [rename_amount]))
    encoded = known.encode(Paid(Decimal(1), "EUR"))
    with pytest.raises(UndecodableEvent, match=says):
        known.decode(entry(encoded, **changes))
    odd, whole = entry(encoded, **changes), (encoded.type, encoded.schema, encoded.data)
    stream = known.events(Stream("order", "1"), 4, [whole, (odd.type, odd.schema, odd.data), whole])
    assert next(stream) == Paid(Decimal(1), "EUR")
    with pytest.raises(UndecodableEvent, match=says):
        next(stream)


def test_unknown_fields_of_old_events_are_passed_over() -> None:
    known = codec(Item)
    data = b'{"product":"a","price":"1","colour":"red"}'
    assert known.decode(entry(known.encode(Item("b", Decimal(2))), data=data)) == Item("a", Decimal(1))


# ---- what an App cannot be built with


class Plain:
    """A class without fields that fit into JSON."""


@dataclass
class HoldsPlain:
    inner: Plain


@dataclass
class HoldsTwo:
    either: Item | Everything


@dataclass
class KeyedByPairs:
    by_place: dict[tuple[int, int], int] | None = None


@dataclass
class KeyedByFlags:
    by_flag: list[dict[bool, int]]


@dataclass
class KeyedByItems:
    by_item: dict[Item, int]


@pytest.mark.parametrize("cls", [KeyedByPairs, KeyedByFlags, KeyedByItems])
def test_keys_that_json_cannot_hold_are_refused_when_the_app_is_built(cls: type) -> None:
    with pytest.raises(ConfigurationError, match=rf"{cls.__name__} cannot be stored as JSON: .*list of pairs"):
        codec(cls)


@pytest.mark.parametrize("cls", [Plain, HoldsPlain, HoldsTwo, complex])
def test_a_class_that_cannot_be_stored_is_refused_when_the_app_is_built(cls: type) -> None:
    with pytest.raises(ConfigurationError, match=cls.__name__):
        codec(cls)


def test_two_classes_of_one_stored_name_are_refused_with_the_way_out() -> None:
    other = msgspec.defstruct("Item", [("x", int)])
    with pytest.raises(ConfigurationError, match=r"would both be stored as 'Item'.*stored="):
        codec(Item, other)
    with pytest.raises(ConfigurationError, match="would both be stored as 'Item'"):
        codec(Item, Paid, Paid=Stored("Item"))
    Codec([Item, other], {other: Stored("OtherItem")})
    Codec([Item, Item], {})


@pytest.mark.parametrize(
    ("name", "schema", "steps"),
    [("", 1, 0), ("9a", 1, 0), ("a b", 1, 0), ("a'", 1, 0), ("x" * 101, 1, 0), ("a", 0, 0), ("a", 2, 0), ("a", 1, 1)],
)
def test_a_stored_form_that_cannot_be_is_refused(name: str, schema: int, steps: int) -> None:
    with pytest.raises(ConfigurationError):
        Stored(name, schema, [add_currency] * steps)


def test_a_stored_form_for_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"test_codec\.Paid, which nothing in this App records"):
        Codec([Item], {Paid: Stored("Paid")})
