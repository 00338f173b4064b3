"""Numbers and times in parameters are written as in JSON."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Annotated, NewType

import httpx2
import pytest
from fastapi import FastAPI, Header, Query, Response

from twofold.web import problems
from twofold.web.answers import answer
from twofold.web.bodies import JsonBody
from twofold.web.routes import router

Connect = Callable[[FastAPI], Awaitable[httpx2.AsyncClient]]

Whole = NewType("Whole", int)


class Level(IntEnum):
    ONE = 1


written = router()


@written.get("/written/{number}")
async def plainly(
    number: int,
    limit: Annotated[int, Query(ge=0, le=500)] = 50,
    whole: Whole | None = None,
    ratio: float | None = None,
    price: Decimal | None = None,
    level: Level | None = None,
    day: date | None = None,
    at: datetime | None = None,
    yes: bool = False,
    name: str = "",
    either: int | str | None = None,
    x_count: Annotated[int | None, Header()] = None,
) -> Response:
    return answer([number, limit, whole, ratio, price, level, day, at, yes, name, either, x_count])


@written.post("/written")
async def with_body(body: JsonBody[dict[str, int]], sizes: Annotated[list[int] | None, Query()] = None) -> Response:
    return answer(sizes)


@pytest.fixture
async def client(connect: Connect) -> httpx2.AsyncClient:
    app = FastAPI()
    problems.install(app)
    app.router.routes.extend(written.routes)
    return await connect(app)


ODD = ["5_0", "1.0", "+5", " 5", "5 ", "５", "٣", "0x1", "1e3", "05", "--5", "5\t", ""]
ODD_NUMBERS = ["5_0.5", "+1", " 1", "1 ", "１.5", ".5", "1.", "nan", "inf", "Infinity", "1_0", "01.5"]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("name", ["limit", "whole", "level"])
async def test_a_whole_number_is_written_in_digits(client: httpx2.AsyncClient, name: str, text: str) -> None:
    answered = await client.get("/written/1", params={name: text})
    assert answered.status_code == 422
    assert [(error["in"], error["field"]) for error in answered.json()["errors"]] == [("query", name)]


@pytest.mark.parametrize("text", ODD_NUMBERS)
@pytest.mark.parametrize("name", ["ratio", "price"])
async def test_a_number_is_written_as_json_writes_it(client: httpx2.AsyncClient, name: str, text: str) -> None:
    answered = await client.get("/written/1", params={name: text})
    assert [error["field"] for error in answered.json()["errors"]] == [name]


@pytest.mark.parametrize("text", ["1714564800", "1_714_564_800", "20240501", "1.5"])
@pytest.mark.parametrize("name", ["day", "at"])
async def test_a_time_is_no_number(client: httpx2.AsyncClient, name: str, text: str) -> None:
    answered = await client.get("/written/1", params={name: text})
    assert [error["field"] for error in answered.json()["errors"]] == [name]


async def test_numbers_in_paths_and_headers_are_plain_too(client: httpx2.AsyncClient) -> None:
    for path, headers, place in (("5_0", {}, "path"), ("%2B5", {}, "path"), ("5", {"X-Count": "5_0"}, "header")):
        answered = await client.get(f"/written/{path}", headers=headers)
        [error] = answered.json()["errors"]
        assert (error["in"], error["message"].split(", not ")[0]) == (place, "Write a whole number in digits, like 50")
    for query in ("sizes=1&sizes=1_0", "sizes=+1"):
        answered = await client.post(f"/written?{query}", json={})
        assert [error["field"] for error in answered.json()["errors"]] == ["sizes"]
    assert (await client.post("/written?sizes=1&sizes=-2", json={})).json() == [1, -2]


async def test_what_is_written_plainly_is_taken(client: httpx2.AsyncClient) -> None:
    query = {
        "limit": "0",
        "whole": "-7",
        "ratio": "2.5e3",
        "price": "12.50",
        "level": "1",
        "day": "2026-03-01",
        "at": "2026-03-01T09:30:00Z",
        "yes": "true",
        "name": "5_0",
        "either": "1_0",
    }
    answered = await client.get("/written/3", params=query, headers={"X-Count": "9"})
    at = "2026-03-01T09:30:00Z"
    assert answered.json() == [3, 0, -7, 2500.0, "12.5", 1, "2026-03-01", at, True, "5_0", "1_0", 9]
