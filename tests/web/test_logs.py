import logging
import re
from collections.abc import Awaitable, Callable

import httpx2
import pytest
from fastapi import APIRouter, FastAPI

from twofold.web.logs import AccessLog, without_messages
from twofold.web.methods import Methods

Connect = Callable[[FastAPI], Awaitable[httpx2.AsyncClient]]


@pytest.fixture
async def client(connect: Connect) -> httpx2.AsyncClient:
    app, inner, outer = FastAPI(), APIRouter(), APIRouter()
    app.add_middleware(Methods)
    app.add_middleware(AccessLog)

    @inner.get("/{name}")
    async def included() -> None:
        return None

    outer.include_router(inner, prefix="/of")
    app.include_router(outer, prefix="/v1")

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
        for path in ("/tea", "/a%0Ab", "/no/such", "/boom", "/health/live", "/v1/of/ada"):
            await client.get(path)
        await client.post("/tea")
        await client.head("/tea")
    lines = [record.getMessage() for record in caplog.records if record.name == "twofold.access"]
    assert lines == [
        "GET /{name} 200",
        "GET /{name} 200",
        "GET - 404",
        "GET /boom 500",
        "GET /v1/of/{name} 200",
        "POST /{name} 405",
        "HEAD /{name} 200",
    ]
    assert caplog.records[0].__dict__["duration_ms"] >= 0


async def test_a_correlation_id_comes_back(client: httpx2.AsyncClient) -> None:
    answered = await client.get("/tea", headers={"X-Correlation-ID": "c-1"})
    assert answered.headers["x-correlation-id"] == "c-1"
    for value in ("", "x" * 201, "a\tb"):
        assert "x-correlation-id" not in (await client.get("/tea", headers={"X-Correlation-ID": value})).headers


def test_a_traceback_has_no_messages() -> None:
    def fails() -> None:
        try:
            raise KeyError("secret")
        except KeyError as error:
            raise ExceptionGroup("secret", [ValueError("secret")]) from error

    with pytest.raises(ExceptionGroup) as raised:
        fails()
    text = without_messages((raised.type, raised.value, raised.tb))
    assert re.sub(r'.*File ".*test_logs.py", line \d+', "File", text).splitlines() == [
        "File, in fails",
        '    raise KeyError("secret")',
        "builtins.KeyError",
        "",
        "Then:",
        "",
        "File, in test_a_traceback_has_no_messages",
        "    fails()",
        "File, in fails",
        '    raise ExceptionGroup("secret", [ValueError("secret")]) from error',
        "builtins.ExceptionGroup",
        "  with ValueError",
    ]
