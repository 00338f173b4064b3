"""A client that stops reading holds 1 MB at most, however much it watches; nobody else waits for it."""

from __future__ import annotations

import asyncio
import json
import socket
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from twofold.web.live import encoding
from twofold.web.serving.websockets import WebSocketConnection

Serve = Callable[..., Awaitable[Any]]
Views = dict[str, dict[str, Any]]

KEYS = 24
LONG = "x" * 20_000
SUBSCRIPTIONS = 50
WITHIN_S = 20
MOST_BYTES = 1024 * 1024

pytestmark = pytest.mark.slow  # real sockets


@pytest.fixture(autouse=True)
def nothing_is_kept_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON that is written once for all clients is not counted for one of them."""
    monkeypatch.setattr(encoding, "KEPT_BYTES", 0)


def held_bytes(site: Any) -> int:
    """What the server holds for clients: rows that wait, frames that are made, what its transports buffer."""
    rooms = {watcher.room for watcher in site.running.watching._watchers}
    parts = ("*/twofold/web/live/*", "*/uvicorn/*", "*/websockets/*", "*/starlette/*")
    made = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, part) for part in parts])
    return buffered(site) + sum(each.size for each in made.traces) + sum(room.bytes for room in rooms)


def buffered(site: Any) -> int:
    """What the transports of the server buffer."""
    return sum(each.transport.get_write_buffer_size() for each in site.server.server_state.connections)


def apply(views: Views, name: str, kind: str, rows: dict[str, Any]) -> None:
    view = views.setdefault(name, {})
    if kind == "snapshot":
        view.clear()
    view.update(rows)
    for key in [key for key, row in view.items() if row is None]:
        del view[key]


async def read_socket(other: Any, views: Views, wanted: Callable[[], bool]) -> int:
    """Read until all views are as wanted. Returns how many snapshots there were."""
    snapshots = 0
    async with asyncio.timeout(WITHIN_S):
        while not wanted():
            told = json.loads(await other.recv())
            kind = "snapshot" if "snapshot" in told else "changes"
            snapshots += kind == "snapshot"
            apply(views, told["id"], kind, told[kind]["rows"])
    return snapshots


async def read_stream(stream: Any, views: Views, wanted: Callable[[], bool]) -> int:
    """The same for server-sent events."""
    snapshots = 0
    while not wanted():
        event = await stream.next()
        snapshots += event.name == "snapshot"
        apply(views, "", event.name, event.rows)
    return snapshots


async def test_a_stuck_socket_with_many_subscriptions(serve: Serve) -> None:
    site = await serve()
    table = {str(key): "" for key in range(KEYS)}

    def agree(views: Views, count: int) -> Callable[[], bool]:
        def wanted() -> bool:
            titles = [{key: row["title"] for key, row in view.items()} for view in views.values()]
            return titles == [table] * count

        return wanted

    for key in table:
        await site.write(key, "ada")
    stuck: Views = {}
    watched: Views = {}
    async with site.events() as stream, site.socket(sock=await site.small_socket()) as other:
        await read_stream(stream, watched, agree(watched, 1))
        for number in range(SUBSCRIPTIONS):
            await other.send(json.dumps({"id": str(number), "subscribe": "notes"}))
        await read_socket(other, stuck, agree(stuck, SUBSCRIPTIONS))
        tracemalloc.start()
        try:
            before, most = held_bytes(site), 0
            other.transport.pause_reading()
            for number in range(2 * KEYS):
                key = str(number % KEYS)
                table[key] = f"{number} {LONG}"
                await site.write(key, "ada", table[key])
                await read_stream(stream, watched, agree(watched, 1))
                if number % 10 == 9:
                    most = max(most, held_bytes(site) - before)
        finally:
            tracemalloc.stop()
        assert len(LONG) < most < MOST_BYTES
        other.transport.resume_reading()
        assert await read_socket(other, stuck, agree(stuck, SUBSCRIPTIONS)) > 0


async def test_a_stuck_stream(serve: Serve) -> None:
    """Its first snapshot alone is larger than what may wait for it."""
    site = await serve()
    table = {str(number): f"{number} {LONG}" for number in range(200)}
    for key, title in table.items():
        await site.write(key, "ada", title)
    tracemalloc.start()
    try:
        before, most = held_bytes(site), 0
        reader, writer = await asyncio.open_connection(sock=await site.small_socket(), limit=1024)
        writer.write(b"GET /notes HTTP/1.1\r\nHost: test\r\nX-User: ada\r\nAccept: text/event-stream\r\n\r\n")
        async with asyncio.timeout(WITHIN_S):
            while not buffered(site):  # noqa: ASYNC110 (nothing says that a client is stuck)
                await asyncio.sleep(0.01)
        async with site.events("/notes/0") as stream:
            await stream.next()
            for number in range(60):
                table["0"] = f"{number} again"
                await site.write("0", "ada", table["0"])
                while (await stream.next()).rows["0"]["title"] != table["0"]:
                    pass
                if number % 10 == 0:
                    most = max(most, held_bytes(site) - before)
    finally:
        tracemalloc.stop()
    assert len(LONG) < most < MOST_BYTES
    views: Views = {}
    async with asyncio.timeout(WITHIN_S):
        kind = ""
        while {key: row["title"] for key, row in views.get("", {}).items()} != table:
            line = await read_line(reader)
            kind = line.removeprefix("event: ") if line.startswith("event: ") else kind
            if line.startswith("data: "):
                apply(views, "", kind, json.loads(line.removeprefix("data: "))["rows"])
    writer.close()


async def test_pings_of_a_client_that_reads_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is answered by a pong, which nobody takes."""
    site = await serve()
    arrived, number = 0, 20_000
    handle_ping = WebSocketConnection.handle_ping

    def counted(self: WebSocketConnection) -> None:
        nonlocal arrived
        arrived += 1
        handle_ping(self)

    monkeypatch.setattr(WebSocketConnection, "handle_ping", counted)
    async with site.socket(sock=await site.small_socket()) as other:
        [connection] = [each for each in site.server.server_state.connections if isinstance(each, WebSocketConnection)]
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        other.transport.pause_reading()
        other.transport.write((b"\x89\xfd" + bytes(4) + b"x" * 125) * number)
        async with asyncio.timeout(WITHIN_S):
            while arrived < number:  # noqa: ASYNC110 (nothing says that the last one has arrived)
                await asyncio.sleep(0.01)
        assert buffered(site) < 512 * 1024  # of 2.6 MB: what it reads at once is answered at once
        other.transport.abort()
    await site.nobody_watches()


async def read_line(reader: asyncio.StreamReader) -> str:
    """However long it is."""
    line = b""
    while not line.endswith(b"\n"):
        try:
            line += await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            line += await reader.readexactly(error.consumed)
    return line.decode().rstrip()
