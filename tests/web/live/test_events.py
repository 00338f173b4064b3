"""Server-sent events: what is sent, how a client resumes, what is refused, and for whom."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from twofold import Running
from twofold.ambient import Ambient
from twofold.api import Actor, Api, anyone, nobody
from twofold.errors import Unavailable
from twofold.web.live import subscription
from twofold.web.login.sessions import Sessions

Serve = Callable[..., Awaitable[Any]]

pytestmark = pytest.mark.slow  # real sockets and real time


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "CHECK_EVERY_S", 0.02)


def note(note_id: str, owner: str = "ada", title: str = "", price: str = "0") -> dict[str, str]:
    return {"note_id": note_id, "owner": owner, "title": title, "sold_for": price}


# ---- frames


async def test_a_snapshot_then_every_change(serve: Serve) -> None:
    site = await serve()
    await site.write("1", "ada", "one")
    async with site.events() as stream:
        first = await stream.next()
        assert (first.name, first.data) == ("snapshot", {"rows": {"1": note("1", title="one")}, "parked": 0})
        await site.write("2", "ada", "two", "1.50")
        second = await stream.next()
        assert (second.name, second.rows) == ("changes", {"2": note("2", title="two", price="1.5")})
        await site.remove("1")
        third = await stream.next()
        assert (third.name, third.rows) == ("changes", {"1": None})
        assert len({first.id, second.id, third.id, None}) == 4
        assert stream.retry == "1000"
        headers = stream.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert (headers["cache-control"], headers["vary"]) == ("no-store", "Accept")
        assert "content-length" not in headers
    await site.nobody_watches()


async def test_only_the_last_frame_of_a_snapshot_can_be_resumed_from(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twofold.read.watch.SNAPSHOT_PAGE", 2)
    site = await serve()
    for number in range(5):
        await site.write(str(number), "ada")
    async with site.events() as stream:
        frames = [await stream.next() for _ in range(3)]
    assert [frame.name for frame in frames] == ["snapshot", "changes", "changes"]
    assert [bool(frame.id) for frame in frames] == [False, False, True]
    assert [key for frame in frames for key in frame.rows] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("by", ["last-event-id", "after"])
async def test_a_client_that_is_cut_off_in_the_middle_of_a_snapshot_begins_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Although its token from before, or that of the address, still names a place to resume from: it has dropped those
    rows.
    """
    monkeypatch.setattr("twofold.read.watch.SNAPSHOT_PAGE", 2)
    site = await serve()
    for number in range(5):
        await site.write(str(number), "ada", "x")
    rows: dict[str, Any] = {}
    last_id = ""

    async def take(stream: Any) -> Any:
        nonlocal last_id
        event = await stream.next()
        assert event is not None
        if event.name == "snapshot":
            rows.clear()
        rows.update(event.rows)
        last_id = last_id if event.id is None else event.id
        return event

    path = "/notes?title__startswith=x"
    async with site.events(path) as stream:
        while not last_id.startswith("w."):
            await take(stream)
    path, resuming = (f"{path}&after={last_id}", {}) if by == "after" else (path, {"Last_Event_ID": last_id})
    async with site.events(path, **resuming) as stream:
        await site.write("4", "ada", "y")  # it no longer matches, so only a snapshot tells that
        while (await take(stream)).name != "snapshot":
            pass
    await site.write("4", "ada", "x")  # it matches again, so nothing but the lost part of the snapshot is missed
    async with site.events(path, **({"Last_Event_ID": last_id} if last_id else {})) as stream:
        while not last_id.startswith("w."):
            await take(stream)
    assert list(rows) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("by", ["last-event-id", "consistency-token", "after"])
async def test_resuming(serve: Serve, by: str) -> None:
    site = await serve()
    await site.write("1", "ada", "one")
    async with site.events() as stream:
        token = (await stream.next()).id
    await site.nobody_watches()
    await site.write("2", "ada", "two")
    path, headers = ("/notes?after=" + token, {}) if by == "after" else ("/notes", {by: token})
    async with site.events(path, **headers) as stream:
        missed = await stream.next()
        assert (missed.name, list(missed.rows)) == ("changes", ["2"])


async def test_the_last_event_comes_before_the_token_of_the_address(serve: Serve) -> None:
    """`EventSource` connects again with the address that it was given."""
    site = await serve()
    token = await site.write("1", "ada")
    async with site.events(f"/notes?after={token}") as stream:
        first = await stream.next()
        assert list(first.rows) == ["1"]
    await site.write("2", "ada")
    async with site.events(f"/notes?after={token}", Last_Event_ID=first.id) as stream:
        assert list((await stream.next()).rows) == ["2"]


async def test_a_client_that_has_missed_nothing_gets_its_headers_at_once(serve: Serve) -> None:
    site = await serve()
    async with site.events() as stream:
        token = (await stream.next()).id
    async with site.events(Last_Event_ID=token) as stream:
        assert stream.response.status_code == 200
        await site.write("1", "ada")
        assert (await stream.next()).name == "changes"


async def test_a_row(serve: Serve) -> None:
    site = await serve()
    async with site.events("/notes/1") as stream:
        assert (await stream.next()).rows == {}
        await site.write("2", "ada")
        await site.write("1", "ada", "one")
        assert (await stream.next()).rows == {"1": note("1", title="one")}
        await site.remove("1")
        assert (await stream.next()).rows == {"1": None}


async def test_heartbeats(serve: Serve, beats: None) -> None:
    site = await serve()
    async with site.events() as stream:
        await stream.next()
        await stream.heartbeat()
        await stream.heartbeat()


async def test_names_numbers_and_composite_keys(serve: Serve, rules: Any) -> None:
    site = await serve(rules.api(names="camel", decimals="number"))
    await site.write("1", "ada", price="1.50")
    async with site.events("/notes?soldFor__ge=1") as stream:
        first = await stream.next()
        assert first.rows == {"1": {"noteId": "1", "owner": "ada", "title": "", "soldFor": 1.5}}
    async with site.events("/tallies/ada/1") as stream:
        assert (await stream.next()).rows == {'["ada",1]': {"owner": "ada", "number": 1, "written": 1}}
    async with site.events("/users/ada/notes") as stream:
        assert list((await stream.next()).rows) == ["1"]


async def test_two_addresses_write_the_same_row_each_in_its_form(serve: Serve, rules: Any) -> None:
    def short(row: Any) -> dict[str, str]:
        return {"id": row.note_id}

    site = await serve(rules.api(returns=short))
    async with site.events() as made, site.events("/users/ada/notes") as plain, site.events("/notes/1") as one:
        for stream in (made, plain, one):
            await stream.next()
        await site.write("1", "ada")
        assert (await made.next()).rows == (await one.next()).rows == {"1": {"id": "1"}}
        assert (await plain.next()).rows == {"1": note("1")}


async def test_a_parked_row_is_counted(serve: Serve) -> None:
    site = await serve()
    async with site.events() as stream:
        await stream.next()
        await site.write("1", "ada", "poison")
        assert (await stream.next()).data == {"rows": {}, "parked": 1}


# ---- plain HTTP beside it


async def test_other_reads_are_as_before(serve: Serve) -> None:
    site = await serve()
    await site.write("1", "ada")
    ada = {"X-User": "ada"}
    for path in ("/notes", "/notes/1"):
        plain = await site.client.get(path, headers=ada)
        assert (plain.headers["content-type"], plain.headers["vary"]) == ("application/json", "Accept")
        head = await site.client.head(path, headers={**ada, "Accept": "text/event-stream"})
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"].startswith("text/event-stream")
    known = {"If-None-Match": plain.headers["etag"]}
    unchanged = await site.client.get("/notes/1", headers={**ada, **known})
    assert (unchanged.status_code, unchanged.headers["vary"]) == (304, "Accept")
    async with site.events("/notes/1", **known) as stream:
        assert list((await stream.next()).rows) == ["1"]
    await site.nobody_watches()


@pytest.mark.parametrize(
    ("accept", "live"),
    [
        ("application/json, text/event-stream", True),
        ("text/event-stream;q=0.5, application/json; q=0.5", True),
        ("Text/Event-Stream; q=0.001, */*", True),
        ("text/event-stream;q=x", True),
        ("text/event-stream;q=0", False),
        ("application/json, text/event-stream; q=0.000", False),
        ("text/event-stream;q=0.5, application/json;q=0.6", False),
        ("text/event-stream;q=0.9, application/json", False),
        ("text/event-streams", False),
    ],
)
async def test_who_prefers_json_gets_it(serve: Serve, accept: str, live: bool) -> None:
    site = await serve()
    for path in ("/notes", "/tallies"):
        async with site.events(path, Accept=accept) as stream:
            assert stream.response.headers["content-type"].startswith("text/event-stream") == live


@pytest.mark.parametrize(
    ("path", "headers", "refused"),
    [
        ("/notes?limit=5", {}, (422, "invalid-input")),
        ("/notes?cursor=x", {}, (422, "invalid-input")),
        ("/notes", {"Prefer": "count=exact"}, (400, "invalid-header")),
        ("/notes?after=w.x", {}, (400, "invalid-token")),
        ("/notes?after=x", {}, (400, "invalid-token")),
        ("/notes", {"Last-Event-ID": "w.x"}, (400, "invalid-token")),
        ("/notes?colour=red", {}, (422, "invalid-input")),
        ("/notes?sold_for=red", {}, (422, "invalid-input")),
        ("/nothing", {}, (404, "not-found")),
        ("/notes", {"X-User": ""}, (401, "unauthorized")),
    ],
)
async def test_an_error_before_the_first_event_is_a_problem(
    serve: Serve, path: str, headers: dict[str, str], refused: tuple[int, str]
) -> None:
    site = await serve()
    async with site.events(path, **headers) as stream:
        problem = stream.response.json()
        assert (stream.response.status_code, problem["type"]) == refused
        assert stream.response.headers["content-type"] == "application/problem+json"
    await site.nobody_watches()


# ---- who sees what


async def test_two_users_and_a_row_that_changes_hands(serve: Serve) -> None:
    site = await serve()
    await site.write("a", "ada")
    await site.write("b", "ben")
    async with site.events(user="ada") as ada, site.events(user="ben") as ben:
        assert list((await ada.next()).rows) == ["a"]
        assert list((await ben.next()).rows) == ["b"]
        await site.write("b", "ben", "secret")
        assert list((await ben.next()).rows) == ["b"]
        await site.write("a", "ben")
        assert (await ada.next()).rows == {"a": None}
        assert (await ben.next()).rows == {"a": note("a", "ben")}
        await site.write("b", "ben", "more")
        await site.write("a", "ben", "more")
        await site.write("c", "ada")
        assert list((await ada.next()).rows) == ["c"]


async def test_a_token_shows_nothing_of_another_user(serve: Serve) -> None:
    site = await serve()
    await site.write("b", "ben")
    async with site.events(user="ben") as ben:
        token = (await ben.next()).id
    await site.write("b", "ben", "secret")
    await site.write("c", "ben", "secret")
    async with site.events(user="ada", Last_Event_ID=token) as ada:
        await site.write("a", "ada")
        while "a" not in (event := await ada.next()).rows:
            assert event.rows == {}
        assert list(event.rows) == ["a"]


async def test_another_scope_means_a_new_snapshot(serve: Serve, rules: Any, beats: None) -> None:
    site = await serve()
    await site.write("a", "ada")
    await site.write("b", "ben")
    async with site.events() as stream:
        assert list((await stream.next()).rows) == ["a"]
        rules.everything.add("ada")
        wider = await stream.next()
        assert (wider.name, list(wider.rows)) == ("snapshot", ["a", "b"])
        rules.everything.clear()
        narrower = await stream.next()
        assert (narrower.name, list(narrower.rows)) == ("snapshot", ["a"])


async def test_a_scope_is_asked_before_a_round_is_told(serve: Serve, rules: Any) -> None:
    rules.everything.add("ada")
    site = await serve()
    async with site.events() as stream:
        await stream.next()
        rules.everything.clear()
        await site.write("b", "ben", "secret")
        again = await stream.next()
        assert (again.name, again.rows) == ("snapshot", {})


async def test_a_scope_that_is_changed_in_place(serve: Serve, rules: Any) -> None:
    owners = ["ada", "ben"]
    site = await serve(rules.api(scope=lambda actor, projection: {"owner__in": owners}))
    async with site.events() as stream:
        await stream.next()
        owners.remove("ben")
        await site.write("b", "ben", "secret")
        again = await stream.next()
        assert (again.name, again.rows) == ("snapshot", {})


async def test_a_scope_that_is_never_the_same(serve: Serve, rules: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing could ever be told, and the rows would be read again and again."""
    times = count()
    site = await serve(rules.api(scope=lambda actor, projection: {"title__ne": str(next(times))}))
    async with site.events() as stream:
        assert stream.response.status_code == 500
    assert "scope= returns other conditions for notes whenever it is called" in caplog.text
    await site.nobody_watches()


@pytest.mark.parametrize("with_a_round", [True, False])
async def test_a_rule_that_no_longer_allows_it(
    serve: Serve, rules: Any, with_a_round: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "CHECK_EVERY_S", 100 if with_a_round else 0.02)
    site = await serve()
    async with site.events() as stream:
        await stream.next()
        rules.allowed = False
        if with_a_round:
            await site.write("a", "ada", "secret")
        assert await stream.next() is None
    await site.nobody_watches()
    async with site.events() as stream:
        assert stream.response.status_code == 403


async def test_it_ends_when_the_login_expires(serve: Serve) -> None:
    began = datetime(2040, 1, 1, tzinfo=UTC)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    ambient = Ambient(now=lambda: began + timedelta(seconds=loop.time() - begun))
    site = await serve(ambient=ambient)
    until = (ambient.now() + timedelta(seconds=0.3)).isoformat()
    async with site.events(user=f"ada until {until}") as stream:
        assert (await stream.next()).name == "snapshot"
        assert await stream.next() is None
    async with site.events(user=f"ada until {until}") as stream:
        assert stream.response.status_code == 401


async def test_it_ends_when_the_user_has_logged_out(serve: Serve, rules: Any, beats: None) -> None:
    site = await serve()
    async with site.events(user="ada") as ada, site.events(user="ben") as ben:
        assert all([await ada.next(), await ben.next()])
        rules.logged_out.add("ada")
        assert await ada.next() is None
        await site.write("b", "ben")
        assert list((await ben.next()).rows) == ["b"]


async def test_a_session_that_ends(serve: Serve, rules: Any, beats: None) -> None:
    sessions: list[Sessions] = []

    def make(running: Running) -> Api:
        sessions.append(Sessions(running, origins=["http://localhost:3000"]))
        return rules.api(running.app, actor=sessions[0])

    site = await serve(make=make, sessions=True)
    begun = await sessions[0].begin({}, Actor("ada"))
    cookie = begun["Set-Cookie"].partition(";")[0]
    async with site.events(user="", Cookie=cookie) as stream:
        assert (await stream.next()).name == "snapshot"
        await stream.heartbeat()
        await sessions[0].end({"cookie": cookie})
        assert await stream.next() is None
    async with site.events(user="", Cookie=cookie) as stream:
        assert stream.response.status_code == 401


@pytest.mark.parametrize("becomes", ["somebody else", "unknown for now"])
async def test_credentials_that_are_looked_up_again(serve: Serve, rules: Any, beats: None, becomes: str) -> None:
    """They may be somebody else's by now. Where that cannot be found out, the login stays valid."""
    now = ["ada"]

    async def actor(headers: Any) -> Actor:
        if now[0] == "unknown for now":
            raise Unavailable("the sessions are away")
        return Actor(now[0])

    site = await serve(rules.api(actor=actor, scope=lambda actor, projection: {}))
    async with site.events() as stream:
        await stream.next()
        now[0] = becomes
        if becomes == "somebody else":
            assert await stream.next() is None
        else:
            for _ in range(3):
                await stream.heartbeat()


async def test_everyone_may_watch_what_is_open_to_anyone(serve: Serve, rules: Any, beats: None) -> None:
    rules.allow = anyone
    site = await serve(rules.api(actor=nobody, scope=None))
    async with site.events(user="") as stream:
        await stream.next()
        await stream.heartbeat()
        await site.write("1", "ada")
        assert list((await stream.next()).rows) == ["1"]


# ---- user code that fails


@pytest.mark.parametrize("at_fault", ["returns", "scope", "allow"])
@pytest.mark.parametrize("error", [KeyError("secret"), asyncio.CancelledError("secret")])
async def test_user_code_that_fails_in_the_middle(
    serve: Serve, rules: Any, at_fault: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    failing = False

    def fails(*arguments: Any) -> Any:
        if failing:
            raise error
        return {"returns": {"id": 1}, "scope": {}, "allow": True}[at_fault]

    if at_fault == "allow":
        rules.allow = fails
    settings = {at_fault: fails} if at_fault != "allow" else {}
    site = await serve(rules.api(**settings))
    async with site.events() as stream, site.events("/tallies") as other:
        assert all([await stream.next(), await other.next()])
        failing = True
        await site.write("1", "ada")
        assert await stream.next() is None
        if at_fault == "returns":
            assert (await other.next()).rows
    await site.nobody_watches()
    [logged] = [record for record in caplog.records if record.getMessage().startswith("/notes:")]
    assert "secret" not in logged.getMessage()
    async with site.events() as stream:
        assert (stream.response.status_code, stream.response.json()["type"]) == (500, "internal-error")


# ---- clients that vanish, and a stop


async def test_clients_that_vanish_leave_nothing(serve: Serve) -> None:
    site = await serve()
    for _ in range(3):
        async with site.events() as stream, site.events("/notes/1"), site.events("/tallies"):
            await stream.next()
            assert len(site.running.watching._watchers) == 3
        await site.nobody_watches()


async def test_a_client_that_vanishes_while_it_waits_for_a_token(serve: Serve) -> None:
    site = await serve()
    token = await site.write("1", "ada")
    ahead = token.rsplit(":", 1)[0] + ":1"
    _, writer = await asyncio.open_connection(*site.address.removeprefix("http://").split(":"))
    head = f"GET /notes?after={ahead} HTTP/1.1\r\nHost: test\r\nX-User: ada\r\nAccept: text/event-stream\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()
    writer.close()
    await site.nobody_watches()


async def test_a_stop_ends_streams_cleanly(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    site = await serve()
    async with site.events() as stream:
        assert await stream.next()
        site.admission.stop()
        assert await stream.next() is None
    async with site.events() as stream:
        assert (stream.response.status_code, stream.response.json()["type"]) == (503, "stopping")
    await site.nobody_watches()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_the_app_stops_before_its_server(serve: Serve) -> None:
    site = await serve()
    async with site.events() as stream:
        assert await stream.next()
        await site.running.watching.stop()
        assert await stream.next() is None


async def test_what_is_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "twofold.access")
    site = await serve()
    async with site.events("/notes/secret", user="ada") as stream:
        await stream.next()
    await site.nobody_watches()
    lines = [record for record in caplog.records if record.name == "twofold.access"]
    said = ["GET /notes/{note_id} 200 begins", "GET /notes/{note_id} 200"]
    assert [line.getMessage() for line in lines] == said
    assert lines[1].duration_ms > 0  # type: ignore[attr-defined]
    assert not [line for line in lines if "secret" in json.dumps(line.__dict__, default=str)]
