"""Serve an Api, with the running App at hand."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import httpx2
import pytest
from fastapi import FastAPI

from twofold import Running
from twofold.api import Api
from twofold.web.application import web_app


class Site(NamedTuple):
    """A client, the App that it reaches, and the FastAPI app between them."""

    client: httpx2.AsyncClient
    running: Running
    app: FastAPI

    async def settle(self) -> None:
        await self.running.settled(timeout_s=10)


Serve = Callable[..., Awaitable[Site]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def served(api: Api, *routers: Any, store: str = "memory:", **settings: Any) -> Site:
            running = await stack.enter_async_context(api.app.open(store))
            app = web_app(running, api, *routers, **settings)
            transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
            client = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://test"))
            return Site(client, running, app)

        yield served
