"""AsyncAPI: the document is valid, and what is sent and stored is as it says."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import jsonschema_rs
import msgspec
import pytest
from pydantic import BaseModel

from generated import typescript
from twofold import App, Decider, Projection, Recorded, Stored
from twofold.api import Actor, Api, anyone, nobody
from twofold.web import docs
from twofold.web.forms import JsonForm
from twofold.web.live.asyncapi import document
from twofold.web.live.told import EventsRoute
from twofold.web.rest.commands import CommandEndpoint
from twofold.web.rest.routes import routes_of

Serve = Callable[..., Awaitable[Any]]
OFFICIAL = typescript.MODULES / "@asyncapi/specs/schemas/3.0.0-without-$id.json"


def described(api: Api) -> dict[str, Any]:
    return document(api, [route.made for route in routes_of(api) if not isinstance(route.made, CommandEndpoint)])


def validator(found: dict[str, Any], message: str) -> jsonschema_rs.Validator:
    schema = {"components": found["components"], **found["components"]["messages"][message]["payload"]}
    return jsonschema_rs.Draft202012Validator(schema)


# ---- classes of every kind


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Part:
    name: str
    weight: Decimal | None = None


class Checked(BaseModel, frozen=True):
    by: str
    parts: list[Part] = []


class Tagged(msgspec.Struct, frozen=True, rename="camel"):
    first_tag: str
    sizes: dict[str, int] = {}


@dataclass(frozen=True)
class Made:
    """A thing was made."""

    colour: Colour
    at: datetime
    took: timedelta
    id: UUID
    raw: bytes
    part: Part
    pair: tuple[int, str] = (1, "a")
    several: frozenset[int] = frozenset()
    maybe: int | None = None
    how_many: int = 1
    tags: list[Tagged] = field(default_factory=list)


@dataclass(frozen=True)
class Make:
    pass


@dataclass(frozen=True)
class Thing:
    thing_id: str
    made_at: datetime | None = None
    weight: Decimal = Decimal(0)
    parts: list[Part] = field(default_factory=list)


MADE = [
    Made(
        Colour.RED,
        datetime(2040, 1, 1, tzinfo=UTC),
        timedelta(seconds=90),
        UUID(int=7),
        b"\x00\xff",
        Part("leg", Decimal("1.50")),
        tags=[Tagged("a", {"x": 1})],
        several=frozenset({1, 2}),
    ),
    Checked(by="ada", parts=[Part("arm")]),
    Tagged("b"),
]


def decide(command: Make, count: int) -> list[Made | Checked | Tagged]:
    return MADE  # type: ignore[return-value]


def evolve(count: int, event: Made | Checked | Tagged) -> int:
    return count + 1


def fold(row: Thing, event: Made | Checked, recorded: Recorded) -> Thing:
    if isinstance(event, Checked):
        return Thing(row.thing_id, row.made_at, row.weight, event.parts)
    return Thing(row.thing_id, event.at, event.part.weight or Decimal(0), row.parts)


things = Decider("thing", 0, decide, evolve)
thing_rows = Projection("things", Thing, fold)
WORKSHOP = App(
    "workshop",
    deciders=[things],
    projections=[thing_rows],
    stored={Checked: Stored("thing.checked"), Made: Stored("made")},
)


def shown(row: Thing) -> Part:
    return Part(row.thing_id)


def workshop(**settings: Any) -> Api:
    api = Api(WORKSHOP, actor=nobody, title="Workshop", **settings)
    api.row(thing_rows)
    api.page(thing_rows)
    api.page(thing_rows, "GET /weights/{weight}/things", where={"weight": "weight"}, name="of_weight")
    return api


@pytest.mark.parametrize("settings", [{}, {"names": "camel", "decimals": "number", "description": "All of it."}])
def test_the_document_is_valid(settings: dict[str, Any]) -> None:
    if not OFFICIAL.exists():
        pytest.skip("the official schema is not installed: run ./dev typescript")
    official = jsonschema_rs.validator_for(json.loads(OFFICIAL.read_text("utf-8")))
    for found in (described(workshop(**settings)), described(Api(App("empty"), actor=nobody))):
        errors = [f"{list(error.instance_path)}: {error.message:.300}" for error in official.iter_errors(found)]
        assert errors == []
    assert not official.is_valid({**found, "channels": {"x": {"messages": []}}})


def test_a_channel_says_what_its_first_message_holds() -> None:
    texts = {name: channel.get("description", "") for name, channel in described(workshop())["channels"].items()}
    begins = {name: found[1] for name, text in texts.items() if (found := re.search(r"First the (\w+) as", text))}
    assert begins == {"things": "row", "things_list": "rows", "of_weight": "rows"}


@pytest.mark.parametrize("turn", range(5))
async def test_each_address_has_a_channel_of_its_own_whatever_it_is_called(turn: int) -> None:
    """Also with the name of a channel that is always there, or of one that was renamed for it."""
    api = Api(WORKSHOP, actor=nobody)
    pages = {"/a": "live", "/b": "live_a", "/c": "events", "/d": "events_c", "/e": "told_of"}
    for path in [*pages, *pages][turn : turn + 5]:
        api.page(thing_rows, f"GET {path}", name=pages[path])
    endpoints = [route.made for route in routes_of(api) if not isinstance(route.made, CommandEndpoint)]
    paths = ("/events", "/told/of", "/told-of", "/live/a")
    async with WORKSHOP.open("memory:") as running:
        how = {"member": "thing", "returns": shown, "form": JsonForm(), "allow": anyone}
        routes = [EventsRoute(path, running, thing_rows, {Made: "ThingMade"}, **how) for path in paths]
    found = document(api, endpoints, routes)
    channels = found["channels"]
    addresses = [channel["address"] for channel in channels.values()]
    assert sorted(map(str, addresses)) == sorted([*pages, *paths, "/live", "None"])
    said = [each["$ref"] for channel in channels.values() for each in channel["messages"].values()]
    assert len(set(said)) == len(said) == len(found["components"]["messages"])
    for operation in found["operations"].values():
        name = operation["channel"]["$ref"].rpartition("/")[2]
        messages = {each["$ref"] for each in operation["messages"]}
        assert messages <= {f"#/channels/{name}/messages/{each}" for each in channels[name]["messages"]}
        assert messages
    assert len(found["operations"]) == len(pages) + len(paths) + 3


async def member(headers: Mapping[str, str]) -> Actor | None: ...


@pytest.mark.parametrize(
    ("scheme", "described_as"),
    [
        ({"type": "http", "scheme": "bearer"}, {"type": "http", "scheme": "bearer"}),
        (
            {"type": "apiKey", "in": "cookie", "name": "session"},
            {"type": "httpApiKey", "in": "cookie", "name": "session"},
        ),
        (
            {
                "type": "oauth2",
                "flows": {"clientCredentials": {"tokenUrl": "https://a.example/t", "scopes": {"r": "read"}}},
            },
            {
                "type": "oauth2",
                "flows": {"clientCredentials": {"tokenUrl": "https://a.example/t", "availableScopes": {"r": "read"}}},
            },
        ),
    ],
)
def test_a_login_is_named_where_one_is_needed(
    scheme: dict[str, Any], described_as: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "security_scheme", scheme, raising=False)
    api = Api(WORKSHOP, actor=member)
    api.row(thing_rows)
    api.page(thing_rows, allow=anyone)
    found = described(api)
    assert found["components"]["securitySchemes"] == {"login": described_as}
    needed = [{"$ref": "#/components/securitySchemes/login"}]
    security = {name: one.get("security") for name, one in found["operations"].items()}
    assert security["things_watch"] == needed
    assert security["things_list_watch"] is security["live_ask"] is security["live_tell"] is None
    if OFFICIAL.exists():
        official = jsonschema_rs.validator_for(json.loads(OFFICIAL.read_text("utf-8")))
        assert [error.message for error in official.iter_errors(found)] == []


def test_all_references_lead_somewhere() -> None:
    found = described(workshop(names="camel"))

    def check(inner: Any) -> None:
        if isinstance(inner, dict):
            if isinstance(inner.get("$ref"), str):
                target = found
                for part in inner["$ref"].removeprefix("#/").split("/"):
                    target = target[part]
            for each in inner.values():
                check(each)
        elif isinstance(inner, list):
            for each in inner:
                check(each)

    check(found)
    assert {"things", "things_list", "of_weight", "live", "events"} == found["channels"].keys()
    assert found["channels"]["of_weight"]["address"] == "/weights/{weight}/things"


async def test_stored_events_are_as_it_says() -> None:
    found = described(workshop(names="camel", decimals="number"))
    async with WORKSHOP.open("memory:") as running:
        await running.execute(things, "1", Make())
        stored = [running.app.codec.encode(event) for event in MADE]
    assert [each.type for each in stored] == ["made", "thing.checked", "Tagged"]
    for each in stored:
        data = json.loads(each.data)
        validator(found, f"event_{each.type}").validate(data)
        assert not validator(found, f"event_{each.type}").is_valid({**data, next(iter(data)): [[]]})


@pytest.mark.parametrize("settings", [{}, {"names": "camel", "decimals": "number"}])
async def test_what_is_told_is_as_it_says(serve: Serve, settings: dict[str, Any]) -> None:
    api = workshop(**settings)
    site = await serve(api, app=WORKSHOP)
    found = (await site.client.get("/asyncapi.json")).json()
    async with site.events("/things") as page, site.events("/things/1") as row, site.socket() as socket:
        subscribe = {"id": "a", "subscribe": "things"}
        validator(found, "live_subscribe").validate(subscribe)
        await socket.send(json.dumps(subscribe))
        told = [await page.next(), await row.next(), json.loads(await socket.recv())]
        await site.running.execute(things, "1", Make())
        told += [await page.next(), await row.next(), json.loads(await socket.recv())]
        wrong = {"id": "b", "subscribe": "nothing", "where": {"weight": "1.5"}}
        assert not validator(found, "live_subscribe").is_valid(wrong)
        await socket.send(json.dumps(wrong))
        validator(found, "live_problem").validate(json.loads(await socket.recv()))
    for kind, (of_page, of_row, of_socket) in (("snapshot", told[:3]), ("changes", told[3:])):
        assert of_page.name == of_row.name == kind
        validator(found, f"things_list_{kind}").validate(of_page.data)
        validator(found, f"things_{kind}").validate(of_row.data)
        validator(found, f"live_{kind}").validate(of_socket)
        assert not validator(found, f"live_{kind}").is_valid({**of_socket, "id": 1})
    assert not validator(found, "things_changes").is_valid({"rows": {"1": {"thing_id": 1}}, "parked": 0})


async def test_closed_docs_close_it(serve: Serve) -> None:
    site = await serve(workshop(), app=WORKSHOP)
    assert (await site.client.get("/asyncapi.json")).status_code == 200
    docs.close(site.app)
    for path in ("/asyncapi.json", "/openapi.json"):
        assert (await site.client.get(path)).status_code == 404


async def test_openapi_says_that_rows_and_pages_are_live(serve: Serve) -> None:
    site = await serve(workshop(), app=WORKSHOP)
    paths = (await site.client.get("/openapi.json")).json()["paths"]
    for path in ("/things", "/things/{thing_id}"):
        success = paths[path]["get"]["responses"]["200"]
        assert "`Accept: text/event-stream`" in success["description"]
        assert list(success["content"]) == ["application/json"]
