"""The forum on a store, and its HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from tests.graphql.forum import Join, Tag, Write, api_of, forum, members, writings
from twofold import Running
from twofold.api import Api
from twofold.web.application import web_app
from twofold.web.graphql.execution import Execution


@dataclass
class Site:
    """A running forum."""

    running: Running
    app: FastAPI
    client: httpx2.AsyncClient

    @property
    def execution(self) -> Execution:
        found: Execution = self.app.state.graphql
        return found

    async def send(self, query: str, headers: dict[str, str] | None = None, **variables: Any) -> httpx2.Response:
        body = {"query": query, "variables": variables}
        return await self.client.post("/graphql", json=body, headers=headers or {})

    async def data(self, query: str, **variables: Any) -> Any:
        """The data of an operation that succeeds."""
        response = await self.send(query, **variables)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    async def errors(self, query: str, headers: dict[str, str] | None = None, **variables: Any) -> Any:
        response = await self.send(query, headers, **variables)
        return response.json()["errors"]


Opens = Callable[..., AbstractAsyncContextManager[Site]]


@asynccontextmanager
async def site(url: str, api: Api | None = None, **settings: Any) -> AsyncIterator[Site]:
    async with forum.open(url) as running:
        app = web_app(running, api or api_of(**settings))
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            yield Site(running, app, client)


async def fill(running: Running, users: int = 9, posts: int = 3) -> None:
    """Users, each with some posts."""
    for n in range(users):
        country = ("DE", "FR", None)[n % 3]
        await running.execute(members, f"u{n}", Join(f"user {n}", f"u{n}@example.org", country))
        for k in range(posts):
            words = tuple(Tag(f"w{n}", k) for _ in range(k))
            write = Write(f"u{n}", f"t{n}/{k} \u00e4\n\"'", [f"x{k}", "all"], words)
            await running.execute(writings, f"p{n}-{k}", write)
    await running.settled(timeout_s=20)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def any_store(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    return _url(request, tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def compiling(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """A store that writes trees of rows."""
    return _url(request, tmp_path)


@pytest.fixture
def sqlite(tmp_path: Any) -> str:
    return f"sqlite:///{tmp_path}/forum.db"


def _url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    match request.param:
        case "memory":
            return "memory:"
        case "sqlite":
            return f"sqlite:///{tmp_path}/forum.db"
        case _:
            found: str = request.getfixturevalue("new_store")()
            return found
