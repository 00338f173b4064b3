"""Clients that keep a view, over server-sent events or a WebSocket, and reconnect with their last token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from random import Random
from urllib.parse import urlencode

import websockets
from websockets.exceptions import WebSocketException

from torture.live.servers import Server
from torture.live.views import View

LONGEST_LINE = 64 * 1024 * 1024
SOONEST_S, LATEST_S = 0.1, 0.5
PASSING = {"503"}
GONE = (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError, WebSocketException)


async def keep(view: View, servers: Sequence[Server], number: int, chance: Random) -> None:
    """Keep a view until it is cancelled: at its own server, or at another one while that is away."""
    while True:
        at = servers[number % len(servers)]
        number += 1
        try:
            if at.api:
                await (_socket if view.asked.socket else _events)(view, at)
                number -= 1  # it was connected, so it tries there again first
        except GONE:
            pass
        view.api = ""
        await asyncio.sleep(chance.uniform(SOONEST_S, LATEST_S))


async def _events(view: View, at: Server) -> None:
    """One connection, as `EventSource` has it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port, limit=LONGEST_LINE)
    try:
        headers = {"Host": f"127.0.0.1:{at.port}", "Accept": "text/event-stream", "X-User": view.asked.user}
        if view.last_id:
            headers["Last-Event-ID"] = view.last_id
        lines = [f"GET {_address(view)} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        status = (await reader.readline()).split()
        if len(status) < 2:
            return
        if status[1] != b"200":
            _refused(view, status[1].decode(), (await reader.read(2_000)).decode(errors="replace"))
            return
        view.connected(at.api)
        await _frames(view, reader)
    finally:
        writer.close()


async def _frames(view: View, reader: asyncio.StreamReader) -> None:
    fields: dict[str, str] = {}
    while line := await reader.readline():
        if not line.endswith(b"\n"):
            return  # the last one was cut off
        name, _, value = line.decode().rstrip("\r\n").partition(":")
        if name in ("event", "id", "data"):
            fields[name] = value.removeprefix(" ")
        elif line == b"\n" and "data" in fields:
            view.last_id = fields.get("id", view.last_id)
            data = json.loads(fields["data"])
            view.take(fields["event"], data["rows"], data["parked"], fields.get("id") or None)
            fields = {}


async def _socket(view: View, at: Server) -> None:
    """One connection with one subscription."""
    message = {"id": "a", "subscribe": view.asked.projection, "where": view.asked.where}
    if view.token is not None:
        message["after"] = view.token
    headers = {"X-User": view.asked.user}
    address = f"ws://127.0.0.1:{at.port}/live"
    async with websockets.connect(
        address, additional_headers=headers, compression=None, max_size=None, close_timeout=1
    ) as socket:
        view.connected(at.api)
        await socket.send(json.dumps(message))
        async for received in socket:
            told = json.loads(received)
            if "problem" in told:
                _refused(view, str(told["problem"]["status"]), str(received))
                return
            kind = "snapshot" if "snapshot" in told else "changes"
            view.take(kind, told[kind]["rows"], told[kind]["parked"], told["token"])


def _refused(view: View, status: str, text: str) -> None:
    if status not in PASSING:
        view.rules.broken("refused", f"{view.asked}: {status} {text[-500:]}")


def _address(view: View) -> str:
    where = dict(view.asked.where)
    key = where.pop("item_id", None)
    path = f"/{view.asked.projection}" + ("" if key is None else f"/{key}")
    return f"{path}?{urlencode(where)}" if where else path
