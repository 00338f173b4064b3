import logging
from collections.abc import Awaitable, Callable

import httpx2
import pytest
from fastapi import FastAPI

from twofold.web.logs import AccessLog

Connect = Callable[[FastAPI], Awaitable[httpx2.AsyncClient]]


@pytest.fixture
async def client(connect: Connect) -> httpx2.AsyncClient:
    app = FastAPI()
    app.add_middleware(AccessLog)

    @app.get("/boom")
    async def boom() -> None:
        raise ZeroDivisionError

    @app.get("/health/live")
    @app.get("/{name}")
    async def anything() -> None:
        return None

    return await connect(app)


async def test_a_line_for_each_request(client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "twofold.access"):
        for path in ("/tea", "/a%0Ab", "/no/such", "/boom", "/health/live"):
            await client.get(path)
    lines = [record.getMessage() for record in caplog.records if record.name == "twofold.access"]
    assert lines == ["GET /tea 200", "GET /a%0Ab 200", "GET /no/such 404", "GET /boom 500"]
    assert caplog.records[0].__dict__["duration_ms"] >= 0


async def test_a_correlation_id_comes_back(client: httpx2.AsyncClient) -> None:
    answered = await client.get("/tea", headers={"X-Correlation-ID": "c-1"})
    assert answered.headers["x-correlation-id"] == "c-1"
    for value in ("", "x" * 201, "a\tb"):
        assert "x-correlation-id" not in (await client.get("/tea", headers={"X-Correlation-ID": value})).headers
