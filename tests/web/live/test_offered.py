"""What a page always demands holds for its subscriptions, too, however they are made. Without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from twofold import App, Decider, Projection, Recorded, Running
from twofold.api import Actor, Api, logged_in
from twofold.web.application import web_app


@dataclass(frozen=True)
class Write:
    shelf: str
    title: str
    is_public: bool = True


@dataclass(frozen=True)
class Build:
    owner: str


def write(command: Write, state: str) -> list[Write]:
    return [command]


def build(command: Build, owner: str) -> list[Build]:
    return [command]


def written(state: str, event: Write) -> str:
    return event.shelf


def built(owner: str, event: Build) -> str:
    return event.owner


@dataclass(frozen=True)
class Book:
    id: str
    shelf: str = ""
    title: str = ""
    is_public: bool = False


def fold(row: Book, event: Write, recorded: Recorded) -> Book:
    return Book(row.id, event.shelf, event.title, event.is_public)


books = Projection("books", Book, fold)
writing, shelves = Decider("book", "", write, written), Decider("shelf", "", build, built)
library = App("library", deciders=[writing, shelves], projections=[books])
BOOKS = (("a", "s1", True), ("b", "s1", False), ("c", "s2", True), ("d", "s3", True))


async def user_of(headers: Mapping[str, str]) -> Actor | None:
    return Actor(headers["x-user"])


def sees(actor: Actor | None, owner: str) -> bool:
    return actor is not None and owner in ("everyone", actor.id)


async def filled(running: Running) -> None:
    for id_, shelf, is_public in BOOKS:
        await running.execute(writing, id_, Write(shelf, id_, is_public))
    for shelf, owner in (("s1", "everyone"), ("s2", "ann")):
        await running.execute(shelves, shelf, Build(owner))
    await running.settled(timeout_s=20)


async def heard(app: Any, user: str, **message: Any) -> dict[str, Any]:
    """The first message of the server to a subscription."""
    asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    found: list[dict[str, Any]] = []

    async def send(sent: Any) -> None:
        if "text" in sent:
            found.append(json.loads(sent["text"]))
            asked.put_nowait({"type": "websocket.disconnect"})

    asked.put_nowait({"type": "websocket.connect"})
    asked.put_nowait({"type": "websocket.receive", "text": json.dumps({"id": "1", "subscribe": "books", **message})})
    scope = {"type": "websocket", "path": "/live", "raw_path": b"/live", "query_string": b"", "root_path": ""}
    async with asyncio.timeout(20):
        await app({**scope, "headers": [(b"x-user", user.encode())], "subprotocols": []}, asked.get, send)
    return found[0]


def shown(message: dict[str, Any]) -> Any:
    return sorted(message["snapshot"]["rows"]) if "snapshot" in message else message["problem"]["type"]


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ({}, "acd"),
        ({"shelf": "s1"}, "a"),
        ({"is_public": True}, "not-found"),
        ({"is_public": False}, "not-found"),
        ({"title__ge": "b", "title__lt": "d"}, "c"),
    ],
)
async def test_a_subscription_has_the_conditions_that_always_hold(where: dict[str, Any], rows: str) -> None:
    api = Api(library, actor=user_of, allow=logged_in)
    api.page(books, only={"is_public": True})
    async with library.open("memory:") as running:
        await filled(running)
        found = shown(await heard(web_app(running, api), "ann", where=where))
        assert found == (rows if rows == "not-found" else [*rows])


@pytest.mark.parametrize(
    ("user", "shelf", "rows"),
    [("ann", "s1", "a"), ("ann", "s2", "c"), ("bob", "s1", "a"), ("bob", "s2", None), ("ann", "s3", None)],
)
async def test_a_subscription_demands_the_stream_that_its_page_demands(user: str, shelf: str, rows: str | None) -> None:
    """One that does not exist for the actor is like one that is unknown, as for a read."""
    api = Api(library, actor=user_of, allow=logged_in, sees={shelves: sees})
    api.page(books, "GET /shelves/{shelf}/books", exists=shelves, only={"is_public": True}, name="of_shelf")
    async with library.open("memory:") as running:
        await filled(running)
        message = await heard(web_app(running, api), user, where={"shelf": shelf})
        assert shown(message) == ("not-found" if rows is None else [*rows])
        if rows is None:
            assert message["problem"]["detail"] == f"There is no shelf '{shelf}'"


async def test_the_next_address_is_tried_where_a_stream_must_exist() -> None:
    """As where one is not open to the actor."""
    api = Api(library, actor=user_of, allow=logged_in, sees={shelves: sees})
    api.page(books, "GET /shelves/{shelf}/books", exists=shelves, name="of_shelf")
    api.page(books, "GET /public/{shelf}/books", only={"is_public": True}, name="of_anyone")
    async with library.open("memory:") as running:
        await filled(running)
        app = web_app(running, api)
        found = [shown(await heard(app, "bob", where={"shelf": f"s{n}"})) for n in (1, 2, 3)]
        assert found == [["a", "b"], ["c"], ["d"]]
