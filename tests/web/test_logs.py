import asyncio
import io
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import httpx2
import pytest
from fastapi import APIRouter, FastAPI

from twofold.web.logs import AccessLog, JsonLines, configure_logs, without_messages
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
        for path in ("/tea", "/a%0Ab", "/no/such", "/boom", "/health/live", "/health/no/such", "/v1/of/ada"):
            await client.get(path)
        await client.post("/tea")
        await client.head("/tea")
    lines = [record.getMessage() for record in caplog.records if record.name == "twofold.access"]
    assert lines == [
        "GET /{name} 200",
        "GET /{name} 200",
        "GET - 404",
        "GET /boom 500",
        "GET - 404",
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


@contextmanager
def lines_of_a_server() -> Iterator[tuple[JsonLines, io.StringIO]]:
    """The handler of a server's logs, and what it writes to stderr."""
    before, level = logging.root.handlers[:], logging.root.level
    logging.root.handlers.clear()
    configure_logs()
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    [handler] = logging.root.handlers
    assert isinstance(handler, JsonLines)
    handler.setStream(stream := io.StringIO())
    try:
        yield handler, stream
    finally:
        logging.root.handlers[:] = before
        logging.root.setLevel(level)
        logging.getLogger("httpx2").setLevel(logging.NOTSET)


async def test_lines_are_json_with_the_same_members_whoever_writes_them(connect: Connect) -> None:
    app = FastAPI()
    app.add_middleware(AccessLog)

    @app.get("/{name}")
    async def anything(name: str) -> None:
        if name == "said":
            logging.getLogger("mine").warning("in between")

    client = await connect(app)
    with lines_of_a_server() as (_, written):
        await client.get("/a%0Ab", headers={"X-Correlation-ID": 'c "1"'})
        await client.get("/said")
        await asyncio.sleep(0)
        logging.root.addHandler(logging.NullHandler())  # logs are no longer as we configured them
        await client.get("/slow", headers={"X-Correlation-ID": "c-2"})
    first, said, second, slow = map(json.loads, written.getvalue().splitlines())
    assert [first["event"], said["event"], second["event"]] == ["GET /{name} 200", "in between", "GET /{name} 200"]
    assert list(first) == list(slow)
    assert {name: type(value) for name, value in first.items()} == {name: type(value) for name, value in slow.items()}
    assert (first["correlation_id"], slow["correlation_id"]) == ('c "1"', "c-2")
    assert len(first["timestamp"]) == len(slow["timestamp"])


async def test_lines_that_wait_are_written_before_others_and_at_the_end() -> None:
    what = {"method": "GET", "path": "/", "status": 200, "duration_ms": 0.1}
    with lines_of_a_server() as (handler, written):
        handler.request(logging.INFO, what)
        handler.request(logging.INFO, {**what, "path": "/2"})
        assert written.getvalue() == ""
        logging.getLogger("mine").warning("after them")
        events = [json.loads(line)["event"] for line in written.getvalue().splitlines()]
        assert events == ["GET / 200", "GET /2 200", "after them"]
        handler.request(logging.INFO, {**what, "path": "/3"})
        handler.flush()  # as logging.shutdown does
        assert json.loads(written.getvalue().splitlines()[-1])["event"] == "GET /3 200"


class Stopped(Exception):
    pass


@pytest.mark.parametrize("is_hidden", [False, True])
def test_a_traceback_shows_what_an_error_came_after_unless_it_was_hidden(is_hidden: bool) -> None:
    def stops() -> None:
        raise Stopped

    def fails() -> None:
        try:
            raise KeyError
        except KeyError:
            if is_hidden:
                raise Stopped from None
            stops()

    with pytest.raises(Stopped) as raised:
        fails()
    text = without_messages((raised.type, raised.value, raised.tb))
    assert ("builtins.KeyError" in text) is not is_hidden
    assert text.endswith("Stopped")


def test_a_traceback_has_no_messages() -> None:
    def fails() -> None:
        try:
            raise KeyError("secret")
        except KeyError as error:
            raise ExceptionGroup("secret", [ValueError("secret")]) from error

    with pytest.raises(ExceptionGroup) as raised:
        fails()
    text = without_messages((raised.type, raised.value, raised.tb))
    lines = re.sub(r'.*File ".*test_logs.py", line \d+', "File", text).splitlines()
    assert [line for line in lines if not line or set(line) - set(" ~^")] == [  # newer Pythons mark the place
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
