"""Sessions: two users, logout, expiry, several processes, and cookies that are stolen or made up."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, Request, Response

from twofold import App, Running
from twofold.api import Actor
from twofold.api.sessions import login_sessions
from twofold.errors import ConfigurationError
from twofold.web.bodies import JsonBody
from twofold.web.login.sessions import Sessions
from twofold.web.problems import Problem
from twofold.web.routes import router

Serve = Callable[..., Awaitable[httpx2.AsyncClient]]
HERE = "http://localhost:8000"
FOREIGN = ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:8001"})


@dataclass(frozen=True)
class Credentials:
    name: str
    password: str


def entrance(sessions: Sessions, expires: datetime | None = None) -> APIRouter:
    routes = router()

    @routes.post("/login", status_code=204)
    async def login(body: JsonBody[Credentials], request: Request) -> Response:
        if body.password != f"{body.name}'s":
            raise Problem(403, "login-failed", "Name or password is wrong")
        actor = Actor(body.name, {"roles": ["reader"]}, expires)
        return Response(status_code=204, headers=await sessions.begin(request.headers, actor))

    @routes.post("/logout", status_code=204)
    async def logout(request: Request) -> Response:
        return Response(status_code=204, headers=await sessions.end(request.headers))

    @routes.get("/me")
    async def me(request: Request) -> Response:
        actor = await sessions(request.headers)
        return Response(str(actor and (actor.id, actor.claims)))

    return routes


def by_session(*origins: str, expires: datetime | None = None, **options: Any) -> Callable[[Running], Any]:
    def login(running: Running) -> Any:
        sessions = Sessions(running, origins=origins or [HERE], **options)
        return [sessions, entrance(sessions, expires)]

    return login


async def logged_in(client: httpx2.AsyncClient, name: str, **headers: str) -> str:
    """Log in; returns the cookie, as a header to send it with."""
    response = await client.post("/login", json={"name": name, "password": f"{name}'s"}, headers=headers)
    assert response.status_code == 204
    client.cookies.clear()
    return str(response.headers["Set-Cookie"].partition(";")[0])


async def status(client: httpx2.AsyncClient, cookie: str, path: str = "/notes", **headers: str) -> int:
    return (await client.get(path, headers={"Cookie": cookie, **headers})).status_code


async def test_two_users(serve: Serve) -> None:
    client = await serve(by_session(), login_sessions)
    ada, ben = [{"Cookie": await logged_in(client, name)} for name in ("ada", "ben")]
    note = {"text": "tea", "owner": "ada"}
    refused = await client.put("/notes/1", json=note)
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, 'Cookie cookie-name="session"')
    assert (await client.put("/notes/1", json=note, headers=ben)).status_code == 403
    done = await client.put("/notes/1", json=note, headers=ada)
    token = {"Consistency-Token": done.headers["Consistency-Token"]}
    assert (await client.get("/notes/1", headers=ada | token)).json()["text"] == "tea"
    assert (await client.get("/notes/1", headers=ben | token)).status_code == 404
    assert (await client.get("/notes", headers=ben | token)).json()["data"] == []
    assert (await client.get("/me", headers=ben)).text == "('ben', {'roles': ['reader']})"


async def test_the_cookie_on_this_machine_and_elsewhere(serve: Serve) -> None:
    credentials = {"name": "ada", "password": "ada's"}
    client = await serve(by_session(), login_sessions)
    response = await client.post("/login", json=credentials)
    name, *attributes = response.headers["Set-Cookie"].split("; ")
    assert name.startswith("session=")
    assert attributes == ["Max-Age=43200", "Path=/", "HttpOnly", "SameSite=Lax"]
    assert response.headers["Cache-Control"] == "no-store"
    assert (await client.get("/notes")).status_code == 200  # the client keeps and sends the cookie

    origins = "https://notes.example", "http://localhost:3000"
    client = await serve(by_session(*origins), login_sessions, at="https://notes.example")
    response = await client.post("/login", json=credentials)
    name, *attributes = response.headers["Set-Cookie"].split("; ")
    assert name.startswith("__Host-session=")
    assert attributes == ["Max-Age=43200", "Path=/", "HttpOnly", "SameSite=Lax", "Secure"]
    assert (await client.get("/notes")).status_code == 200
    [(_, scheme)] = (await client.get("/openapi.json")).json()["components"]["securitySchemes"].items()
    assert scheme == {"type": "apiKey", "in": "cookie", "name": "__Host-session"}


async def test_logout_ends_the_session_on_the_server(serve: Serve) -> None:
    client = await serve(by_session(), login_sessions)
    cookie, other = await logged_in(client, "ada"), await logged_in(client, "ada")
    response = await client.post("/logout", headers={"Cookie": cookie})
    assert response.headers["Set-Cookie"].startswith("session=; Max-Age=0; Path=/")
    assert [await status(client, cookie), await status(client, other)] == [401, 200]
    assert (await client.post("/logout", headers={"Cookie": cookie})).status_code == 204
    assert (await client.post("/logout")).status_code == 204


async def test_a_login_ends_the_session_before_it(serve: Serve) -> None:
    client = await serve(by_session(), login_sessions)
    first = await logged_in(client, "ada")
    second = await logged_in(client, "ben", Cookie=first)
    assert [await status(client, first), await status(client, second)] == [401, 200]


async def test_a_session_that_expires_meanwhile(serve: Serve) -> None:
    client = await serve(by_session(lasts=timedelta(seconds=0.5)), login_sessions)
    cookie = await logged_in(client, "ada")
    while await status(client, cookie) == 200:
        pass
    assert await status(client, cookie) == 401


async def test_a_session_lasts_no_longer_than_its_actor(serve: Serve) -> None:
    client = await serve(by_session(expires=datetime.now(UTC) - timedelta(seconds=1)), login_sessions)
    assert await status(client, await logged_in(client, "ada")) == 401


@pytest.mark.parametrize("foreign", FOREIGN)
async def test_a_stolen_cookie_from_a_foreign_origin(serve: Serve, foreign: dict[str, str]) -> None:
    client = await serve(by_session(HERE, "http://localhost:3000"), login_sessions)
    cookie = await logged_in(client, "ada", Origin="http://localhost:3000")
    note = {"text": "tea", "owner": "ada"}
    for method, path in (("PUT", "/notes/1"), ("GET", "/notes"), ("POST", "/logout"), ("GET", "/me")):
        json = note if method == "PUT" else None
        refused = await client.request(method, path, json=json, headers={"Cookie": cookie, **foreign})
        assert (refused.status_code, refused.json()["type"]) == (403, "forbidden")
    assert [await status(client, cookie, Origin=HERE), await status(client, cookie, "/notes/1")] == [200, 404]
    login = await client.post("/login", json={"name": "ada", "password": "ada's"}, headers=foreign)
    assert (login.status_code, "Set-Cookie" in login.headers) == (403, False)


async def test_a_failed_login_does_not_say_whether_the_user_exists(serve: Serve) -> None:
    client = await serve(by_session(), login_sessions)
    failed = [
        await client.post("/login", json={"name": name, "password": "wrong"}) for name in ("ada", "nobody at all")
    ]
    assert failed[0].json() == failed[1].json()
    assert "Set-Cookie" not in failed[0].headers


@pytest.mark.parametrize(
    "cookie", ["session=", "session=chosen", f"session={'A' * 43}", f"session={'é' * 43}", "session", ";;=;", "x=y"]
)
async def test_a_cookie_that_is_made_up(serve: Serve, cookie: str) -> None:
    client = await serve(by_session(), login_sessions)
    assert (await client.get("/notes", headers=[(b"Cookie", cookie.encode())])).status_code == 401
    made = await logged_in(client, "ada", Cookie=cookie.encode("ascii", "ignore").decode())
    assert made != cookie
    assert await status(client, made) == 200


async def test_sessions_survive_a_restart_and_count_in_every_process(serve: Serve, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'notes.db'}"
    first = await serve(by_session(), login_sessions, store=store)
    cookie = await logged_in(first, "ada")
    second = await serve(by_session(), login_sessions, store=store)  # it knows the session from the log alone
    assert [await status(client, cookie) for client in (first, second)] == [200, 200]
    await second.post("/logout", headers={"Cookie": cookie})
    assert [await status(client, cookie) for client in (first, second)] == [401, 401]


async def test_a_reader_of_the_log_cannot_use_a_session(serve: Serve, tmp_path: Path) -> None:
    client = await serve(by_session(), login_sessions, store=f"sqlite:///{tmp_path / 'notes.db'}")
    token = (await logged_in(client, "ada")).partition("=")[2].encode()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert sha256(token).hexdigest().encode() in stored
    assert token not in stored


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"origins": []}, "origins= must list where the pages are"),
        ({"origins": ["*"]}, "origins= contains '\\*'"),
        ({"origins": "https://notes.example"}, "must be a list of origins"),
        ({"origins": ["http://notes.example"]}, "a session cookie is sent over https only, except on this machine"),
        ({"origins": [HERE], "lasts": timedelta(0)}, "must be longer than nothing"),
    ],
)
async def test_a_declaration_that_is_refused(options: dict[str, Any], sentence: str) -> None:
    async with App("notes", deciders=[login_sessions]).open("memory:") as running:
        with pytest.raises(ConfigurationError, match=sentence):
            Sessions(running, **options)


async def test_an_app_that_cannot_keep_them() -> None:
    async with App("notes").open("memory:") as running:
        with pytest.raises(ConfigurationError, match=r"add login_sessions of twofold\.api\.sessions to its deciders"):
            Sessions(running, origins=[HERE])
