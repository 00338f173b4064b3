"""Any event and any log entry is read back unchanged or refused with a named error."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from twofold.codec import Codec, Stored
from twofold.errors import InvalidEvent, UndecodableEvent
from twofold.messages import Entry, Position

pytestmark = pytest.mark.slow


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    price: Decimal
    at: time | None


@dataclass(frozen=True, slots=True)
class Everything:
    text: str
    number: int
    real: float
    money: Decimal
    at: datetime
    day: date
    took: timedelta
    id: UUID
    raw: bytes
    tags: tuple[str, ...]
    amounts: dict[str, Decimal]
    names: dict[int, str]
    choice: Literal["a", "b"]
    colour: Colour
    line: Line | None
    lines: list[Line]
    some: frozenset[int]
    anything: Any


TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # surrogates and NUL among them
ZONES = st.timezones() | st.none() | st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))
DIGITS = st.from_regex(r"-?[0-9]{1,60}(\.[0-9]{1,60})?(E[+-]?[0-9]{1,9})?", fullmatch=True).map(Decimal)
DECIMALS = st.decimals() | DIGITS  # NaN, sNaN, infinities, large exponents
SINGLE = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
FOREIGN = DECIMALS | st.datetimes(timezones=ZONES) | st.binary(max_size=4) | st.dates() | st.uuids()
LINES = st.builds(Line, TEXT, DECIMALS, st.none() | st.times(timezones=ZONES))
EVENTS = st.builds(
    Everything,
    text=TEXT,
    number=st.integers(),
    real=st.floats(),
    money=DECIMALS,
    at=st.datetimes(timezones=ZONES),
    day=st.dates(),
    took=st.timedeltas(),
    id=st.uuids(),
    raw=st.binary(),
    tags=st.lists(TEXT, max_size=3).map(tuple),
    amounts=st.dictionaries(TEXT, DECIMALS, max_size=3),
    names=st.dictionaries(st.integers(), TEXT, max_size=3),
    choice=st.sampled_from("ab"),
    colour=st.sampled_from(Colour),
    line=st.none() | LINES,
    lines=st.lists(LINES, max_size=2),
    some=st.frozensets(st.integers(), max_size=3),
    anything=st.recursive(
        SINGLE | FOREIGN,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=5,
    ),
)
AFRICAN = Everything(
    text="",
    number=0,
    real=0.0,
    money=Decimal(0),
    at=datetime(1912, 1, 1, tzinfo=ZoneInfo("Africa/Abidjan")),  # the clocks went from 0:00 to 0:16:08
    day=date(2000, 1, 1),
    took=timedelta(0),
    id=UUID(int=0),
    raw=b"",
    tags=(),
    amounts={},
    names={},
    choice="a",
    colour=Colour.RED,
    line=None,
    lines=[],
    some=frozenset(),
    anything=None,
)
CODEC = Codec([Everything], {Everything: Stored("Everything", 2, [lambda old: {**old, "text": old["text"].strip()}])})


def entry(data: bytes, schema: int = 2, name: str = "Everything") -> Entry:
    meta = b'{"command_id":"c","correlation_id":"c"}'
    return Entry(Position(0, 1), "any-1", 1, name, schema, data, meta, datetime.now(UTC))


def in_utc(event: Everything) -> Everything:
    """Python finds a time that the clocks skipped, or showed twice, equal to no time of another zone."""
    return replace(event, at=event.at.astimezone(UTC))


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(EVENTS)
@example(AFRICAN)
def test_an_event_comes_back_as_it_was_or_is_refused_by_its_path(event: Everything) -> None:
    refused: InvalidEvent | None = None
    try:
        stored = CODEC.encode(event)
    except InvalidEvent as error:
        refused = error
    if refused is None:
        assert CODEC.decode(entry(stored.data)) == stored.event
        assert in_utc(stored.event) == in_utc(event)
    else:
        assert str(refused).startswith("Everything.")


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.binary() | st.text().map(str.encode) | EVENTS.map(repr).map(lambda text: text.encode("utf-8", "replace"))
)
def test_what_is_no_event_is_undecodable(data: bytes) -> None:
    for schema in (1, 2, 3):
        for name in ("Everything", "Nothing"):
            with pytest.raises(UndecodableEvent):
                CODEC.decode(entry(data, schema, name))
