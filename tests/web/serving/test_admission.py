"""Admission at critical moments: bodies that end together, errors after a request was admitted."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from twofold.web.problems import Problem
from twofold.web.serving.admission import Admission
from twofold.web.serving.limits import Limits


class Request:
    """One request whose body arrives on demand."""

    def __init__(
        self,
        method: str = "POST",
        body: bool = True,
        framing: tuple[bytes, bytes] = (b"content-length", b"2"),
        path: str = "/",
    ) -> None:
        headers = [framing] if body else []
        self.scope: Scope = {"type": "http", "method": method, "path": path, "headers": headers, "state": {}}
        self.is_waited_for, self.body_comes, self.is_answered = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.status: int | None = None

    async def receive(self) -> Message:
        self.is_waited_for.set()
        await self.body_comes.wait()
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.is_answered.set()

    async def run(self, admission: Admission) -> None:
        await admission(self.scope, self.receive, self.send)


async def answered(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("framing", [(b"content-length", b"2"), (b"transfer-encoding", b"chunked")], ids=str)
@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
async def test_bodies_that_end_together_do_not_pass_the_limit(together: bool, framing: tuple[bytes, bytes]) -> None:
    go_on, working = asyncio.Event(), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        working.append(scope)
        await go_on.wait()
        await answered(send)

    admission = Admission(app, Limits(commands=2))
    requests = [Request(framing=framing) for _ in range(5)]
    tasks = [asyncio.create_task(request.run(admission)) for request in requests]
    async with asyncio.timeout(20):
        for request in requests:
            await request.is_waited_for.wait()  # all were admitted: none was being handled
        for request in requests:
            request.body_comes.set()
            if not together:
                await asyncio.sleep(0)
        for request in requests[2:]:
            await request.is_answered.wait()
    assert Counter(request.status for request in requests) == {503: 3, None: 2}
    assert (len(working), len(admission.commands.running), admission.commands.refused) == (2, 2, 3)
    go_on.set()
    await asyncio.gather(*tasks)
    assert Counter(request.status for request in requests) == {503: 3, 200: 2}
    assert not admission.commands.running


ERRORS: list[Any] = [RuntimeError("x"), TimeoutError("x"), Problem(418, "teapot", "x"), asyncio.CancelledError()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("begun", [False, True], ids=["before an answer", "after it has begun"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_error_gives_the_place_back(method: str, begun: bool, error: BaseException) -> None:
    fails = True

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["headers"]:
            await receive()
        if fails and begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if fails:
            raise error
        await answered(send)

    admission = Admission(app, Limits(commands=1, reads=1))
    for _ in range(3):
        request = Request(method, body=method == "POST")
        request.body_comes.set()
        if isinstance(error, Problem) and not begun:
            await request.run(admission)
            assert request.status == 418
        else:
            with pytest.raises(type(error)):  # neither cut off nor a TimeoutError
                await request.run(admission)
        assert not admission.reads.running
        assert not admission.commands.running
    fails = False
    last = Request(method, body=False)
    await last.run(admission)
    assert last.status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("has_body", [True, False], ids=["a body", "no body"])
@pytest.mark.parametrize("is_whole", [True, False], ids=["that has come", "that is still coming"])
async def test_what_is_cut_off_by_a_stop_says_whether_it_was_begun(method: str, has_body: bool, is_whole: bool) -> None:
    """A command whose body has not come has changed nothing. Of a read, it does not matter."""
    working = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if has_body:
            await receive()
        working.set()
        await asyncio.Event().wait()

    request, sent = Request(method, has_body), bytearray()
    admission = Admission(app, Limits())

    async def send(message: Message) -> None:
        sent.extend(message.get("body", b""))

    task = asyncio.create_task(admission(request.scope, request.receive, send))
    async with asyncio.timeout(20):
        if has_body:
            await request.is_waited_for.wait()
        if is_whole:
            request.body_comes.set()
        if is_whole or not has_body:
            await working.wait()
        admission.cut()
        await task
    begun = method != "GET" and (is_whole or not has_body)
    assert json.loads(sent)["type"] == ("outcome-unknown" if begun else "stopping")


async def test_a_second_signal_ends_websockets_too() -> None:
    """Those that do not end by themselves, and without an error."""
    connected = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connected.set()
        await asyncio.Event().wait()

    request = Request("GET", body=False)
    request.scope["type"] = "websocket"
    admission = Admission(app, Limits(watchers=1))
    task = asyncio.create_task(request.run(admission))
    async with asyncio.timeout(20):
        await connected.wait()
        admission.cut()
        await task
    assert not admission.watchers.running


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health/live", 200), ("/health/ready", 200), ("/metrics", 200), ("/metrics-of-stock", 503), ("/health/x", 503)],
)
async def test_beyond_the_limit_only_health_and_metrics_are_answered(path: str, status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answered(send)

    request = Request("GET", body=False, path=path)
    await request.run(Admission(app, Limits(reads=0)))
    assert request.status == status
