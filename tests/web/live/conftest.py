"""A server in this process, on a real socket; notes of users to watch, and clients for events and WebSockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx2
import pytest
import websockets
from fastapi import FastAPI

from twofold import App, Decider, Projection, Recorded, Running
from twofold.api import Actor, Api
from twofold.api.sessions import login_sessions
from twofold.web.application import web_app
from twofold.web.serving.admission import Admission
from twofold.web.serving.connections import watch
from twofold.web.serving.limits import Limits
from twofold.web.serving.sockets import address_of, listen
from twofold.web.serving.uvicorn_server import Server, config_of

WITHIN_S = 20


@dataclass(frozen=True)
class Write:
    owner: str
    title: str = ""
    price: Decimal = Decimal(0)


@dataclass(frozen=True)
class Remove:
    pass


@dataclass(frozen=True)
class Written:
    owner: str
    title: str
    price: Decimal


@dataclass(frozen=True)
class Removed:
    pass


def decide(command: Write | Remove, count: int) -> list[Written | Removed]:
    return [Written(command.owner, command.title, command.price) if isinstance(command, Write) else Removed()]


def evolve(count: int, event: Written | Removed) -> int:
    return count + 1


@dataclass(frozen=True)
class Note:
    note_id: str
    owner: str = ""
    title: str = ""
    sold_for: Decimal = Decimal(0)


@dataclass(frozen=True)
class Tally:
    owner: str
    number: int
    written: int = 0


def fold(row: Note, event: Written | Removed, recorded: Recorded) -> Note | None:
    if isinstance(event, Removed):
        return None
    if event.title == "poison":
        raise ValueError(event.title)
    return Note(row.note_id, event.owner, event.title, event.price)


def tally(row: Tally, event: Written, recorded: Recorded) -> Tally:
    return Tally(row.owner, row.number, row.written + 1)


writing = Decider("note", 0, decide, evolve)
notes = Projection("notes", Note, fold)
tallies = Projection(
    "tallies", Tally, tally, key=lambda event, recorded: (event.owner, 1), key_fields=["owner", "number"]
)
NOTEBOOK = App("notebook", deciders=[writing], projections=[notes, tallies])
NOTEBOOK_WITH_SESSIONS = App("notebook", deciders=[writing, login_sessions], projections=[notes, tallies])
LIMITS = Limits()


@dataclass
class Rules:
    """What a test may change while clients watch."""

    allowed: bool = True
    everything: set[str] = field(default_factory=set)
    logged_out: set[str] = field(default_factory=set)

    async def actor(self, headers: Mapping[str, str]) -> Actor | None:
        """`X-User: ada`, or `Authorization: ada`; perhaps ` until 2040-01-01T00:00:00Z`."""
        name, _, until = (headers.get("x-user") or headers.get("authorization") or "").partition(" until ")
        if not name or name in self.logged_out:
            return None
        return Actor(name, {}, datetime.fromisoformat(until) if until else None)

    def allow(self, actor: Actor, arguments: Mapping[str, Any]) -> bool:
        return self.allowed

    def scope(self, actor: Actor | None, projection: Projection[Any]) -> Mapping[str, Any]:
        return {} if actor is None or actor.id in self.everything else {"owner": actor.id}

    def api(self, app: App = NOTEBOOK, returns: Any = None, **settings: Any) -> Api:
        api = Api(app, **{"actor": self.actor, "scope": self.scope, **settings})
        api.row(notes, allow=self.allow, returns=returns)
        api.page(notes, allow=self.allow, returns=returns)
        api.page(notes, "GET /users/{owner}/notes", where={"owner": "owner"}, allow=self.allow, name="of_user")
        api.row(tallies, "GET /tallies/{owner}/{number}", allow=self.allow)
        api.page(tallies, allow=self.allow)
        return api


@dataclass
class Event:
    name: str
    data: Any
    id: str | None

    @property
    def rows(self) -> dict[str, Any]:
        found: dict[str, Any] = self.data["rows"]
        return found


class Stream:
    """The events of one response."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response, self.heartbeats, self.retry = response, 0, ""
        self._lines = response.aiter_lines()

    async def next(self) -> Event | None:
        """The next event; None at the end."""
        async with asyncio.timeout(WITHIN_S):
            fields: dict[str, str] = {}
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if line and line[0] != ":":
                    fields[name] = value
                elif line:
                    self.heartbeats += 1
                elif "data" in fields:
                    return Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
                elif "retry" in fields:
                    self.retry, fields = fields["retry"], {}
            return None

    async def heartbeat(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            async for line in self._lines:
                if line.startswith(":"):
                    return
        raise AssertionError("the stream has ended")


@dataclass
class Site:
    running: Running
    app: FastAPI
    admission: Admission
    server: Server
    address: str
    client: httpx2.AsyncClient

    async def write(self, note_id: str, owner: str, title: str = "", price: str = "0") -> str:
        done = await self.running.execute(writing, note_id, Write(owner, title, Decimal(price)))
        await self.running.settled(timeout_s=WITHIN_S)
        return done.receipt.token

    async def remove(self, note_id: str) -> None:
        await self.running.execute(writing, note_id, Remove())

    @asynccontextmanager
    async def events(self, path: str = "/notes", user: str = "ada", **headers: str) -> AsyncIterator[Stream]:
        sent = {"Accept": "text/event-stream", "X-User": user, **{k.replace("_", "-"): v for k, v in headers.items()}}
        async with self.client.stream("GET", path, headers=sent) as response:
            if response.status_code != 200:
                await response.aread()
            yield Stream(response)

    def socket(
        self,
        user: str | None = "ada",
        *,
        host: str | None = None,
        cookie: str = "",
        path: str = "/live",
        **settings: Any,
    ) -> Any:
        """A WebSocket. `host` is the name that the client takes this server for."""
        headers = {} if user is None else {"X-User": user}
        here = self.address.removeprefix("http://")
        if cookie:
            headers["Cookie"] = cookie
        if host is not None:
            settings |= dict(zip(("host", "port"), here.split(":"), strict=True))
        return websockets.connect(f"ws://{host or here}{path}", additional_headers=headers, **settings)

    async def small_socket(self) -> socket.socket:
        """A connection that keeps little of what it does not read."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.setblocking(False)
        host, port = self.address.removeprefix("http://").split(":")
        await asyncio.get_running_loop().sock_connect(made, (host, int(port)))
        return made

    async def nobody_watches(self) -> None:
        """Wait until no watcher, no reader and no task of one is left."""
        async with asyncio.timeout(WITHIN_S):
            while self.running.watching._watchers or self.admission.watchers.running or left_tasks():  # noqa: ASYNC110
                await asyncio.sleep(0.005)  # nothing says that the last one has ended


def left_tasks() -> list[str]:
    names = ("live ", "watching ")
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(names)]


Serve = Callable[..., Awaitable[Site]]


@pytest.fixture
def rules() -> Rules:
    return Rules()


@pytest.fixture
async def serve(rules: Rules) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def served(
            api: Api | None = None,
            *,
            make: Callable[[Running], Api] | None = None,
            app: App = NOTEBOOK,
            sessions: bool = False,
            limits: Limits = LIMITS,
            **settings: Any,
        ) -> Site:
            opened = NOTEBOOK_WITH_SESSIONS if sessions else app
            running = await stack.enter_async_context(opened.open("memory:", **settings))
            made = web_app(running, make(running) if make else api or rules.api())
            admission = Admission(made, limits)
            server = Server(config_of(admission, limits, 2))
            admission.connections = server.server_state.connections
            listening = stack.enter_context(listen("127.0.0.1", 0))
            looking = asyncio.create_task(watch(server.server_state.connections))
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            client = httpx2.AsyncClient(base_url=address_of(listening), timeout=WITHIN_S)

            async def stop() -> None:
                server.should_exit = True
                if not admission.ending.is_set():
                    admission.stop()
                await serving
                looking.cancel()

            stack.push_async_callback(stop)
            await stack.enter_async_context(client)
            return Site(running, made, admission, server, address_of(listening), client)

        yield served
