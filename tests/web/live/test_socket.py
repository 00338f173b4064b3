"""WebSocket /live: messages, subscriptions, who may connect, and how a connection ends."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
import websockets
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from twofold import Running
from twofold.api import Actor, Api, anyone, nobody
from twofold.web.live import subscription
from twofold.web.login.sessions import Sessions
from twofold.web.serving.local import LocalOnly

from .conftest import Written

Serve = Callable[..., Awaitable[Any]]

WRITE_A_DECIMAL = "sold_for: Write a decimal as a number, or as a string of digits like 12.50, not "

pytestmark = pytest.mark.slow  # real sockets and real time


async def said(socket: Any) -> dict[str, Any]:
    async with asyncio.timeout(20):
        message: dict[str, Any] = json.loads(await socket.recv())
        return message


async def ask(socket: Any, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def problem(socket: Any, **message: Any) -> tuple[int, str, str]:
    await ask(socket, **message)
    answer = await said(socket)
    return answer["problem"]["status"], answer["problem"]["type"], answer["problem"]["detail"]


async def closed(socket: Any) -> int | None:
    with suppress(ConnectionClosed):
        while True:
            await said(socket)
    code: int | None = socket.close_code
    return code


# ---- messages


async def test_many_subscriptions(serve: Serve) -> None:
    site = await serve()
    await site.write("1", "ada", "one")
    async with site.socket() as socket:
        await ask(socket, id="all", subscribe="notes")
        first = await said(socket)
        assert (first["id"], list(first["snapshot"]["rows"]), first["snapshot"]["parked"]) == ("all", ["1"], 0)
        await ask(socket, id="one", subscribe="notes", where={"note_id": "1"})
        assert list((await said(socket))["snapshot"]["rows"]) == ["1"]
        await ask(socket, id="tallies", subscribe="tallies", where={"owner": "ada", "number": 1})
        assert list((await said(socket))["snapshot"]["rows"]) == ['["ada",1]']
        await site.write("1", "ada", "two")
        changed = {(message := await said(socket))["id"]: message for _ in range(3)}
        assert changed.keys() == {"all", "one", "tallies"}
        assert changed["all"]["changes"] == changed["one"]["changes"]
        assert changed["all"]["changes"]["rows"]["1"]["title"] == "two"
        assert all(message["token"] for message in changed.values())
        await ask(socket, id="all", unsubscribe=True)
        await ask(socket, id="tallies", unsubscribe=True)
        await ask(socket, id="never", unsubscribe=True)
        await ask(socket, id="all", subscribe="tallies")
        assert (await said(socket))["id"] == "all"
        assert len(site.running.watching._watchers) == 2
    await site.nobody_watches()


async def test_resuming(serve: Serve) -> None:
    site = await serve()
    async with site.socket() as socket:
        await ask(socket, id="a", subscribe="notes")
        token = (await said(socket))["token"]
    await site.write("1", "ada")
    async with site.socket() as socket:
        await ask(socket, id="a", subscribe="notes", after=token)
        missed = await said(socket)
        assert list(missed["changes"]["rows"]) == ["1"]
        assert await problem(socket, id="b", subscribe="notes", after="w.x") == (
            400,
            "invalid-token",
            "'w.x' is not a token of a watcher; send one exactly as it was returned",
        )
        assert (await problem(socket, id="b", subscribe="notes", after="x"))[:2] == (400, "invalid-token")


@pytest.mark.parametrize(
    ("message", "status", "detail"),
    [
        ({"id": "a", "subscribe": "nothing"}, 404, "There is no 'nothing' to subscribe to; there is notes, tallies"),
        ({"id": "a", "subscribe": "notes", "where": {"x": 1}}, 404, "notes cannot be subscribed to with x"),
        ({"id": "a", "subscribe": "notes", "where": {"sold_for": "red"}}, 422, "sold_for: "),
        ({"id": "a", "subscribe": "notes", "where": []}, 400, "This is not a message of a client: "),
        ({"id": 1, "subscribe": "notes"}, 400, "This is not a message of a client: "),
        ({"id": "a", "subscribe": "notes", "limit": 5}, 400, "This is not a message of a client: "),
        ({"subscribe": "notes"}, 400, "A subscription needs an id"),
        ({"id": "x" * 201, "subscribe": "notes"}, 400, "A subscription needs an id"),
        ({"id": "a", "subscribe": "notes", "unsubscribe": True}, 400, "A message either subscribes or unsubscribes"),
        ({"id": "a"}, 400, "A message has subscribe, "),
        ({"id": "a", "unsubscribe": False}, 400, "A message has subscribe, "),
        ({}, 400, "A message has subscribe, "),
        ({"unsubscribe": True}, 400, "To unsubscribe, give the id of the subscription"),
        ({"id": "a", "subscribe": "notes", "where": {"sold_for": "x"}}, 422, WRITE_A_DECIMAL + '"x"'),
        ([], 400, "This is not a message of a client: "),
        (
            {"id": "a", "subscribe": "notes", "where": {"colour": "x"}},
            404,
            "notes cannot be subscribed to with colour; ",
        ),
    ],
)
async def test_messages_that_are_refused(serve: Serve, message: Any, status: int, detail: str) -> None:
    site = await serve()
    async with site.socket() as socket:
        await socket.send(json.dumps(message))
        refused = (await said(socket))["problem"]
        assert (refused["status"], refused["instance"]) == (status, "/live")
        assert refused["detail"].startswith(detail)
        await ask(socket, id="a", subscribe="notes")
        assert "snapshot" in await said(socket)


async def test_what_is_told_is_not_compressed(serve: Serve) -> None:
    """The rows of a round are encoded once for all clients; compressing them would cost more, for each of them."""
    site = await serve()
    async with site.socket() as socket:
        assert "permessage-deflate" in socket.request.headers["Sec-WebSocket-Extensions"]
        assert "Sec-WebSocket-Extensions" not in socket.response.headers


async def test_what_is_no_json(serve: Serve) -> None:
    site = await serve()
    async with site.socket() as socket:
        deep = '{"id":"a","subscribe":"notes","where":{"title":' + "[" * 10_000 + "]" * 10_000 + "}}"
        for sent in ("", "{", b"\xff", b'{"id":"\xff"}', "null", deep):
            await socket.send(sent)
            assert (await said(socket))["problem"]["type"] == "invalid-json"
        await socket.send(b'{"id":"a","subscribe":"notes"}')
        assert "snapshot" in await said(socket)


async def test_an_id_can_be_used_again_once_it_is_free(serve: Serve) -> None:
    site = await serve()
    async with site.socket() as socket:
        await ask(socket, id="a", subscribe="notes")
        await said(socket)
        assert (await problem(socket, id="a", subscribe="tallies"))[0] == 400
        await ask(socket, id="a", unsubscribe=True)
        assert (await problem(socket, id="a", subscribe="nothing"))[0] == 404
        await ask(socket, id="a", subscribe="tallies")
        assert "snapshot" in await said(socket)


async def test_a_refusal_never_has_the_id_of_a_subscription_that_goes_on(serve: Serve) -> None:
    """A problem with its id would end it."""
    site = await serve()
    name = "x" * 200
    async with site.socket() as socket:
        await ask(socket, id=name, subscribe="notes")
        await said(socket)
        for message in (
            {},
            {"subscribe": "notes"},
            {"subscribe": "notes", "unsubscribe": True},
            {"authorization": "ada"},
        ):
            await ask(socket, id=name, **message)
            assert (await said(socket))["id"] == "", message
        await ask(socket, id=name + "y", subscribe="notes")
        assert (await said(socket))["id"] == ""
        await ask(socket, id="y", subscribe="notes", unsubscribe=True)
        assert (await said(socket))["id"] == "y"
        await site.write("1", "ada")
        assert (await said(socket))["id"] == name


async def test_subscriptions_of_a_connection_are_bounded(serve: Serve) -> None:
    site = await serve()
    async with site.socket() as socket:
        for number in range(100):
            await ask(socket, id=str(number), subscribe="notes")
            await said(socket)
        assert "at most 100" in (await problem(socket, id="more", subscribe="notes"))[2]
    await site.nobody_watches()


async def test_a_message_that_is_too_large(serve: Serve) -> None:
    site = await serve()
    async with site.socket() as socket:
        await ask(socket, id="a", subscribe="notes", where={"title": "x" * 70_000})
        assert await closed(socket) == 1009
    await site.nobody_watches()


# ---- who sees what


async def test_two_users(serve: Serve) -> None:
    site = await serve()
    await site.write("a", "ada")
    async with site.socket("ada") as ada, site.socket("ben") as ben:
        for socket in (ada, ben):
            await ask(socket, id="n", subscribe="notes")
        assert list((await said(ada))["snapshot"]["rows"]) == ["a"]
        assert list((await said(ben))["snapshot"]["rows"]) == []
        await site.write("a", "ada", "secret")
        assert (await said(ada))["changes"]["rows"]["a"]["title"] == "secret"
        await site.write("a", "ben")
        assert (await said(ada))["changes"]["rows"] == {"a": None}
        assert (await said(ben))["changes"]["rows"]["a"]["title"] == ""


async def test_authorization_in_the_first_message(serve: Serve) -> None:
    site = await serve()
    await site.write("a", "ada")
    async with site.socket(None) as socket:
        await ask(socket, authorization="ada", id="n", subscribe="notes")
        assert list((await said(socket))["snapshot"]["rows"]) == ["a"]
    async with site.socket(None) as socket:
        await ask(socket, authorization="ada")
        await ask(socket, id="n", subscribe="notes")
        assert list((await said(socket))["snapshot"]["rows"]) == ["a"]
    async with site.socket(None) as socket:
        assert (await problem(socket, id="n", subscribe="notes"))[:2] == (401, "unauthorized")
        assert (await problem(socket, authorization="ada"))[0] == 400
    address = f"{site.address.replace('http:', 'ws:')}/live"
    async with websockets.connect(address, additional_headers={"Authorization": "ben"}) as socket:
        refused = await problem(socket, authorization="ada", id="n", subscribe="notes")
        assert (refused[0], "beside the header" in refused[2]) == (400, True)
        await ask(socket, id="n", subscribe="notes")
        assert (await said(socket))["snapshot"]["rows"] == {}


async def test_a_login_that_ends_ends_its_subscriptions(
    serve: Serve, rules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "CHECK_EVERY_S", 0.02)
    site = await serve()
    async with site.socket() as socket:
        await ask(socket, id="n", subscribe="notes")
        await said(socket)
        rules.logged_out.add("ada")
        ended = await said(socket)
        assert (ended["id"], ended["problem"]["status"]) == ("n", 401)
        assert (await problem(socket, id="n", subscribe="notes"))[0] == 401
        rules.logged_out.clear()
        await ask(socket, id="n", subscribe="notes")
        assert "snapshot" in await said(socket)
        rules.allowed = False
        assert (await said(socket))["problem"]["status"] == 403


async def test_another_scope_is_a_new_snapshot_also_for_who_has_resumed(
    serve: Serve, rules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token that it came with is of the former one, and of what was shown before the snapshot in between."""
    site = await serve()
    watch, begun = site.running.watching.watch, []

    def noting(*asked: Any, **how: Any) -> Any:
        begun.append(how["after"])
        return watch(*asked, **how)

    monkeypatch.setattr(site.running.watching, "watch", noting)
    await site.write("1", "ada")
    await site.write("2", "bob")
    async with site.socket() as socket:
        await ask(socket, id="a", subscribe="notes")
        token = (await said(socket))["token"]
    await site.write("1", "ada", "missed")
    async with site.socket() as socket:
        await ask(socket, id="a", subscribe="notes", after=token)
        assert list((await said(socket))["changes"]["rows"]) == ["1"]
        rules.everything.add("ada")
        await site.write("1", "ada", "after it")
        assert (await said(socket))["snapshot"]["rows"].keys() == {"1", "2"}
        rules.everything.clear()
        await site.write("2", "bob", "after that")
        await site.write("1", "ada", "at last")
        assert (await said(socket))["snapshot"]["rows"].keys() == {"1"}
    assert begun == [None, token, None, None]


@pytest.mark.parametrize("frames", [1, 3])
async def test_rules_hold_for_each_frame_of_a_round(
    serve: Serve, rules: Any, monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    """Who may no longer watch gets nothing more of it, and nothing to resume from, since the rest was not told."""
    monkeypatch.setattr("twofold.web.live.encoding.FRAME_BYTES", 1)
    allowed = iter([True] * (1 + frames))  # asked to begin, and before each frame
    monkeypatch.setattr(rules, "allow", lambda actor, arguments: next(allowed, False))
    site = await serve()
    for number in range(5):
        await site.running.append(f"note-{number}", [Written("ada", "", Decimal(0))])
    await site.running.settled(timeout_s=20)
    async with site.socket() as socket:
        await ask(socket, id="all", subscribe="notes")
        told = [await said(socket) for _ in range(frames)]
        assert [list(each)[1] for each in told] == ["snapshot", *["changes"] * (frames - 1)]
        assert [each["token"] for each in told] == [None] * frames
        assert (await said(socket))["problem"]["status"] == 403


async def test_an_address_that_is_open_to_this_client_is_used(serve: Serve, rules: Any) -> None:
    """Both pages suit, and only the second one is open."""

    def own(actor: Actor, arguments: Any) -> bool:
        return bool(arguments["user"] == actor.id)

    everything: Api = rules.api()
    notes = next(each.projection for each in everything.served if each.name == "of_user")
    api = Api(everything.app, actor=rules.actor)
    api.page(notes)
    api.page(notes, "GET /users/{user}/notes", where={"owner": "user"}, allow=own, name="of_user")
    site = await serve(api)
    async with site.socket() as socket:
        assert (await problem(socket, id="n", subscribe="notes"))[0] == 403
        assert (await problem(socket, id="n", subscribe="notes", where={"owner": "ben"}))[0] == 403
        await ask(socket, id="n", subscribe="notes", where={"owner": "ada"})
        assert "snapshot" in await said(socket)


@pytest.mark.parametrize("error", [KeyError("secret"), asyncio.CancelledError("secret")])
async def test_user_code_that_fails_in_the_middle(
    serve: Serve, rules: Any, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    failing = False

    def fails(row: Any) -> dict[str, str]:
        if failing:
            raise error
        return {}

    site = await serve(rules.api(returns=fails))
    async with site.socket() as socket:
        await ask(socket, id="n", subscribe="notes")
        await ask(socket, id="t", subscribe="tallies")
        assert {(await said(socket))["id"] for _ in range(2)} == {"n", "t"}
        failing = True
        await site.write("1", "ada")
        messages = {(message := await said(socket))["id"]: message for _ in range(2)}
        assert messages["n"]["problem"]["type"] == "internal-error"
        assert "changes" in messages["t"]
        assert "secret" not in json.dumps(messages)
    [logged] = [record for record in caplog.records if record.getMessage().startswith("/live: ")]
    assert "secret" not in logged.getMessage()
    await site.nobody_watches()


# ---- who may connect


async def refused(site: Any, **settings: Any) -> tuple[int, str]:
    found = await refusal(site, **settings)
    return found["status"], found["type"]


async def refusal(site: Any, **settings: Any) -> dict[str, Any]:
    with pytest.raises(InvalidStatus) as error:
        await site.socket(**settings)
    response = error.value.response
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(response.body)
    assert found["status"] == response.status_code
    return found


async def test_origins(serve: Serve, rules: Any) -> None:
    site = await serve(rules.api(cors=["https://shop.example"]))
    for foreign in ("https://evil.example", "null", "https://shop.example.evil.example", "http://shop.example"):
        assert await refused(site, origin=foreign) == (403, "forbidden")
    assert not site.running.watching._watchers
    for known in ("https://shop.example", site.address, None):
        async with site.socket(origin=known) as socket:
            await ask(socket, id="n", subscribe="notes")
            assert "snapshot" in await said(socket)


async def test_an_address_without_a_websocket(serve: Serve) -> None:
    site = await serve()
    assert await refusal(site, path="/notes") == {
        "type": "not-found",
        "title": "Not found",
        "status": 404,
        "detail": "There is no WebSocket at /notes; live rows are at /live",
        "instance": "/notes",
    }


async def test_a_route_that_closes_before_it_accepts(serve: Serve) -> None:
    site = await serve()

    async def close(websocket: WebSocket) -> None:
        await websocket.close()

    site.app.router.routes.append(WebSocketRoute("/closed", close))
    found = await refusal(site, path="/closed")
    assert (found["status"], found["type"]) == (403, "forbidden")
    assert found["detail"] == "The route at this address closed the WebSocket before it accepted it"


async def test_an_app_by_rule_is_for_pages_of_this_machine(serve: Serve, rules: Any) -> None:
    rules.allow = anyone
    site = await serve(rules.api(actor=nobody, scope=None))
    site.app.user_middleware.insert(1, Middleware(LocalOnly))
    assert await refused(site, origin="https://evil.example") == (403, "forbidden")
    rebound = "evil.example:" + site.address.rpartition(":")[2]
    assert await refused(site, host=rebound, origin=f"http://{rebound}") == (403, "forbidden")
    async with site.socket(origin=site.address) as socket:
        await ask(socket, id="n", subscribe="notes")
        assert "snapshot" in await said(socket)


async def test_cookies_of_sessions(serve: Serve, rules: Any) -> None:
    sessions: list[Sessions] = []

    def make(running: Running) -> Api:
        sessions.append(Sessions(running, origins=["http://localhost:3000"]))
        return rules.api(running.app, actor=sessions[0], cors=["http://localhost:3000", "http://localhost:4000"])

    site = await serve(make=make, sessions=True)
    await site.write("a", "ada")
    cookie = (await sessions[0].begin({}, Actor("ada")))["Set-Cookie"].partition(";")[0]
    async with site.socket(None, origin="http://localhost:3000", cookie=cookie) as socket:
        await ask(socket, id="n", subscribe="notes")
        assert list((await said(socket))["snapshot"]["rows"]) == ["a"]
    async with site.socket(None, origin="http://localhost:4000", cookie=cookie) as socket:
        assert (await problem(socket, id="n", subscribe="notes"))[:2] == (403, "forbidden")
    async with site.socket(None, origin="http://localhost:3000") as socket:
        assert (await problem(socket, id="n", subscribe="notes"))[:2] == (401, "unauthorized")


# ---- the end


async def test_clients_that_vanish_leave_nothing(serve: Serve) -> None:
    site = await serve()
    for _ in range(3):
        socket = await site.socket()
        for name in "ab":
            await ask(socket, id=name, subscribe="notes")
            await said(socket)
        socket.transport.abort()
        await site.nobody_watches()


async def test_a_stop_says_that_the_service_restarts(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    site = await serve()
    async with site.socket() as socket, site.socket() as idle:
        await ask(socket, id="n", subscribe="notes")
        await said(socket)
        site.admission.stop()
        with pytest.raises(ConnectionClosed):
            await said(socket)
        assert (socket.close_code, await closed(idle)) == (1012, 1012)
    assert await refused(site) == (503, "stopping")
    await site.nobody_watches()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_connection_without_a_subscription_is_closed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twofold.web.live.client.IDLE_S", 0.2)
    site = await serve()
    async with site.socket() as socket, site.socket() as idle:
        await ask(socket, id="n", subscribe="notes")
        await said(socket)
        assert await closed(idle) == 1008
        await site.write("1", "ada")
        assert "changes" in await said(socket)
        await ask(socket, id="n", unsubscribe=True)
        assert await closed(socket) == 1008
    await site.nobody_watches()


async def test_what_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = await serve()
    assert (await site.client.get("/notes", headers={"X-User": "ada"})).status_code == 200
    async with site.socket() as socket:
        await ask(socket, id="n", subscribe="notes", where={"title": "secret"})
        await said(socket)
    await site.nobody_watches()
    await refused(site, origin="https://evil.example")
    assert not [record for record in caplog.records if record.name == "uvicorn.access"], "each request is logged once"
    lines = [record for record in caplog.records if record.name == "twofold.access"]
    assert [line.getMessage() for line in lines] == [
        "GET /notes 200",
        "WEBSOCKET /live 101 begins",
        "WEBSOCKET /live 101",
        "WEBSOCKET /live 403",
    ]
    assert lines[2].duration_ms > 0  # type: ignore[attr-defined]
    assert not [line for line in lines if "secret" in json.dumps(line.__dict__, default=str)]
