"""The short way to parameters finds what FastAPI finds."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Annotated, Literal, NewType

import httpx2
import pytest
from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import StringConstraints

from twofold.web import parameters, problems
from twofold.web.answers import answer
from twofold.web.bodies import JsonBody
from twofold.web.routes import router

Connect = Callable[[FastAPI], Awaitable[httpx2.AsyncClient]]

routes = router()


async def lower(request: Request, x_case: Annotated[str | None, Header()] = None) -> bool:
    return x_case == "lower" and request.method == "GET"


async def refuse_evil(x_evil: Annotated[str, Header()] = "") -> None:
    if x_evil:
        raise problems.Problem(400, "evil", "No")


@routes.get("/things/{thingId}", dependencies=[Depends(refuse_evil)])
async def thing(
    thing_id: Annotated[str, StringConstraints(max_length=5), Path(alias="thingId")],
    is_lower: Annotated[bool, Depends(lower)],
    limit: Annotated[int, Query(ge=1, le=9)] = 3,
    status: Literal["old", "new"] | None = None,
    half: float = 0.5,
) -> Response:
    return answer([thing_id.lower() if is_lower else thing_id, limit, status, half])


def of(path: str, endpoint: Callable[..., object]) -> Dependant:
    return APIRoute(path, endpoint).dependant


REQUESTS = [
    ("/things/Tea", {}),
    ("/things/Tea?limit=9&status=new&half=2", {"X-Case": "lower"}),
    ("/things/Te%20%2B?half=1e3", {"x-case": "LOWER"}),
    ("/things/toolong?limit=0&status=older&half=x", {}),
    ("/things/Tea?limit=&status=", {}),
    ("/things/Tea?limit=1.5&half=nan", {}),
    ("/things/Tea", {"X-Evil": "1"}),
    ("/things/Tea?limit=2&limit=3", {}),
    ("/things/Tea?colour=red", {}),
]


@pytest.mark.parametrize(("path", "headers"), REQUESTS)
async def test_the_short_way_finds_the_same(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, path: str, headers: dict[str, str]
) -> None:
    answers = []
    for short in (True, False):
        app, some = FastAPI(), router()
        problems.install(app)
        with monkeypatch.context() as patch:
            if not short:
                patch.setattr("twofold.web.routes.plain", lambda dependant: None)
            some.add_api_route("/things/{thingId}", thing, dependencies=[Depends(refuse_evil)])
            app.router.routes.extend(some.routes)
            client = await connect(app)
            answered = await client.get(path, headers=headers)
        answers.append((answered.status_code, answered.json()))
    assert answers[0] == answers[1]


def test_what_is_not_plain_is_left_to_fastapi() -> None:
    async def several(names: Annotated[list[str] | None, Query()] = None) -> Response: ...
    async def required(name: str) -> Response: ...
    async def made_json(name: str = "") -> dict[str, str]: ...
    async def with_body(body: dict[str, str]) -> Response: ...
    async def with_response(response: Response) -> Response: ...
    def in_a_thread(name: str = "") -> Response: ...

    assert parameters.plain(of("/things/{thingId}", thing)) is not None
    for endpoint in (several, required, made_json, with_body, with_response, in_a_thread):
        assert parameters.plain(of("/", endpoint)) is None


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
