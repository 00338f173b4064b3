"""A page that demands a stream is watched as long as that exists for the actor. Without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from twofold import App, Decider, Projection, Recorded, Running
from twofold.api import Actor, Api, logged_in
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.errors import Unavailable
from twofold.web.application import web_app
from twofold.web.live import subscription
from twofold.write.log import Loaded


@dataclass(frozen=True)
class Give:
    to: str


@dataclass(frozen=True)
class Shelf:
    id: str
    owner: str = ""


def give(command: Give, owner: str) -> list[Give]:
    return [command]


def given(owner: str, event: Give) -> str:
    return event.to


def fold(row: Shelf, event: Give, recorded: Recorded) -> Shelf:
    return Shelf(row.id, event.to)


def sees(actor: Actor | None, owner: str) -> bool:
    return actor is not None and actor.id == owner


async def user_of(headers: Mapping[str, str]) -> Actor:
    return Actor(headers["x-user"])


shelves, rows = Decider("shelf", "", give, given), Projection("rows", Shelf, fold)
library = App("library", deciders=[shelves], projections=[rows])


class Flaky(MemoryLog):
    away = False
    asked = 0

    async def load(self, *asked: Any, **how: Any) -> Loaded:
        self.asked += 1
        if self.away:
            raise Unavailable("the log is away")
        return await super().load(*asked, **how)


class Watcher:
    """What the server has sent to ann: texts of a WebSocket, or parts of a body; None once it has ended."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[str | None] = asyncio.Queue()

    async def send(self, message: Any) -> None:
        if text := message.get("text") or message.get("body", b"").decode():
            self.sent.put_nowait(text)

    async def until(self, part: str) -> str:
        async with asyncio.timeout(20):
            while True:
                text = await self.sent.get()
                assert text is not None
                if part in text:
                    return text


@asynccontextmanager
async def watching(app: Any, way: str) -> AsyncIterator[Watcher]:
    asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    begin: dict[str, list[Any]] = {
        "events": [],
        "live": [{"id": "1", "subscribe": "rows", "where": {"id": "s1"}}],
        "graphql": [
            {"type": "connection_init"},
            {"type": "subscribe", "id": "1", "payload": {"query": 'subscription { rows(id: "s1") { rows { id } } }'}},
        ],
    }
    path = {"events": "/shelves/s1/rows", "live": "/live", "graphql": "/graphql"}[way]
    headers = [(b"x-user", b"ann"), (b"accept", b"text/event-stream")]
    scope: dict[str, Any] = {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    if way == "events":
        scope |= {"type": "http", "method": "GET", "headers": headers}
        asked.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    else:
        protocols = ["graphql-transport-ws"] if way == "graphql" else []
        scope |= {"type": "websocket", "headers": headers[:1], "subprotocols": protocols}
        asked.put_nowait({"type": "websocket.connect"})
        for message in begin[way]:
            asked.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})
    watcher = Watcher()

    async def serve() -> None:
        try:
            await app(scope, asked.get, watcher.send)
        finally:
            watcher.sent.put_nowait(None)

    serving = asyncio.create_task(serve())
    try:
        yield watcher
    finally:
        asked.put_nowait({"type": "http.disconnect" if way == "events" else "websocket.disconnect"})
        async with asyncio.timeout(20):
            await serving


def _web(running: Running, actor: Any = user_of) -> Any:
    api = Api(library, actor=actor, allow=logged_in, sees={shelves: sees})
    api.page(rows, "GET /shelves/{id}/rows", exists=shelves, name="rows")
    return web_app(running, api)


@pytest.mark.parametrize("way", ["events", "live", "graphql"])
async def test_it_ends_once_the_stream_does_not_exist_for_the_actor(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "CHECK_EVERY_S", 0.02)
    async with library.open("memory:") as running:
        await running.execute(shelves, "s1", Give("ann"))
        await running.settled(timeout_s=20)
        async with watching(_web(running), way) as watcher:
            await watcher.until("s1")
            await running.execute(shelves, "s1", Give("ben"))
            if way == "events":
                async with asyncio.timeout(20):
                    while await watcher.sent.get() is not None:
                        pass
            else:
                assert "There is no shelf 's1'" in await watcher.until("not-found" if way == "live" else "error")


async def test_who_is_no_longer_logged_in_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not that the stream does not exist, which holds for an actor without a login, too."""
    monkeypatch.setattr(subscription, "CHECK_EVERY_S", 0.02)
    users: list[Actor | None] = [Actor("ann")]

    async def actor(headers: Mapping[str, str]) -> Actor | None:
        return users[-1]

    async with library.open("memory:") as running:
        await running.execute(shelves, "s1", Give("ann"))
        await running.settled(timeout_s=20)
        async with watching(_web(running, actor), "live") as watcher:
            await watcher.until("s1")
            users.append(None)
            assert "unauthorized" in await watcher.until("problem")


async def test_it_goes_on_while_nobody_can_tell_whether_the_stream_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "CHECK_EVERY_S", 0.02)
    log = Flaky()
    async with library.open(log, read_store=MemoryReadStore()) as running:
        await running.execute(shelves, "s1", Give("ann"))
        await running.settled(timeout_s=20)
        async with watching(_web(running), "events") as watcher:
            await watcher.until("s1")
            log.away, before = True, log.asked
            while log.asked < before + 3:
                await watcher.until(":")
            log.away = False
            await running.execute(shelves, "s1", Give("ben"))
            async with asyncio.timeout(20):
                while await watcher.sent.get() is not None:
                    pass
