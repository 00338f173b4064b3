"""Rows that a store writes as JSON are, byte for byte, those that Python writes from their columns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, fields, make_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import apsw
import httpx2
import msgspec
import pytest

from devservers.postgres import execute
from twofold import App, Projection, Recorded, Running, Stored, Stream
from twofold.api import Api, nobody
from twofold.backends.sqlite.as_json import ARGUMENTS, object_of
from twofold.errors import RowUnreadable
from twofold.read.definition import MAX_COLUMNS
from twofold.read.written import UNUSUAL
from twofold.web.answers import answer
from twofold.web.application import web_app
from twofold.web.forms import JsonForm
from twofold.web.rows import as_json, written

NOBODY = UUID(int=0)
FORMS = [JsonForm(), JsonForm(names="camel", decimals="number")]


class Size(Enum):
    SMALL = "small"


@dataclass(frozen=True, slots=True)
class Line:
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Thing:
    thing_id: str
    a_text: str = ""
    maybe_text: str | None = None
    whole: int = 0
    maybe_whole: int | None = None
    yes: bool = False
    maybe_yes: bool | None = None
    price: Decimal = Decimal(0)
    maybe_price: Decimal | None = None
    at: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    maybe_at: datetime | None = None
    day: date = date(2026, 1, 2)
    maybe_day: date | None = None
    batch: UUID = NOBODY
    maybe_batch: UUID | None = None
    size: Size | None = None
    kind: Literal["a", "b"] = "a"
    words: tuple[str, ...] = ()
    lines: list[Line] | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    left: str
    right: int
    said: str = ""


@dataclass(frozen=True)
class Put:
    thing: Thing


EVERY_TEXT = "".join(map(chr, range(1, 0x250))) + "\\n \\u0041 %s %d ' '' \u2028 \ufffd 😀"
FULL = Thing(
    "full",
    EVERY_TEXT,
    'a "quoted" text',
    2**63 - 1,
    -(2**63),
    True,
    False,
    Decimal("12.340"),
    Decimal("-0.05"),
    datetime(2026, 1, 2, 3, 4, 5, 120_000, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    date(1, 1, 2),
    date(9999, 12, 30),
    UUID("0189ABCD-0000-4000-8000-00000000000F"),
    UUID(int=2**128 - 1),
    Size.SMALL,
    "b",
    (EVERY_TEXT, "two"),
    [Line("sku 'x'", 2)],
)
DECIMALS = ["0", "-0", "1E+2", "1E-7", "0.1", "-3.50", "999999999999999", "9999999999999999", "0." + "0" * 98 + "1"]
EDGES = [
    *(Thing(f"decimal {text}", price=Decimal(text), maybe_price=Decimal(text)) for text in DECIMALS),
    Thing("long", price=Decimal("1E+300"), maybe_price=Decimal("1E-300")),
    Thing("first", at=datetime(1, 1, 1, tzinfo=UTC), day=date(1, 1, 1)),
    Thing("last", day=date(9999, 12, 31), at=datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
]


def as_it_is(row: Thing, event: Put, recorded: Recorded) -> Thing:
    return event.thing


def paired(row: Pair, event: Put, recorded: Recorded) -> Pair:
    return Pair(row.left, row.right, event.thing.a_text)


things = Projection("thing", Thing, as_it_is, key=lambda event, recorded: event.thing.thing_id)
pairs = Projection(
    "pair", Pair, paired, key=lambda event, recorded: (event.thing.thing_id, 7), key_fields=("left", "right")
)
app = App("things", projections=[things, pairs], stored={Put: Stored("Put")})


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    urls = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'things.db'}"}
    if request.param in urls:
        return urls[request.param]
    new_database: Callable[[], str] = request.getfixturevalue("new_database")
    return new_database()


async def put(running: Running, *all_of: Thing) -> None:
    for thing in all_of:
        receipt = await running.append(Stream("thing", thing.thing_id.replace(" ", "_")), [Put(thing)])
    await running.get(things, "none", after=receipt)
    await running.get(pairs, ("none", 0), after=receipt)


def body(rows: Any, form: JsonForm) -> bytes:
    return bytes(answer(rows, form=form).body)


@pytest.mark.parametrize("form", FORMS, ids=["plain", "camel"])
async def test_the_bytes_are_the_same(url: str, form: JsonForm) -> None:
    quick, slow = written(things, form), as_json(things, form=form)
    async with app.open(url) as running:
        await put(running, Thing("empty"), FULL, *EDGES)
        for thing in (Thing("empty"), FULL, *EDGES):
            row = await running.get(quick, thing.thing_id)
            assert body(row, form) == body(await running.get(slow, thing.thing_id), form)
        assert await running.get(quick, "none") is None
        for order in (f.name for f in fields(Thing) if f.name not in ("words", "lines")):
            page = await running.find(quick, order_by=order, limit=5)
            usual = await running.find(slow, order_by=order, limit=5)
            assert body(page.rows, form) == body(usual.rows, form)
            rest = [await running.find(quick, order_by=order, cursor=one.cursor) for one in (page, usual)]
            assert body(rest[0].rows, form) == body(rest[1].rows, form)
            assert len(rest[0]) == len(EDGES) + 2 - 5
            back = await running.find(quick, order_by=order, limit=5, cursor=rest[0].previous)
            assert body(back.rows, form) == body(page.rows, form)


async def test_it_is_the_store_that_writes_them(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if url == "memory:":
        pytest.skip("the store in memory writes no JSON")
    async with app.open(url) as running:
        await put(running, FULL, Thing("empty"))
        for name in ("get", "find"):
            monkeypatch.setattr(running.rows, name, lambda *_: pytest.fail("the columns were read"))
        quick = written(things, JsonForm())
        assert isinstance(await running.get(quick, "full"), msgspec.Raw)
        assert [type(row) for row in await running.find(quick)] == [msgspec.Raw, msgspec.Raw]


def shown(row: Thing) -> Pair:
    return Pair(row.thing_id, row.whole)


async def test_what_is_made_of_rows_is_made_of_rows_that_were_read(url: str) -> None:
    api = Api(app, actor=nobody)
    api.page(things, returns=shown)
    api.row(things, returns=shown)
    async with app.open(url) as running:
        await put(running, FULL)
        transport = httpx2.ASGITransport(app=web_app(running, api))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            found = [(await client.get(address)).json() for address in ("/thing", "/thing/full")]
    made = {"left": "full", "right": 2**63 - 1, "said": ""}
    assert (found[0]["data"], found[1]) == ([made], made)


async def test_a_key_of_several_fields(url: str) -> None:
    quick = written(pairs, JsonForm())
    async with app.open(url) as running:
        await put(running, Thing("a", "one"), Thing("b'", "two"))
        assert body(await running.get(quick, ("b'", 7)), JsonForm()) == b'{"left":"b\'","right":7,"said":"two"}'
        assert await running.get(quick, ("a", 8)) is None


async def test_rows_that_are_asked_for_together_go_to_those_who_asked(url: str) -> None:
    """Each in the form that was asked for."""
    quick, camel, others = (written(*of) for of in ((things, FORMS[0]), (things, FORMS[1]), (pairs, FORMS[0])))
    async with app.open(url) as running:
        await put(running, *(Thing(f"t-{n}", whole=n) for n in range(40)))
        keys = [f"t-{n}" if n < 40 else "none" for n in range(60)]
        asked = [(one, key) for key in keys for one in (quick, camel)] + [(others, (key, 7)) for key in keys]
        pages = [running.find(quick, whole=n) for n in range(10)]
        found = await asyncio.gather(*(running.get(*one) for one in asked))
        for (one, key), row in zip(asked, found, strict=True):
            name = "left" if one is others else "thingId" if one is camel else "thing_id"
            id_ = key[0] if isinstance(key, tuple) else key
            assert (row is None) == (id_ == "none")
            assert row is None or msgspec.json.decode(body(row, FORMS[one is camel]))[name] == id_
        for n, page in enumerate(await asyncio.gather(*pages)):
            assert [one["whole"] for one in msgspec.json.decode(body(page.rows, JsonForm()))] == [n]


async def test_a_row_that_was_changed_by_hand_is_still_one_that_cannot_be_read(tmp_path: Path) -> None:
    quick = written(things, JsonForm())
    async with app.open(f"sqlite:///{tmp_path / 'things.db'}") as running:
        await put(running, Thing("a"), Thing("b"))
        for column in ("price", "at", "day", "batch"):
            with apsw.Connection(str(tmp_path / "things.read.db")) as db:
                db.execute(f"UPDATE twofold_thing_v1 SET {column} = 'rubbish' WHERE thing_id = 'a'")
            with pytest.raises(RowUnreadable, match=column):
                await running.get(quick, "a")
            page = await running.find(quick)
            assert (body(page.rows, JsonForm())[:16], len(page), page.parked) == (b'[{"thing_id":"b"', 1, 1)
            with apsw.Connection(str(tmp_path / "things.read.db")) as db:
                db.execute(
                    "UPDATE twofold_thing_v1 SET (price, at, day, batch) = "
                    "(SELECT price, at, day, batch FROM twofold_thing_v1 WHERE thing_id = 'b')"
                )


Wide: Any = make_dataclass(
    "Wide", [("wide_id", str), *((f"field_{n}", Decimal, Decimal(n)) for n in range(MAX_COLUMNS - 1))], frozen=True
)


def spread(row: Any, event: Put, recorded: Recorded) -> Any:
    return replace(row, field_0=event.thing.price, field_398=event.thing.price)


wide = Projection("wide", Wide, spread, key=lambda event, recorded: event.thing.thing_id)


async def test_as_many_columns_as_a_row_may_have(url: str) -> None:
    quick, form = written(wide, JsonForm()), JsonForm()
    async with App("wide", projections=[wide], stored={Put: Stored("Put")}).open(url) as running:
        receipt = await running.append("thing-1", [Put(FULL)])
        slow = await running.get(as_json(wide, form=form), "full", after=receipt)
        assert body(await running.get(quick, "full"), form) == body(slow, form)
        assert body((await running.find(quick)).rows, form) == body([slow], form)
        assert isinstance(await running.get(quick, "full"), msgspec.Raw) == (url != "memory:")


@dataclass(frozen=True, slots=True)
class Measured:
    thing_id: str
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Priced:
    thing_id: str
    prices: tuple[Decimal, ...] = ()


@pytest.mark.parametrize("row", [Measured, Priced])
def test_what_engines_write_differently_is_left_to_python(row: type) -> None:
    def fold(row: Any, event: Put, recorded: Recorded) -> Any:
        return row

    projection = Projection("other", row, fold, key=lambda event, recorded: "1")
    assert written(projection, JsonForm()).format.shape is None


@pytest.mark.parametrize("place", [0, ARGUMENTS])
def test_one_unusual_value_is_enough_in_whichever_part_of_a_long_row(place: int) -> None:
    """Functions of SQLite take a limited number of arguments, so a long row is written in parts."""
    members = [(f"m{number}", "%s", "1") for number in range(ARGUMENTS + 1)]
    usual = [["1 > 2"] if number == place else [] for number in range(ARGUMENTS + 1)]
    db = apsw.Connection(":memory:")
    assert db.execute(f"SELECT {object_of(members, usual, chr(39) + UNUSUAL + chr(39))}").fetchone() == (UNUSUAL,)


@pytest.mark.parametrize("setting", ["timezone = 'Asia/Kolkata'", "datestyle = 'German'", "lc_numeric = 'C'"])
async def test_the_settings_of_a_role_change_nothing(new_database: Callable[[], str], setting: str) -> None:
    """By default PostgreSQL writes times in the time zone of the session."""
    url, form = new_database(), JsonForm()
    execute(url, f"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET ', current_database()) || $x${setting}$x$; END $$")
    quick, slow = written(things, form), as_json(things, form=form)
    async with app.open(url) as running:
        await put(running, FULL, *EDGES)
        for thing in (FULL, *EDGES):
            row = await running.get(quick, thing.thing_id)
            assert body(row, form) == body(await running.get(slow, thing.thing_id), form)
        assert isinstance(await running.get(quick, "full"), msgspec.Raw)
        assert body((await running.find(quick)).rows, form) == body((await running.find(slow)).rows, form)
        first, *_ = await running.history("thing-full")
        assert (await running.get(things, "full"), first.recorded_at.utcoffset()) == (FULL, timedelta(0))
