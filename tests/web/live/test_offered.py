"""What a page always demands holds however it is read: as a page, by GraphQL, or as subscriptions. Without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
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
    title: str | None = None
    is_public: bool = False


def fold(row: Book, event: Write, recorded: Recorded) -> Book:
    return Book(row.id, event.shelf, event.title, event.is_public)


books = Projection("books", Book, fold)
writing, shelves = Decider("book", "", write, written), Decider("shelf", "", build, built)
library = App("library", deciders=[writing, shelves], projections=[books])
BOOKS = (("a", "s1", True), ("b", "s1", False), ("c", "s2", True), ("d", "s3", True))


async def user_of(headers: Mapping[str, str]) -> Actor | None:
    return None if headers["x-user"] == "nobody" else Actor(headers["x-user"])


def sees(actor: Actor | None, owner: str) -> bool:
    return actor is not None and owner in ("everyone", actor.id)


async def filled(running: Running) -> None:
    for id_, shelf, is_public in BOOKS:
        await running.execute(writing, id_, Write(shelf, id_, is_public))
    for shelf, owner in (("s1", "everyone"), ("s2", "ann")):
        await running.execute(shelves, shelf, Build(owner))
    await running.settled(timeout_s=20)


async def heard(app: Any, path: str, user: str, *messages: Any, protocols: tuple[str, ...] = ()) -> dict[str, Any]:
    """The last of as many messages of the server as the client sends."""
    asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    found: list[dict[str, Any]] = []

    async def send(sent: Any) -> None:
        if "text" in sent:
            found.append(json.loads(sent["text"]))
            if len(found) == len(messages):
                asked.put_nowait({"type": "websocket.disconnect"})

    asked.put_nowait({"type": "websocket.connect"})
    for message in messages:
        asked.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})
    scope = {"type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    async with asyncio.timeout(20):
        await app({**scope, "headers": [(b"x-user", user.encode())], "subprotocols": protocols}, asked.get, send)
    return found[-1]


async def subscribed(app: Any, user: str, where: dict[str, Any]) -> dict[str, Any]:
    """The first message of the server to a subscription."""
    return await heard(app, "/live", user, {"id": "1", "subscribe": "books", "where": where})


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
        ({"title": "a", "title__null": True}, "invalid-input"),  # one of them would be ignored
        ({"title__null": False, "title__ne": "a"}, "invalid-input"),
    ],
)
async def test_a_subscription_has_the_conditions_that_always_hold(where: dict[str, Any], rows: str) -> None:
    api = Api(library, actor=user_of, allow=logged_in)
    api.page(books, only={"is_public": True})
    async with library.open("memory:") as running:
        await filled(running)
        found = shown(await subscribed(web_app(running, api), "ann", where))
        assert found == (rows if "-" in rows else [*rows])


@pytest.mark.parametrize(
    ("user", "allow", "told"),
    [("nobody", logged_in, "unauthorized"), ("nobody", None, "unauthorized"), ("ann", None, "forbidden")],
)
async def test_a_subscription_is_as_closed_as_its_page(user: str, allow: Any, told: str) -> None:
    api = Api(library, actor=user_of, allow=allow)
    api.page(books)
    async with library.open("memory:") as running:
        await filled(running)
        assert shown(await subscribed(web_app(running, api), user, {})) == told


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
        message = await subscribed(web_app(running, api), user, {"shelf": shelf})
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
        found = [shown(await subscribed(app, "bob", {"shelf": f"s{n}"})) for n in (1, 2, 3)]
        assert found == [["a", "b"], ["c"], ["d"]]


@pytest.mark.parametrize("closed_first", [True, False])
async def test_who_no_address_is_open_to_is_told_why_of_the_first(closed_first: bool) -> None:
    api = Api(library, actor=user_of, allow=logged_in)
    pages: list[tuple[str, dict[str, Any]]] = [
        ("GET /closed/{shelf}/books", {"allow": lambda actor, arguments: False, "name": "closed"}),
        ("GET /shelves/{shelf}/books", {"exists": shelves, "name": "of_shelf"}),
    ]
    for address, settings in pages if closed_first else reversed(pages):
        api.page(books, address, **settings)
    async with library.open("memory:") as running:
        await filled(running)
        message = await subscribed(web_app(running, api), "ann", {"shelf": "s3"})
        assert shown(message) == ("forbidden" if closed_first else "not-found")


async def read(app: Any, user: str, way: str, shelf: str) -> list[str]:
    """The ids of the books on a shelf; none where there is an error."""
    address, books = f"/shelves/{shelf}/books", f'books{"Connection" * (way == "connection")}(shelf: "{shelf}")'
    if way == "subscription":
        query = f"subscription {{ {books} {{ rows {{ id }} }} }}"
        messages = ({"type": "connection_init"}, {"type": "subscribe", "id": "1", "payload": {"query": query}})
        found = await heard(app, "/graphql", user, *messages, protocols=("graphql-transport-ws",))
        rows = found["payload"]["data"]["books"]["rows"] if found["type"] == "next" else []
        return [row["id"] for row in rows]
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        client.headers["X-User"] = user
        if way == "page":
            return [row["id"] for row in (await client.get(address)).json().get("data", [])]
        below = "{ nodes { id } }" if way == "connection" else "{ id }"
        body = (await client.post("/graphql", json={"query": f"{{ found: {books} {below} }}"})).json()
        rows = (body.get("data") or {}).get("found") or []
        return [row["id"] for row in (rows["nodes"] if isinstance(rows, dict) else rows)]


@pytest.mark.parametrize("store", ["memory:", "sqlite"])
async def test_what_a_page_demands_holds_for_each_way_to_read_it(store: str, tmp_path: Any) -> None:
    """GraphQL reads in one statement on SQLite, and field by field in memory."""
    api = Api(library, actor=user_of, allow=logged_in, sees={shelves: sees})
    api.page(books, "GET /shelves/{shelf}/books", exists=shelves, only={"is_public": True}, name="books")
    async with library.open(f"sqlite:///{tmp_path}/a.db" if store == "sqlite" else store) as running:
        await filled(running)
        app = web_app(running, api)
        for way in ("page", "query", "connection", "subscription"):
            found = {(user, n): await read(app, user, way, f"s{n}") for user in ("ann", "bob") for n in (1, 2, 3)}
            seen = {where: rows for where, rows in found.items() if rows}
            assert seen == {("ann", 1): ["a"], ("ann", 2): ["c"], ("bob", 1): ["a"]}, way


@pytest.mark.parametrize("store", ["memory:", "sqlite"])
async def test_a_rule_is_asked_the_same_for_each_way_to_read(store: str, tmp_path: Any) -> None:
    """With the conditions by their fields, also those of only=, and the parameters of the path by their own names."""
    asked: list[Mapping[str, Any]] = []

    def allow(actor: Actor, arguments: Mapping[str, Any]) -> bool:
        asked.append(dict(arguments))
        return True

    api = Api(library, actor=user_of, allow=allow)
    api.row(books, "GET /books/{book_id}", name="book")
    api.page(
        books, "GET /shelves/{shelf_id}/books", where={"shelf": "shelf_id"}, only={"is_public": True}, name="books"
    )
    of_row, of_page = {"book_id": "a"}, {"shelf": "s1", "shelf_id": "s1", "title": "a", "is_public": True}
    below, list_ = 'book(bookId: "a") { title }', '(shelfId: "s1", title: "a")'
    async with library.open(f"sqlite:///{tmp_path}/a.db" if store == "sqlite" else store) as running:
        await filled(running)
        app = web_app(running, api)

        async def watched(query: str) -> Any:
            messages = ({"type": "connection_init"}, {"type": "subscribe", "id": "1", "payload": {"query": query}})
            return await heard(app, "/graphql", "ann", *messages, protocols=("graphql-transport-ws",))

        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
            client.headers["X-User"] = "ann"
            for ask, arguments in (
                (lambda: client.get("/books/a"), of_row),
                (lambda: client.post("/graphql", json={"query": f"{{ {below} }}"}), of_row),
                (lambda: subscribed(app, "ann", {"id": "a"}), of_row),
                (lambda: watched(f"subscription {{ {below} }}"), of_row),
                (lambda: client.get("/shelves/s1/books?title=a"), of_page),
                (lambda: client.post("/graphql", json={"query": f"{{ books{list_} {{ id }} }}"}), of_page),
                (
                    lambda: client.post(
                        "/graphql", json={"query": f"{{ booksConnection{list_} {{ nodes {{ id }} }} }}"}
                    ),
                    of_page,
                ),
                (lambda: subscribed(app, "ann", {"shelf": "s1", "title": "a"}), of_page),
                (lambda: watched(f"subscription {{ books{list_} {{ rows {{ id }} }} }}"), of_page),
            ):
                asked.clear()
                await ask()
                assert asked
                assert [one for one in asked if one != arguments] == []
