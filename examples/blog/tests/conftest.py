"""A blog on a PostgreSQL of its own, served on a socket, and its users."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
import pytest
import websockets
from fastapi import FastAPI

from blog.api import web
from blog.app import blog as app
from blog.install import install
from twofold import Running
from twofold.web.serving.admission import Admission
from twofold.web.serving.limits import Limits
from twofold.web.serving.sockets import address_of, listen
from twofold.web.serving.uvicorn_server import Server, config_of

WITHIN_S = 20
CONTENT = "Warm the pot, then pour the water while it is still boiling."
SIGN_UP = "mutation($name: String!, $email: String!) { createUser(name: $name, email: $email) { id } }"
WRITE = "mutation($input: CreatePostInput!) { createPost(input: $input) { id } }"


@dataclass(frozen=True)
class User:
    """A client of the blog, logged in or not."""

    http: httpx2.AsyncClient
    id: str = ""
    token: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    async def send(self, query: str, key: str | None = None, **variables: Any) -> httpx2.Response:
        headers = self.headers | ({} if key is None else {"Idempotency-Key": key})
        return await self.http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data of an operation that succeeds."""
        response = await self.send(query, **variables)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    async def refused(self, query: str, **variables: Any) -> tuple[str, str]:
        """The code and the message of the only error."""
        response = await self.send(query, **variables)
        [error] = response.json()["errors"]
        return error["extensions"]["code"], error["message"]

    async def write(self, title: str = "On tea", content: str = CONTENT, **more: Any) -> str:
        """Writes a draft."""
        made = await self.ask(WRITE, input={"title": title, "content": content, **more})
        post: str = made["createPost"]["id"]
        return post

    async def publish(self, *posts: str) -> None:
        for post in posts:
            await self.ask("mutation($id: ID!) { publishPost(id: $id) { id } }", id=post)


@dataclass(frozen=True)
class Blog:
    url: str
    address: str
    running: Running
    web: FastAPI
    stranger: User
    sql: asyncpg.Connection
    """A session beside the blog's own, as psql has one."""

    async def sign_up(self, name: str) -> User:
        email = f"{name.lower()}@example.com"
        made = await self.stranger.ask(SIGN_UP, name=name, email=email)
        token = (await self.stranger.http.post("/login", json={"email": email})).json()["token"]
        return User(self.stranger.http, made["createUser"]["id"], token)

    @asynccontextmanager
    async def subscribed(self, query: str) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
        """A function that returns the data of the next message."""
        here = self.address.replace("http", "ws") + "/graphql"
        async with websockets.connect(here, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            await socket.send('{"type": "connection_init"}')
            assert json.loads(await socket.recv()) == {"type": "connection_ack"}
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": query}}))

            async def following() -> Any:
                async with asyncio.timeout(WITHIN_S):
                    message = json.loads(await socket.recv())
                assert message["type"] == "next", message
                return message["payload"]["data"]

            yield following


@asynccontextmanager
async def served(made: FastAPI) -> AsyncIterator[str]:
    """Serve on a free port; its address."""
    admission = Admission(made, Limits())
    server = Server(config_of(admission, Limits(), 2))
    with listen("127.0.0.1", 0) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield address_of(listening)
        finally:
            server.should_exit = True
            admission.stop()
            await serving


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Blog]:
    await install(url)
    async with app.open(url) as running:
        made = web(running)
        async with served(made) as address, httpx2.AsyncClient(base_url=address, timeout=WITHIN_S) as http:
            sql = await asyncpg.connect(url)
            try:
                yield Blog(url, address, running, made, User(http), sql)
            finally:
                await sql.close()


@pytest.fixture
async def blog(new_store: Callable[[], str]) -> AsyncIterator[Blog]:
    async with opened(new_store()) as found:
        yield found
