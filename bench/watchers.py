"""Clients that watch counters: they note how long each change took to arrive, and what they know in the end."""

import asyncio
import re
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Self

import websockets

from bench.process import SideFailed

ROW = re.compile(rb'"key":"(k\d+)","n":(\d+),"at":(\d+)')
AT_ONCE = 50
REST_S = 0.3


class Watchers:
    """What all clients have seen. `delays` are of rows, in seconds."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.views: list[dict[bytes, int]] = []
        self.frames = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = asyncio.Semaphore(0)
        self._last = time.monotonic()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        failed = [task.exception() for task in self._tasks if task.done()]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if failed:
            raise SideFailed(f"{len(failed)} watchers have ended: {failed[0]!r}")

    async def begin(self, addresses: Iterator[str]) -> None:
        """Connect a client to each address, and wait for its snapshot. `ws:` is a WebSocket, on everything."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        waiting = 0
        for address in addresses:
            view: dict[bytes, int] = {}
            self.views.append(view)
            follow = self._socket if address.startswith("ws:") else self._events
            self._tasks.append(asyncio.create_task(follow(address, view)))
            waiting += 1
            if waiting > AT_ONCE:
                await self._ready.acquire()
                waiting -= 1
        for _ in range(waiting):
            await self._ready.acquire()
        self.delays.clear()
        self.frames = 0

    async def rest(self) -> None:
        """Wait until nothing more arrives."""
        self._last = time.monotonic()
        while time.monotonic() - self._last < REST_S:  # noqa: ASYNC110 (silence has no event)
            await asyncio.sleep(REST_S / 4)

    async def _events(self, address: str, view: dict[bytes, int]) -> None:
        host, _, path = address.removeprefix("http://").partition("/")
        name, port = host.split(":")
        reader, writer = await asyncio.open_connection(name, int(port))
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n".encode())
        try:
            while line := await reader.readline():
                if line.startswith(b"data: "):
                    self._take(line, view)
        finally:
            writer.close()

    async def _socket(self, address: str, view: dict[bytes, int]) -> None:
        with suppress(websockets.exceptions.ConnectionClosed):
            async with websockets.connect(address, compression=None, close_timeout=1) as socket:
                await socket.send('{"id":"a","subscribe":"counters"}')
                async for message in socket:
                    self._take(message.encode() if isinstance(message, str) else message, view)

    def _take(self, data: bytes, view: dict[bytes, int]) -> None:
        now = time.monotonic_ns()
        if self.frames < len(self.views):
            self._ready.release()
        self.frames += 1
        self._last = time.monotonic()
        for key, n, at in ROW.findall(data):
            view[key] = int(n)
            self.delays.append((now - int(at)) / 1e9)
