"""Generated routes are found directly, and everything around them works as if FastAPI had found them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, HTTPException, Request, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from twofold import App, Projection, Recorded, Running, Stored, Stream
from twofold.api import Api, nobody
from twofold.api.rule import by_rule
from twofold.errors import InvalidCursor
from twofold.web.application import web_app
from twofold.web.rest.direct import Direct
from twofold.web.routes import router

Connect = Callable[[FastAPI], Awaitable[httpx2.AsyncClient]]


@dataclass(frozen=True)
class Put:
    text: str


@dataclass(frozen=True)
class Note:
    note_id: str
    text: str = ""


def fold(row: Note, event: Put, recorded: Recorded) -> Note:
    return Note(row.note_id, event.text)


notes = Projection("note", Note, fold)
app = App("notes", projections=[notes], stored={Put: Stored("Put")})


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with app.open("memory:") as opened:
        for name in ("a", "b", "a/b"):
            receipt = await opened.append(Stream("note", name), [Put(f"text of {name}")])
        await opened.get(notes, "a", after=receipt)
        yield opened


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of requests that were found directly."""
    paths: list[str] = []
    taken = Direct._taken

    def noting(self: Direct, scope: Scope) -> Any:
        route = taken(self, scope)
        if route is not None:
            paths.append(scope["path"])
        return route

    monkeypatch.setattr(Direct, "_taken", noting)
    return paths


async def test_rows_and_pages_are_found_directly(running: Running, connect: Connect, found: list[str]) -> None:
    client = await connect(web_app(running, by_rule(app)))
    assert (await client.get("/note/a")).json() == {"note_id": "a", "text": "text of a"}
    assert len((await client.get("/note")).json()["data"]) == 3
    assert (await client.head("/note/b")).status_code == 200
    assert found == ["/note/a", "/note", "/note/b"]


@pytest.mark.parametrize("order", [*permutations(range(3))])
async def test_an_address_with_a_word_comes_before_one_with_a_parameter(
    running: Running, connect: Connect, found: list[str], order: tuple[int, ...]
) -> None:
    """In whichever order they were declared, as for FastAPI."""
    api = Api(app, actor=nobody)
    declare = [
        lambda: api.row(notes, name="one"),
        lambda: api.page(notes, at="GET /note/b", plain=True, name="all"),
        lambda: api.row(notes, at="GET /{kind_of_note}/a", name="other"),
    ]
    for number in order:
        declare[number]()
    client = await connect(web_app(running, api))
    sent = ("/note/b", "/note/a", "/note/c", "/b/a")
    directly = [(await client.get(path)).json() for path in sent]
    assert found == list(sent[:3])
    assert len(directly[0]) == 3
    assert directly[1]["note_id"] == "a"
    assert directly[3]["note_id"] == "b"
    encoded = [(await client.get(f"/{path[1:-1]}%{ord(path[-1]):x}")).json() for path in sent]
    assert directly[2].pop("instance") == "/note/c"
    assert encoded[2].pop("instance") == "/note/c"
    assert encoded == directly
    assert found == list(sent[:3]), "FastAPI has found what is encoded"


async def test_a_request_for_the_whole_server_has_no_segments(running: Running) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "OPTIONS", "path": "*", "raw_path": b"*", "query_string": b"", "headers": []}
    await web_app(running, by_rule(app))(scope, receive, send)
    assert sent[0]["status"] == 404


async def test_what_is_not_plain_is_left_to_fastapi(running: Running, connect: Connect, found: list[str]) -> None:
    client = await connect(web_app(running, by_rule(app)))
    assert (await client.get("/note/a%2Fb")).json()["text"] == "text of a/b"
    assert (await client.get("/note/")).status_code == 404
    assert (await client.get("/note/a/b")).status_code == 404
    refused = await client.post("/note/a")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert (await client.get("/health/live")).status_code == 200
    assert found == []


@pytest.mark.parametrize(
    "path", ["/note/{first}", "/note/b", "/{kind}/b", "/{kind}/{first}", "/note/{first:path}", "/{all:path}"]
)
async def test_a_route_that_comes_first_takes_precedence(
    running: Running, connect: Connect, found: list[str], path: str
) -> None:
    """However it is written, if it matches; a page that it does not match is found directly."""
    own = router()

    @own.get(path)
    async def only_b() -> Response:
        return Response("mine")

    client = await connect(web_app(running, by_rule(app), own))
    assert (await client.get("/note/b")).text == "mine"
    if path != "/{all:path}":
        assert len((await client.get("/note")).json()["data"]) == 3
        assert found == ([] if path == "/note/{first:path}" else ["/note"])


async def test_a_route_that_is_put_first_later_takes_precedence_from_then_on(
    running: Running, connect: Connect, found: list[str]
) -> None:
    async def mine(request: Request) -> Response:
        return Response("mine")

    served = web_app(running, by_rule(app))
    client = await connect(served)
    assert len((await client.get("/note")).json()["data"]) == 3
    served.router.routes.insert(0, Route("/note", mine))
    assert (await client.get("/note")).text == "mine"
    assert found == ["/note"]


async def test_a_mount_that_comes_first_takes_precedence(running: Running, connect: Connect, found: list[str]) -> None:
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("mounted")(scope, receive, send)

    made = web_app(running, by_rule(app))
    made.mount("/note", mounted)
    client = await connect(made)
    assert (await client.get("/note/a")).json()["note_id"] == "a"  # it comes last
    made.router.routes.insert(0, made.router.routes.pop())
    made.router.routes.append(made.router.routes[-1])  # an app that has changed is looked at again
    assert (await client.get("/note/a")).text == "mounted"
    assert found == ["/note/a"]


async def test_errors_go_to_the_handlers_of_the_app(running: Running, connect: Connect, found: list[str]) -> None:
    made = web_app(running, by_rule(app))
    client = await connect(made)
    missing = await client.get("/note/c")
    assert (missing.status_code, missing.json()["type"]) == (404, "not-found")
    assert (await client.get("/note/a?limit=1")).status_code == 422
    assert (await client.get("/note?cursor=nothing")).json()["type"] == "invalid-cursor"

    @made.exception_handler(InvalidCursor)
    async def own(request: Request, error: InvalidCursor) -> Response:
        return Response("my own", 418)

    assert (await client.get("/note?cursor=nothing")).text == "my own"
    assert len(found) == 4


@pytest.mark.parametrize("status", [500, 501, 503])
async def test_a_handler_of_a_status_works_as_on_any_other_route(
    running: Running, connect: Connect, found: list[str], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """For Starlette one of status 500 is for what nobody expected, so it does not get an HTTPException."""
    own = router()

    async def refused(*_: object, **__: object) -> None:
        raise HTTPException(status, "not now")

    @own.get("/plain")
    async def plain() -> None:
        await refused()

    monkeypatch.setattr(running.queries, "get", refused)
    made = web_app(running, by_rule(app), own)

    @made.exception_handler(status)
    async def handler(request: Request, error: HTTPException) -> Response:
        return Response("my own", 418)

    client = await connect(made)
    direct, other = await client.get("/note/a"), await client.get("/plain")
    assert found == ["/note/a"]
    assert direct.status_code == other.status_code == (500 if status == 500 else 418)


async def test_unexpected_errors_are_internal(
    running: Running, connect: Connect, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(running.queries, "get", broken)
    client = await connect(web_app(running, by_rule(app)))
    answered = await client.get("/note/a")
    assert (answered.status_code, answered.json()["type"]) == (500, "internal-error")
    assert found == ["/note/a"]


async def test_middleware_works_on_them(running: Running, connect: Connect, found: list[str]) -> None:
    made = web_app(running, by_rule(app))

    class Refusing:
        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            refused = scope["path"] == "/note/b"
            await (Response("refused", 403) if refused else self._app)(scope, receive, send)

    made.add_middleware(Refusing)
    client = await connect(made)
    assert (await client.get("/note/a")).status_code == 200
    assert (await client.get("/note/b")).text == "refused"
    assert found == ["/note/a"]


async def test_a_root_path_is_left_to_fastapi(running: Running, connect: Connect, found: list[str]) -> None:
    made = web_app(running, by_rule(app))
    outer = FastAPI()
    outer.mount("/api", made)
    client = await connect(outer)
    assert (await client.get("/api/note/a")).json()["note_id"] == "a"
    assert found == []
