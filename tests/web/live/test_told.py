"""A WebSocket of events with the rows that they led to; and pages whose response is made of a whole page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from twofold import App, Page, Projection, Running
from twofold.api import Api, anyone
from twofold.errors import ConfigurationError, Unavailable
from twofold.messages import Entry
from twofold.web.forms import JsonForm
from twofold.web.live import subscription, told
from twofold.web.live.told import EventsRoute

from .conftest import Note, Removed, Rules, Site, Write, Written, notes, tallies, writing

Serve = Callable[..., Awaitable[Site]]

pytestmark = pytest.mark.slow  # real sockets
WITHIN_S = 20


@dataclass(frozen=True)
class Shown:
    note_id: str
    title: str


def shown(row: Note) -> Shown:
    return Shown(row.note_id, row.title)


def events_of(site: Site, rules: Rules, projection: Projection[Any] = notes) -> EventsRoute:
    names = {Written: "NoteWritten", Removed: "NoteRemoved"}
    form = JsonForm(names="camel")
    return EventsRoute(
        "/happened", site.running, projection, names, member="note", returns=shown, form=form, allow=rules.allow
    )


@pytest.fixture
async def site(serve: Serve, rules: Rules) -> Site:
    site = await serve()
    site.app.router.routes.append(events_of(site, rules))
    return site


def socket(site: Site, user: str | None = "ada", query: str = "") -> Any:
    headers = {} if user is None else {"X-User": user}
    return websockets.connect(f"{site.address.replace('http', 'ws')}/happened{query}", additional_headers=headers)


async def said(socket: Any) -> Any:
    async with asyncio.timeout(WITHIN_S):
        return json.loads(await socket.recv())


async def titles(socket: Any, count: int) -> Sequence[str]:
    return [(await said(socket))["note"]["title"] for _ in range(count)]


async def test_each_event_has_its_row_as_it_was(site: Site) -> None:
    async with socket(site, "ada") as ada:
        begun = ada.response.headers["Consistency-Token"]
        done = await site.running.execute(writing, "1", Write("ada", "one"))
        await site.running.execute(writing, "1", Write("ada", "two"))
        first = await said(ada)
        assert first == {
            "type": "NoteWritten",
            "note": {"noteId": "1", "title": "one"},
            "token": done.receipt.token,
        }
        assert await titles(ada, 1) == ["two"]
    await site.remove("1")
    async with socket(site, "ada", f"?after={begun}") as again:
        assert await said(again) == first
        assert await titles(again, 1) == ["two"]


async def test_another_scope_holds_at_once_and_skips_nothing(site: Site, rules: Rules) -> None:
    async with socket(site, "ada") as ada, socket(site, "bob") as bob:
        await site.write("1", "ada", "of ada")
        await site.write("2", "bob", "of bob")
        assert await titles(ada, 1) == ["of ada"]
        assert await titles(bob, 1) == ["of bob"]
        rules.everything.add("ada")
        await site.write("3", "bob", "seen by both")
        await site.write("4", "ada", "of ada again")
        assert await titles(ada, 2) == ["seen by both", "of ada again"]
        assert await titles(bob, 1) == ["seen by both"]
        rules.allowed = False
        await site.write("5", "bob", "seen by nobody")
        assert (await said(bob))["problem"]["status"] == 403
        with pytest.raises(ConnectionClosed):
            await bob.recv()
        assert bob.close_code == 1008


@pytest.mark.parametrize("asked", range(2, 9))
async def test_a_scope_that_changes_between_two_events_of_a_page(
    site: Site, rules: Rules, monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    """It holds from the next event on, and no event is skipped or told twice. `asked`: how often it is as before."""
    begun = await site.write("0", "ada")
    written = [("ada", "a1"), *[("bob", f"b{n}") for n in range(4)], ("ada", "a2"), ("bob", "b4"), ("ada", "end")]
    for number, (owner, title) in enumerate(written, 1):
        await site.write(str(number), owner, title)
    scopes = iter([{}] * asked)
    monkeypatch.setattr(site.app.state.api, "scope", lambda actor, projection: next(scopes, {"owner": "ada"}))
    found: list[str] = []
    async with socket(site, "ada", f"?after={begun}") as ada:
        while found[-1:] != ["end"]:
            found += await titles(ada, 1)
    told = max(0, asked - 2)  # it is asked to begin, for the page, and before each event
    assert found == [title for place, (owner, title) in enumerate(written) if place < told or owner == "ada"]


async def test_events_that_are_not_told_are_passed(site: Site, rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are before the first that is."""
    monkeypatch.setattr("twofold.web.live.happened.AT_ONCE", 2)
    route = EventsRoute(
        *("/removed", site.running, notes, {Removed: "NoteRemoved"}),
        member="note",
        returns=shown,
        form=JsonForm(),
        allow=rules.allow,
    )
    site.app.router.routes.append(route)
    rules.everything.add("ada")
    begun = await site.write("0", "ada")
    for number in range(5):
        await site.write(str(number), "bob")
    await site.remove("3")
    address = f"{site.address.replace('http', 'ws')}/removed?after={begun}"
    async with websockets.connect(address, additional_headers={"X-User": "ada"}) as ada:
        assert (await said(ada))["type"] == "NoteRemoved"


async def test_a_row_that_cannot_be_made_is_null_and_hides_nothing_else(site: Site, rules: Rules) -> None:
    rules.everything.add("ada")
    async with socket(site, "ada") as ada, socket(site, "bob") as bob:
        await site.running.execute(writing, "1", Write("bob", "poison"))
        await site.running.execute(writing, "2", Write("bob", "fine"))
        await site.running.execute(writing, "2", Write("bob", "gone"))
        assert (await said(ada))["note"] is None
        assert await titles(ada, 2) == ["fine", "gone"]
        assert await titles(bob, 2) == ["fine", "gone"]  # whose rows are not made is not known
        await site.remove("2")
        removed = await said(ada)
        assert (removed["type"], removed["note"]) == ("NoteRemoved", None)


async def test_clients_at_one_place_share_what_is_read(site: Site) -> None:
    happening = site.app.router.routes[-1]._happening  # type: ignore[attr-defined]
    reads, read = 0, happening._happened

    async def counted(entry: Entry) -> Any:
        nonlocal reads
        reads += 1
        return await read(entry)

    happening._happened = counted
    sockets = [await socket(site) for _ in range(20)]
    await asyncio.gather(*(each.ping() for each in sockets))
    await site.running.execute(writing, "1", Write("ada", "one"))
    assert await asyncio.gather(*(titles(each, 1) for each in sockets)) == [["one"]] * 20
    await asyncio.gather(*(each.close() for each in sockets))
    assert reads == 1
    async with asyncio.timeout(WITHIN_S):
        while [task for task in asyncio.all_tasks() if task.get_name() == "reading events"]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # nothing says that the last one has ended


async def test_who_leaves_takes_nothing_from_those_at_the_same_place(site: Site) -> None:
    readings = site.app.router.routes[-1]._happening._readings  # type: ignore[attr-defined]

    async def waiting(count: int) -> None:
        async with asyncio.timeout(WITHIN_S):
            while [each.waiting for each in readings.values()] != [count]:  # noqa: ASYNC110
                await asyncio.sleep(0.005)  # nothing says that the other one has gone

    async with socket(site) as stays:
        async with socket(site):
            await waiting(2)
        await waiting(1)
        await site.running.execute(writing, "1", Write("ada", "one"))
        assert await titles(stays, 1) == ["one"]


async def test_it_waits_for_a_store_that_cannot_be_reached(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with socket(site) as ada:
        read, failures = site.running.log.read, [Unavailable("down"), Unavailable("down")]

        async def failing(*arguments: Any, **settings: Any) -> Any:
            if failures and "Written" in (arguments[2] or ()):
                raise failures.pop()
            return await read(*arguments, **settings)

        monkeypatch.setattr("twofold.web.live.happened.LOOK_EVERY_S", 0.01)
        monkeypatch.setattr(site.running.log, "read", failing)
        await site.running.execute(writing, "1", Write("ada", "one"))
        await site.running.execute(writing, "1", Write("ada", "two"))
        assert await titles(ada, 2) == ["one", "two"]


async def test_logins(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = await site.write("0", "bob")
    await site.write("1", "ada", "one")
    async with socket(site, None, f"?after={begun}") as ada:
        assert "Consistency-Token" not in ada.response.headers  # strangers learn nothing of the log
        await ada.send(json.dumps({"authorization": "ada"}))
        assert await titles(ada, 1) == ["one"]
        await ada.send("ignored")
        await site.write("1", "ada", "two")
        assert await titles(ada, 1) == ["two"]
    async with socket(site, None, "?after=nothing") as stranger:
        await stranger.send(json.dumps({"authorization": ""}))
        assert (await said(stranger))["problem"]["status"] == 401
    for wrong in ("", "{}", b"\xff", b'{"authorization":"\xff"}'):
        async with socket(site, None) as stranger:
            await stranger.send(wrong)
            assert (await said(stranger))["problem"]["type"] == "invalid-json"
    monkeypatch.setattr(told, "LOGIN_WITHIN_S", 0.01)
    async with socket(site, None) as silent:
        assert (await said(silent))["problem"]["status"] == 401
    for query in ("?after=nothing", "?after=a&after=b", "?limit=1"):
        with pytest.raises(InvalidStatus) as refusal:
            await socket(site, "ada", query)
        assert refusal.value.response.status_code == 400


async def test_handshakes_that_are_refused(site: Site, rules: Rules) -> None:
    """A token of another log would skip events of this one; what is not allowed is not accepted first."""
    token = await site.write("1", "ada", "one")
    log_id = site.running.log.log_id
    with pytest.raises(InvalidStatus) as refusal:
        await socket(site, "ada", f"?after={token.replace(log_id, 'f' * len(log_id))}")
    assert json.loads(refusal.value.response.body)["type"] == "invalid-token"
    rules.allowed = False
    with pytest.raises(InvalidStatus) as refusal:
        await socket(site, "ada")
    assert refusal.value.response.status_code == 403


async def test_it_ends_with_the_login(site: Site, rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "CHECK_EVERY_S", 0.02)
    async with socket(site) as ada:
        await site.write("1", "ada", "one")
        assert await titles(ada, 1) == ["one"]
        rules.logged_out.add("ada")
        assert (await said(ada))["problem"]["status"] == 401


async def test_the_document_describes_what_is_told(site: Site) -> None:
    found = (await site.client.get("/asyncapi.json")).json()
    channel = found["channels"]["happened"]
    assert channel["address"] == "/happened"
    assert channel["messages"].keys() == {"NoteWritten", "NoteRemoved", "problem"}
    payload = found["components"]["messages"]["happened_NoteWritten"]["payload"]
    validator = jsonschema_rs.Draft202012Validator({"components": found["components"], **payload})
    async with socket(site) as ada:
        await site.write("1", "ada", "one")
        message = await said(ada)
    validator.validate(message)
    assert not validator.is_valid({**message, "type": "NoteRemoved"})


async def test_events_must_tell_the_row(site: Site, rules: Rules) -> None:
    with pytest.raises(ConfigurationError, match="key="):
        events_of(site, rules, tallies)


# ---- pages that are made as a whole


@dataclass(frozen=True)
class Board:
    notes: list[str]


def board(page: Page[Note]) -> Board:
    return Board([row.title for row in page])


@pytest.mark.parametrize("live", [None, shown])
async def test_a_page_made_as_a_whole(serve: Serve, live: Any) -> None:
    def make(running: Running) -> Api:
        api = Api(running.app, actor=Rules().actor)
        api.page(notes, allow=anyone, returns=board, live=live)
        return api

    site = await serve(make=make)
    await site.write("1", "ada", "one")
    assert (await site.client.get("/notes")).json() == {"notes": ["one"]}
    channels = (await site.client.get("/asyncapi.json")).json()["channels"]
    description = (await site.client.get("/openapi.json")).json()["paths"]["/notes"]["get"]["responses"]["200"]
    assert ("event-stream" in description["description"]) is (live is not None)
    async with site.events() as events, site.socket() as many:
        await many.send(json.dumps({"id": "a", "subscribe": "notes"}))
        message = await said(many)
        if live is None:
            assert events.response.status_code == 400
            assert "cannot be watched" in events.response.text
            assert message["problem"]["status"] == 404
            assert "notes_list" not in channels
            return
        event = await events.next()
        assert event is not None
        assert event.rows == message["snapshot"]["rows"] == {"1": {"note_id": "1", "title": "one"}}
        assert "notes_list" in channels


def test_only_such_a_page_has_rows_of_its_own_to_watch() -> None:
    app = App("board", deciders=[writing], projections=[notes])
    with pytest.raises(ConfigurationError, match="live= is only for a page whose returns= makes it from a Page"):
        Api(app, actor=Rules().actor).page(notes, returns=shown, live=shown)
