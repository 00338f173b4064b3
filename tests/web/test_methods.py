"""Rules for every route, including the user's: HEAD for each GET, and no precondition ignored."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.security import APIKeyHeader
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from twofold import App
from twofold.api import Api, nobody
from twofold.web.answers import answer
from twofold.web.application import Run, web_app
from twofold.web.commands import Asking
from twofold.web.preconditions import Precondition
from twofold.web.routes import router

Connect = Callable[[FastAPI], Awaitable[httpx2.AsyncClient]]

PRECONDITIONS = ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"]

strict, plain, inner = router(), APIRouter(), APIRouter()
stream_ended = asyncio.Event()
done: list[str] = []


class Both(BaseModel):
    if_match: str | None = None
    if_range: str | None = None


async def who(request: Request) -> str:
    return request.headers.get("x-user", "nobody")


@strict.get("/strict")
async def strict_get(running: Run) -> Response:
    return answer({"a": 1}, headers={"ETag": '"1"'})


@strict.put("/strict/known")
async def strict_put(asked: Asking, condition: Precondition) -> Response:
    done.append("strict")
    return answer({"expected": condition.expected_version(3)})


@strict.put("/strict/unknown")
async def strict_unknown(request: Request, asked: Asking) -> Response:
    done.append("strict")
    return answer({})


@plain.get("/plain")
def plain_get() -> dict[str, int]:
    return {"a": 1}


@plain.get("/text", response_class=PlainTextResponse)
async def text() -> str:
    return "ä" * 1_000


@plain.api_route("/stream", methods=["GET"])
async def stream() -> StreamingResponse:
    async def forever() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more"
                await asyncio.sleep(0)
        finally:
            stream_ended.set()

    return StreamingResponse(forever(), headers={"X-Stream": "yes"})


class Deaf(Response):
    """A stream that never waits and never checks whether the client is still there."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-stream", b"deaf")]})
        while True:
            await send({"type": "http.response.body", "body": b"more", "more_body": True})


@plain.get("/deaf")
async def deaf() -> Response:
    return Deaf()


@plain.get("/finite")
async def finite() -> StreamingResponse:
    return StreamingResponse(iter([b"a", b"b"]))


@plain.head("/own")
async def own_head() -> Response:
    return Response(status_code=204, headers={"X-Own": "head"})


@plain.get("/own")
async def own_get() -> dict[str, str]:
    return {}


@plain.get("/empty", status_code=204)
async def empty() -> None:
    return None


@plain.delete("/plain")
def plain_delete(user: Annotated[str | None, Depends(APIKeyHeader(name="X-Key", auto_error=False))]) -> dict[str, str]:
    done.append("plain")
    return {}


@plain.patch("/plain/declares")
async def declares(if_unmodified_since: Annotated[str | None, Header()] = None) -> dict[str, str | None]:
    return {"seen": if_unmodified_since}


@plain.patch("/plain/model")
async def model(both: Annotated[Both, Header()]) -> Both:
    return both


@plain.patch("/plain/itself")
async def itself(request: Request) -> dict[str, str | None]:
    return {"seen": request.headers.get("if-match")}


@plain.patch("/plain/dependency")
async def dependency(user: Annotated[str, Depends(who)]) -> dict[str, str]:
    return {"seen": user}


@inner.put("/put")
def nested() -> dict[str, str]:
    done.append("nested")
    return {}


plain.include_router(inner, prefix="/nested")


async def sub(scope: object, receive: object, send: Callable[[object], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"mounted"})


@pytest.fixture
async def client(connect: Connect) -> AsyncIterator[httpx2.AsyncClient]:
    async with App("methods").open("memory:") as running:
        app = web_app(running, Api(running.app, actor=nobody), strict, plain)
        app.mount("/mounted", sub)  # type: ignore[arg-type]
        done.clear()
        yield await connect(app)


GETS = ["/strict", "/plain", "/text", "/empty", "/finite", "/health/live", "/metrics", "/status", "/docs"]
GETS += ["/openapi.json", "/mounted/x", "/nowhere", "/strict?unknown=1", "/strict/%ff", "/nested/put"]


@pytest.mark.parametrize("path", GETS)
async def test_head_is_get_without_a_body(client: httpx2.AsyncClient, path: str) -> None:
    get, head = await client.get(path), await client.head(path)
    assert (head.status_code, dict(head.headers), head.content) == (get.status_code, dict(get.headers), b"")


async def test_a_route_of_ones_own_for_head_stays(client: httpx2.AsyncClient) -> None:
    head = await client.head("/own")
    assert (head.status_code, head.headers["x-own"]) == (204, "head")


async def test_a_stream_ends_after_its_head(client: httpx2.AsyncClient) -> None:
    head = await client.head("/stream")
    assert (head.status_code, head.headers["x-stream"], head.content) == (200, "yes", b"")
    async with asyncio.timeout(20):
        await stream_ended.wait()
    assert (await client.head("/deaf")).headers["x-stream"] == "deaf"


async def test_head_is_allowed_but_not_an_operation_of_its_own(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/strict")).headers["allow"] == "GET, HEAD"
    assert (await client.get("/strict/known")).headers["allow"] == "PUT"
    assert (await client.head("/strict/known")).status_code == 405
    document = (await client.get("/openapi.json")).json()
    assert [path for path, item in document["paths"].items() if "head" in item] == ["/own"]


@pytest.mark.parametrize("name", PRECONDITIONS)
@pytest.mark.parametrize(
    ("method", "path", "known"),
    [
        ("PUT", "/strict/known", {"If-Match", "If-None-Match"}),
        ("PUT", "/strict/unknown", set()),
        ("DELETE", "/plain", set()),
        ("PATCH", "/plain/declares", {"If-Unmodified-Since"}),
        ("PATCH", "/plain/model", {"If-Match", "If-Range"}),
        ("PUT", "/nested/put", set()),
        ("PATCH", "/plain/itself", set(PRECONDITIONS)),
        ("PATCH", "/plain/dependency", set(PRECONDITIONS)),
        ("PUT", "/mounted/x", set(PRECONDITIONS)),
        ("GET", "/strict", set(PRECONDITIONS)),
    ],
)
async def test_a_precondition_that_a_route_does_not_know_is_refused(
    client: httpx2.AsyncClient, method: str, path: str, known: set[str], name: str
) -> None:
    answered = await client.request(method, path, headers={name: '"3"'})
    if name in known:
        assert answered.status_code in (200, 412)
        return
    problem = answered.json()
    assert (answered.status_code, problem["type"]) == (400, "unknown-precondition")
    others = f"evaluates only {' and '.join(sorted(known))}" if known else "evaluates no preconditions"
    assert problem["detail"] == f"{method} '{path}' {others}. Nothing was changed: send it without {name}"
    assert done == []


@pytest.mark.parametrize("first", PRECONDITIONS)
@pytest.mark.parametrize("second", PRECONDITIONS)
async def test_each_of_two_preconditions_must_be_known(client: httpx2.AsyncClient, first: str, second: str) -> None:
    """In whichever order they come: one that is ignored could forbid the change."""
    answered = await client.put("/strict/known", headers=[(first, '"3"'), (second, '"7"')])
    known = {first, second} <= {"If-Match", "If-None-Match"}
    assert (answered.json().get("type") != "unknown-precondition") == known
    assert known or done == []


async def test_an_unknown_address_is_not_found_whatever_it_demands(client: httpx2.AsyncClient) -> None:
    assert (await client.put("/nowhere", headers={"If-Match": '"1"'})).status_code == 404
    assert (await client.post("/strict", headers={"If-Match": '"1"'})).status_code == 405


async def test_head_of_a_mounted_app(client: httpx2.AsyncClient) -> None:
    inner = FastAPI()

    @inner.get("/x")
    async def x() -> dict[str, int]:
        return {"a": 1}

    client._transport.app.mount("/inner", inner)  # type: ignore[attr-defined]
    get, head = await client.get("/inner/x"), await client.head("/inner/x")
    assert (head.status_code, dict(head.headers), head.content) == (200, dict(get.headers), b"")
