"""Rows rendered directly from their columns give the same response as the rows themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest

from twofold import App, Decider, Projection, Recorded, Running
from twofold.web.answers import answer
from twofold.web.forms import CAMEL, CURRENT, JsonForm
from twofold.web.rows import as_json


class Size(Enum):
    SMALL = "small"


@dataclass(frozen=True, slots=True)
class Part:
    part_number: str
    unit_price: Decimal


@dataclass(frozen=True, slots=True)
class Thing:
    thing_id: str
    is_new: bool = False
    how_many: int = 0
    weight: float = 0.0
    unit_price: Decimal | None = None
    made_at: datetime | None = None
    sold_on: date | None = None
    batch: UUID | None = None
    picture: bytes = b""
    size: Size | None = None
    kind: Literal["a", "b"] = "a"
    words: tuple[str, ...] = ()
    counts_by_name: dict[str, int | None] | None = None
    parts: tuple[Part, ...] = ()
    prices: list[Decimal] | None = None
    note: Any = None


class Plain(msgspec.Struct, frozen=True, rename="kebab"):
    thing_id: str
    how_many: int = 0
    words: list[str] = []


@dataclass(frozen=True)
class Changed:
    thing: Thing


EMPTY = Thing("0")
FULL = Thing(
    '1 "ß"',
    is_new=True,
    how_many=2**62,
    weight=0.1,
    unit_price=Decimal("0.000000010"),
    made_at=datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))),
    sold_on=date(2024, 5, 2),
    batch=UUID(int=7),
    picture=b"\x00\xff",
    size=Size.SMALL,
    kind="b",
    words=("one", 'zwei "2"'),
    counts_by_name={"snake_case": 1, "none": None},
    parts=(Part("p-1", Decimal("2.50")), Part("p-2", Decimal(100))),
    prices=[Decimal("1.10")],
    note={"any_thing": [1, None, "x"]},
)
LARGE = Thing("2", unit_price=Decimal("1E+300"), weight=1e300, how_many=-1)


def nothing(command: Changed, state: None) -> list[Changed]:
    return [command]


def same(state: None, event: Changed) -> None:
    return state


def key(event: Changed, recorded: Recorded) -> str:
    return event.thing.thing_id


def as_it_is(row: Thing, event: Changed, recorded: Recorded) -> Thing:
    return event.thing


def plainly(row: Plain, event: Changed, recorded: Recorded) -> Plain:
    return Plain(event.thing.thing_id, event.thing.how_many, list(event.thing.words))


changes = Decider("change", None, nothing, same)
things = Projection("thing", Thing, as_it_is, key=key, indexes=["how_many"])
plains = Projection("plain", Plain, plainly, key=key)
app = App("things", deciders=[changes], projections=[things, plains])


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'things.db'}"}
    if request.param in urls:
        return urls[request.param]
    new_database: Callable[[], str] = request.getfixturevalue("new_database")
    return new_database()


def said(value: Any) -> Any:
    return json.loads(bytes(answer(value).body), parse_float=Decimal)


async def filled(running: Running) -> str:
    for thing in (EMPTY, FULL, LARGE):
        done = await running.execute(changes, thing.thing_id, Changed(thing))
    return str(done.receipt.token)


@pytest.mark.parametrize("form", [JsonForm(), JsonForm(names="camel", decimals="number")], ids=["plain", "camel"])
@pytest.mark.parametrize("projection", [things, plains], ids=["dataclass", "Struct"])
async def test_it_is_answered_as_the_row_would_be(url: str, projection: Projection[Any], form: JsonForm) -> None:
    async with app.open(url) as running:
        token = CURRENT.set(form)
        await compare(running, projection)
        CURRENT.reset(token)


async def compare(running: Running, projection: Projection[Any]) -> None:
    after = await filled(running)
    page = await running.find(projection, after=after, order_by="thing_id")
    quick = await running.find(as_json(projection), after=after, order_by="thing_id")
    assert len(page) == 3
    assert said(quick.rows) == said(page.rows)
    for row in page:
        assert said(await running.get(as_json(projection), row.thing_id)) == said(row)
    assert await running.get(as_json(projection), "none") is None


async def test_pages_conditions_and_cursors_are_those_of_the_read_model(url: str) -> None:
    async with app.open(url) as running:
        after = await filled(running)
        first = await running.find(as_json(things), how_many__ge=0, order_by="how_many", limit=1, after=after)
        rest = await running.find(things, how_many__ge=0, order_by="how_many", limit=1, cursor=first.cursor)
        assert ([row.thing_id for row in first], list(rest)) == (["0"], [await running.get(things, FULL.thing_id)])


async def test_the_row_class_is_not_made_and_what_needs_no_change_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async with app.open("memory:") as running:
        await running.get(things, FULL.thing_id, after=await filled(running))
        monkeypatch.setattr(Thing, "__init__", lambda *_, **__: pytest.fail("a row was made"))
        row = await running.get(as_json(things), FULL.thing_id)
        assert row is not None
        assert (row.how_many, row.kind) == (2**62, "b")  # an ETag may be derived from it
        assert isinstance(row.words, msgspec.Raw)
        assert isinstance(row.counts_by_name, msgspec.Raw)
        assert row.parts == [
            {"part_number": "p-1", "unit_price": "2.5"},
            {"part_number": "p-2", "unit_price": "100"},
        ]


def test_it_is_made_once() -> None:
    assert as_json(things) is as_json(things)
    assert as_json(things, form=CAMEL) is not as_json(things)
    assert things.format.row is Thing
