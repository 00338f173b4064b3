"""Pages of other origins: preflights, and headers on every response, errors included."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request, Response

from twofold import App, Decider, Running
from twofold.api import Actor, ActorOf, Api, anyone, logged_in, nobody
from twofold.web.answers import answer
from twofold.web.application import web_app
from twofold.web.openapi import HEADERS
from twofold.web.routes import router
from twofold.web.serving.admission import Admission
from twofold.web.serving.limits import Limits

PAGE, STRANGER = {"Origin": "https://example.com"}, {"Origin": "https://evil.example"}
OURS = "authorization, consistency-token, content-type, idempotency-key, if-match, if-none-match, prefer, x-tenant"


@dataclass(frozen=True)
class Add:
    amount: int


def decide(command: Add, total: int) -> list[Add]:
    return [command]


def evolve(total: int, event: Add) -> int:
    return total + event.amount


counters = Decider("counter", 0, decide, evolve)
app = App("counting", deciders=[counters])


async def ada(headers: Mapping[str, str]) -> Actor | None:
    return Actor("ada") if "authorization" in headers else None


class ByCookie:
    security_scheme: Mapping[str, Any] = {"type": "apiKey", "in": "cookie", "name": "session"}

    async def __call__(self, headers: Mapping[str, str]) -> Actor | None:
        return None


class ByHeader(ByCookie):
    security_scheme = {"type": "http", "scheme": "bearer"}  # noqa: RUF012


own = router()
begun, held = asyncio.Event(), asyncio.Event()


@own.get("/own")
async def hello(request: Request) -> Response:
    return answer({"hello": request.headers.get("x-tenant")}, 200, {"Vary": "Accept"})


@own.get("/broken")
async def broken() -> Response:
    raise ZeroDivisionError


@own.get("/held")
async def hold() -> Response:
    begun.set()
    await held.wait()
    return answer({})


def made(running: Running, actor: ActorOf = ada) -> FastAPI:
    api = Api(app, actor=actor, cors=["https://example.com", "http://localhost:3000"])
    api.command(counters, Add, allow=anyone if actor is nobody else logged_in)
    return web_app(running, api, own)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with app.open("memory:") as opened:
        yield opened


Connect = Callable[[Any], Awaitable[httpx2.AsyncClient]]


def preflight(method: str) -> dict[str, str]:
    return {**PAGE, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": OURS}


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/counter/1/add"), ("GET", "/openapi.json"), *((it, "/own") for it in ("GET", "PUT", "PATCH", "DELETE"))],
)
async def test_a_preflight(running: Running, connect: Connect, method: str, path: str) -> None:
    client = await connect(made(running))
    allowed = await client.options(path, headers=preflight(method))
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://example.com"
    assert method in allowed.headers["Access-Control-Allow-Methods"]
    assert allowed.headers["Access-Control-Allow-Headers"] == OURS
    assert "Origin" in allowed.headers["Vary"]
    refused = await client.options(path, headers=preflight(method) | STRANGER)
    assert refused.status_code == 400
    assert "Access-Control-Allow-Origin" not in refused.headers


async def test_scripts_may_read_our_headers(running: Running, connect: Connect) -> None:
    client = await connect(made(running))
    done = await client.post("/counter/1/add", json={"amount": 1}, headers={**PAGE, "Authorization": "x"})
    assert done.status_code == 200
    assert done.headers["Access-Control-Allow-Origin"] == "https://example.com"
    exposed = set(done.headers["Access-Control-Expose-Headers"].split(", "))
    assert exposed >= {*HEADERS, "Total-Count", "WWW-Authenticate", "X-Correlation-ID", "Consistency-Token", "ETag"}
    assert (await client.get("/own", headers=PAGE)).headers["Vary"] == "Accept, Origin"


@pytest.mark.parametrize(
    ("status", "method", "path"),
    [
        (401, "POST", "/counter/1/add"),
        (404, "GET", "/nowhere"),
        (405, "DELETE", "/counter/1/add"),
        (422, "GET", "/own?x=1"),
        (400, "GET", "/own?x=%ff"),
        (500, "GET", "/broken"),
    ],
)
async def test_errors_reach_the_page(running: Running, connect: Connect, status: int, method: str, path: str) -> None:
    client = await connect(made(running))
    refused = await client.request(method, path, headers=PAGE)
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (status, "https://example.com")
    refused = await client.request(method, path, headers=STRANGER)
    assert "Access-Control-Allow-Origin" not in refused.headers


async def test_a_request_beyond_the_limits_reaches_the_page(running: Running, connect: Connect) -> None:
    client = await connect(Admission(made(running), Limits(reads=1)))
    async with asyncio.TaskGroup() as group:
        holding = group.create_task(client.get("/held", headers=PAGE))
        await begun.wait()
        refused = await client.get("/own", headers=PAGE)
        assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (503, "https://example.com")
        assert "Retry-After" in refused.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Origin" not in (await client.get("/own", headers=STRANGER)).headers
        held.set()
    assert (await holding).headers.get_list("Access-Control-Allow-Origin") == ["https://example.com"]


@pytest.mark.parametrize(("actor", "sent"), [(ByCookie(), True), (ada, True), (ByHeader(), False), (nobody, False)])
async def test_cookies_are_sent_where_the_login_may_be_one(
    running: Running, connect: Connect, actor: ActorOf, sent: bool
) -> None:
    client = await connect(made(running, actor))
    for response in (await client.get("/own", headers=PAGE), await client.options("/own", headers=preflight("GET"))):
        assert (response.headers.get("Access-Control-Allow-Credentials") == "true") is sent


async def test_without_cors_there_are_none(running: Running, connect: Connect) -> None:
    client = await connect(web_app(running, Api(app, actor=nobody), own))
    assert not [name for name in (await client.get("/own", headers=PAGE)).headers if name.startswith("access-control")]
    assert (await client.options("/own", headers=preflight("GET"))).status_code == 405
