"""Generated routes beside routes of one's own: which comes first, what works on all, what is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from twofold import App, ConfigurationError, Decider, Projection, Recorded
from twofold.api import Actor, Api, nobody
from twofold.web.answers import answer
from twofold.web.application import web_app
from twofold.web.commands import Asking
from twofold.web.identity import CurrentActor, LoggedIn
from twofold.web.routes import router

Serve = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Write:
    text: str = ""


@dataclass(frozen=True)
class Written:
    text: str


def decide(command: Write, state: str) -> list[Written]:
    return [Written(command.text)]


def evolve(state: str, event: Written) -> str:
    return event.text


@dataclass(frozen=True)
class Row:
    id: str
    text: str = ""


def fold(row: Row, event: Written, recorded: Recorded) -> Row:
    return Row(row.id, event.text)


notes = Decider("note", "", decide, evolve)
listed = Projection("notes", Row, fold)
APP = App("notes", deciders=[notes], projections=[listed])


async def greeting() -> str:
    return "hello"


def api(**settings: Any) -> Api:
    made = Api(APP, **{"actor": nobody, **settings})
    made.row(listed, "GET /notes/{id}")
    made.page(listed, "GET /notes")
    made.command(notes, Write, "PUT /notes/{id}")
    made.command(notes, Write, "POST /notes/{id}/drafts", new=True, name="draft")
    return made


async def test_a_route_of_ones_own_comes_first(serve: Serve) -> None:
    own = router()

    @own.get("/notes/newest")
    async def newest() -> Response:
        return answer("newest")

    @own.get("/notes/{id}/words")
    async def words(id: str) -> Response:
        return answer(id)

    site = await serve(api(), own)
    await site.running.execute(notes, "1", Write("a"))
    await site.settle()
    assert (await site.client.get("/notes/newest")).json() == "newest"
    assert (await site.client.head("/notes/newest")).headers["content-length"] == str(len('"newest"'))
    assert (await site.client.get("/notes/1/words")).json() == "1"
    assert (await site.client.get("/notes/1")).json() == {"id": "1", "text": "a"}
    wrong = await site.client.delete("/notes/newest")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, PUT")


async def test_a_route_for_one_method_leaves_the_others(serve: Serve) -> None:
    own = router()

    @own.put("/notes/{id}")
    async def put(id: str) -> Response:
        return answer("own")

    site = await serve(api(), own)
    assert (await site.client.put("/notes/1")).json() == "own"
    assert (await site.client.get("/notes/1")).status_code == 404
    assert (await site.client.head("/notes/1")).status_code == 404


async def test_literal_segments_come_before_parameters(serve: Serve) -> None:
    made = Api(APP, actor=nobody)
    made.page(listed, "GET /{text}/notes", where={"text": "text"})
    made.page(listed, "GET /all/notes", name="every")
    site = await serve(made)
    await site.running.execute(notes, "1", Write("a"))
    await site.settle()
    assert len((await site.client.get("/all/notes")).json()["data"]) == 1
    assert (await site.client.get("/b/notes")).json()["data"] == []


@pytest.mark.parametrize(
    "path",
    ["/notes/", "/notes//", "//notes", "/note", "/NOTES", "/notes/1/", "/notes/1/2", "/", "/notes%2F1", "/v1/notes"],
)
async def test_no_such_address(serve: Serve, path: str) -> None:
    site = await serve(api())
    missing = await site.client.get(f"http://test{path}")
    assert (missing.status_code, missing.json()["type"]) == (404, "not-found")


async def test_an_app_within_another(serve: Serve) -> None:
    site = await serve(api())
    outer = FastAPI()
    outer.mount("/v1", site.app)
    outer.mount("/notes", site.app)
    await site.running.execute(notes, "a/b", Write("a"))
    await site.settle()
    site.client._transport.app = outer
    for prefix in ("/v1", "/notes"):
        assert (await site.client.get(f"{prefix}/notes/a%2Fb")).json()["text"] == "a"
        page = await site.client.get(f"{prefix}/notes?limit=1")
        assert len(page.json()["data"]) == 1
    assert (await site.client.get("/v1x/notes")).status_code == 404


async def test_middleware_works_on_all(serve: Serve) -> None:
    class Marked:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def marking(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"].append((b"x-mark", b"1"))
                await send(message)

            await self.app(scope, receive, marking)

    site = await serve(api())
    site.app.add_middleware(Marked)
    for method, path in [("GET", "/notes/1"), ("GET", "/notes"), ("PUT", "/notes/1"), ("GET", "/health/live")]:
        assert (await site.client.request(method, path)).headers["x-mark"] == "1"


async def test_dependencies_and_overrides_of_ones_own_routes(serve: Serve) -> None:
    async def user_of(headers: Mapping[str, str]) -> Actor | None:
        return Actor(headers["x-user"]) if "x-user" in headers else None

    own, plain = router(), APIRouter()

    @own.get("/greet")
    async def greet(actor: LoggedIn, words: Annotated[str, Depends(greeting)]) -> Response:
        return answer(f"{words} {actor.id}")

    @own.put("/mine")
    async def mine(actor: LoggedIn, asked: Asking) -> Response:
        async def handle() -> Response:
            return answer((await asked.execute(notes, actor.id, Write("mine"))).receipt.version)

        return await asked.once(handle)

    @plain.get("/who")
    async def who(actor: CurrentActor) -> str | None:
        return actor.id if actor else None

    site = await serve(api(actor=user_of), own, plain)
    ada = {"X-User": "ada"}
    refused = await site.client.get("/greet")
    assert (refused.status_code, "www-authenticate" in refused.headers) == (401, True)
    assert (await site.client.get("/greet", headers=ada)).json() == "hello ada"
    assert (await site.client.put("/mine", headers=ada)).json() == 1
    assert [event.actor for event in await site.running.history("note-ada")] == ["ada"]
    assert [(await site.client.get("/who", headers=sent)).json() for sent in ({}, ada)] == [None, "ada"]

    async def other() -> str:
        return "goodbye"

    site.app.dependency_overrides[greeting] = other
    assert (await site.client.get("/greet", headers=ada)).json() == "goodbye ada"


@pytest.mark.parametrize(
    ("path", "header", "known"),
    [
        ("/notes/1", "If-Match", True),
        ("/notes/1", "If-None-Match", True),
        ("/notes/1", "If-Unmodified-Since", False),
        ("/notes/1", "If-Modified-Since", False),
        ("/notes/1/drafts", "If-Match", False),
        ("/notes/1/drafts", "If-None-Match", True),
    ],
)
async def test_no_precondition_is_ignored(serve: Serve, path: str, header: str, known: bool) -> None:
    site = await serve(api())
    method = "PUT" if path == "/notes/1" else "POST"
    response = await site.client.request(method, path, json={}, headers={header: "*"})
    assert (response.json().get("type") != "unknown-precondition") is known
    if not known:
        assert response.status_code == 400
        assert await site.running.history("note-1") == []


async def test_the_api_of_another_app(serve: Serve) -> None:
    other = App("others", deciders=[notes], projections=[listed])
    async with APP.open("memory:") as running:
        with pytest.raises(ConfigurationError, match="the Api is for the App others, but notes is running"):
            web_app(running, Api(other, actor=nobody))


class Odd:
    """A class that msgspec reads with a hook of its own, and pydantic not at all."""


@dataclass(frozen=True)
class Unreadable:
    odd: Odd


def decide_odd(command: Unreadable, state: str) -> list[Written]:
    return []


def shown(row: Row) -> Odd:
    return Odd()


async def test_a_command_that_cannot_be_read(serve: Serve) -> None:
    odd = Decider("odd", "", decide_odd, evolve)
    made = Api(App("odd", deciders=[odd]), actor=nobody)
    made.command(odd, Unreadable)
    with pytest.raises(
        ConfigurationError, match=r"command Unreadable at POST .*: pydantic cannot read what is sent: .*Odd"
    ):
        await serve(made)


async def test_what_cannot_be_described_is_served(serve: Serve) -> None:
    made = Api(APP, actor=nobody)
    made.row(listed, "GET /notes/{id}", returns=shown)
    site = await serve(made)
    responses = (await site.client.get("/openapi.json")).json()["paths"]["/notes/{id}"]["get"]["responses"]
    assert "pydantic cannot describe it" in responses["200"]["content"]["application/json"]["schema"]["description"]
