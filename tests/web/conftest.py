"""A small App with a counter, and a client for the FastAPI app that a test builds around it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import httpx2
import pytest
from fastapi import FastAPI

Connect = Callable[[FastAPI], Awaitable[httpx2.AsyncClient]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def client(app: FastAPI) -> httpx2.AsyncClient:
            transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
            return await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://test"))

        yield client
