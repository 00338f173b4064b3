"""An App of notes, each its owner's alone, and a client for it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from twofold import App, Decider, Projection, Recorded, Running
from twofold.api import Actor, ActorOf, Api, logged_in
from twofold.web.application import web_app


@dataclass(frozen=True)
class Write:
    text: str
    owner: str


@dataclass(frozen=True)
class Written:
    text: str
    owner: str


@dataclass(frozen=True)
class Note:
    id: str
    owner: str = ""
    text: str = ""


def decide(command: Write, _: int) -> list[Written]:
    return [Written(command.text, command.owner)]


def evolve(_: int, event: Written) -> int:
    return 1


def fold(row: Note, event: Written, recorded: Recorded) -> Note:
    return Note(recorded.stream.id, event.owner, event.text)


notes = Decider("note", 0, decide, evolve)
board = Projection("board", Note, fold, indexes=["owner"])


def may_write(actor: Actor, arguments: Mapping[str, Any]) -> bool:
    return bool(arguments["owner"] == actor.id)


def own(actor: Actor | None, projection: object) -> Mapping[str, Any]:
    return {"owner": actor.id if actor else ""}


def api_of(app: App, actor: ActorOf) -> Api:
    api = Api(app, actor=actor, scope=own)
    api.command(notes, Write, at="PUT /notes/{id}", allow=may_write)
    api.row(board, at="GET /notes/{id}", allow=logged_in)
    api.page(board, at="GET /notes", allow=logged_in)
    return api


Serve = Callable[..., Awaitable[httpx2.AsyncClient]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve the App with what `login` makes of the running App: an actor and more routers."""
    async with AsyncExitStack() as stack:

        async def served(
            login: Callable[[Running], Any],
            *more: Decider[Any, Any, Any],
            store: str = "memory:",
            at: str = "http://localhost:8000",
        ) -> httpx2.AsyncClient:
            app = App("notes", deciders=[notes, *more], projections=[board])
            running = await stack.enter_async_context(app.open(store))
            actor, *routers = login(running)
            transport = httpx2.ASGITransport(web_app(running, api_of(app, actor), *routers))
            client = httpx2.AsyncClient(transport=transport, base_url=at)
            return await stack.enter_async_context(client)

        yield served
