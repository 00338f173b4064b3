"""Several requests on one connection: each counts for itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from twofold.testing import virtual_time
from twofold.web.serving.admission import Admission
from twofold.web.serving.connections import STOPPING
from twofold.web.serving.limits import Limits
from twofold.web.serving.sockets import listen
from twofold.web.serving.uvicorn_server import Server, config_of

LIMITS = Limits(head_bytes=4_096)


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


HEAD = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Responds once the body is complete."""
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.request":
        await app(scope, receive, send)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def status(self) -> int:
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 431") or await self.reader.readexactly(2) == b"ok"
        return int(head.split()[1])


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self._is_closed = bytearray(), False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self._is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self._is_closed

    def get_write_buffer_size(self) -> int:
        return 0


@asynccontextmanager
async def served() -> AsyncIterator[Any]:
    """A function that connects."""
    admission = Admission(app, LIMITS)
    server = Server(config_of(admission, LIMITS, 2))
    with listen("127.0.0.1", 0) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))

        @asynccontextmanager
        async def connect() -> AsyncIterator[Client]:
            reader, writer = await asyncio.open_connection(*listening.getsockname()[:2])
            try:
                yield Client(reader, writer)
            finally:
                writer.close()

        try:
            yield connect
        finally:
            server.should_exit = True
            admission.stop()
            await serving


@pytest.mark.parametrize(("size", "status"), [(3_000, 200), (5_000, 431)])
async def test_the_head_of_each_request_counts_for_itself(size: int, status: int) -> None:
    """Also where it comes in pieces: the server has read the first one when another client has its response."""
    async with served() as connect, connect() as client, connect() as other:
        for _ in range(4):
            await client.send(b"GET / HTTP/1.1\r\nHost: t\r\na: " + b"x" * size)
            await other.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            assert await other.status() == 200
            if status == 200:
                await client.send(b"\r\n\r\n")
            assert await client.status() == status
            if status != 200:
                return


def connected_to(app: Any) -> tuple[Server, Any, Transport]:
    """A server that listens nowhere, and a connection to it in this loop."""
    config = config_of(app, LIMITS, 2)
    config.load()
    server, transport = Server(config), Transport()
    made: Any = config.http_protocol_class
    connection = made(config, server.server_state, {}, asyncio.get_running_loop())
    connection.connection_made(transport)
    return server, connection, transport


@pytest.mark.parametrize("waited_s", [0.0, 7.0])
@pytest.mark.parametrize("before", [0, 2], ids=["the first request", "the third request"])
def test_a_request_that_is_arriving_when_the_server_stops_has_a_second_more(before: int, waited_s: float) -> None:
    """However long it has been arriving until then."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server, connection, transport = connected_to(echo)
        for _ in range(before):
            connection.data_received(HEAD + b"ab")
            await asyncio.sleep(0.5)
        assert transport.written.count(b"HTTP/1.1 200") == before
        transport.written.clear()
        connection.data_received(HEAD + b"a")
        await asyncio.sleep(waited_s)
        connection.shutdown()
        await asyncio.sleep(STOPPING.request_s - 0.1)
        connection.look(loop.time())
        assert (bytes(transport.written), transport.is_closing()) == (b"", False)
        await asyncio.sleep(0.2)
        connection.look(loop.time())
        assert transport.written.startswith(b"HTTP/1.1 408")
        await asyncio.gather(*server.server_state.tasks)

    virtual_time.run(main())


def test_who_sends_faster_than_the_app_reads_is_not_too_slow() -> None:
    """The time of a request counts while we read it. Once we do again, the client has all of it."""

    async def main() -> None:
        loop, reads = asyncio.get_running_loop(), asyncio.Event()

        async def reads_later(scope: Any, receive: Any, send: Any) -> None:
            await reads.wait()
            await echo(scope, receive, send)

        async def passes(seconds: float) -> None:
            for _ in range(round(seconds)):
                await asyncio.sleep(1)
                connection.look(loop.time())

        server, connection, transport = connected_to(reads_later)
        connection.data_received(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 300000\r\n\r\n" + b"x" * 200_000)
        await passes(3 * LIMITS.request_s)
        reads.set()
        await passes(LIMITS.request_s - 1)
        assert (bytes(transport.written), transport.is_closing()) == (b"", False)
        await passes(3)
        assert transport.written.startswith(b"HTTP/1.1 408")
        await asyncio.gather(*server.server_state.tasks)

    virtual_time.run(main())
