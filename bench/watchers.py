"""Clients that watch counters: they note how long each change took to arrive, and what they know in the end.

They share the processor with the server, so each is a protocol without a task or a stream of its own, and none of them
is looked at by a collection.
"""

import asyncio
import gc
import re
import resource
import time
from collections.abc import Iterator
from functools import partial
from typing import Self
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from bench.process import SideFailed

ROW = re.compile(rb'"key": ?"(k\d+)", ?"n": ?(\d+), ?"at": ?"?(\d+)')
AT_ONCE = 50
REST_S = 0.3
BEGIN_TIMEOUT_S = 120.0


class Watchers:
    """What all clients have seen. `delays` are of rows, in seconds."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.views: list[dict[bytes, int]] = []
        self.stuck: list[StuckSocket] = []
        self.frames = 0
        self._transports: list[asyncio.BaseTransport] = []
        self._ready = asyncio.Semaphore(AT_ONCE)
        self._last = time.monotonic()
        self._failed: list[str] = []
        self._begun = 0
        self._ending = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending = True
        for transport in self._transports:
            transport.close()
        gc.unfreeze()
        if self._failed:
            raise SideFailed(f"{len(self._failed)} watchers have ended: {self._failed[0]}")

    async def begin(self, addresses: Iterator[str]) -> None:
        """Connect a client to each address, and wait for its snapshot. `ws:` is a WebSocket, on everything."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(BEGIN_TIMEOUT_S):
            for address in addresses:
                await self._ready.acquire()
                self._check()
                client = client_of(self, address)
                if isinstance(client, StuckSocket):
                    self.stuck.append(client)
                else:
                    self.views.append(client.view)
                url = urlsplit(address)
                transport, _ = await loop.create_connection(partial(_same, client), url.hostname or "", url.port or 0)
                self._transports.append(transport)
            for _ in range(AT_ONCE):
                await self._ready.acquire()
        self._check()
        gc.collect()
        gc.freeze()
        self.delays.clear()
        self.frames = 0

    async def rest(self) -> None:
        """Wait until nothing more arrives."""
        self._last = time.monotonic()
        while time.monotonic() - self._last < REST_S:  # noqa: ASYNC110 (silence has no event)
            await asyncio.sleep(REST_S / 4)

    async def all_have(self, changes: int, timeout_s: float) -> None:
        """Wait until every client has seen this number of changes. Raises: SideFailed."""
        try:
            async with asyncio.timeout(timeout_s):
                while any(sum(view.values()) < changes for view in self.views):  # noqa: ASYNC110 (it is a benchmark)
                    await asyncio.sleep(REST_S)
        except TimeoutError:
            raise SideFailed(f"after {timeout_s:g} s a client has not seen all {changes} changes") from None

    def began(self) -> None:
        """A client has its snapshot."""
        self._ready.release()

    def take(self, view: dict[bytes, int], data: bytes, frames: int = 1) -> None:
        """Rows have arrived."""
        now = time.monotonic_ns()
        self.frames += frames
        self._last = now / 1e9
        for key, n, at in ROW.findall(data):
            view[key] = int(n)
            self.delays.append((now - int(at)) / 1e9)

    def lost(self, why: str) -> None:
        """A connection has ended."""
        if not self._ending:
            self._failed.append(why)
            self._ready.release()

    def _check(self) -> None:
        if self._failed:
            raise SideFailed(self._failed[0])


class Client(asyncio.Protocol):
    """A connection."""

    def __init__(self, watchers: Watchers, address: str) -> None:
        self.watchers, self.address = watchers, address
        self.view: dict[bytes, int] = {}
        self._begun = False

    def took(self, data: bytes, frames: int = 1) -> None:
        """Rows have arrived, at first a snapshot."""
        self.watchers.take(self.view, data, frames)
        if not self._begun:
            self._begun = True
            self.watchers.began()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.watchers.lost(f"the connection was closed: {exc}")


class Events(Client):
    """Server-sent events."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        url = urlsplit(self.address)
        transport.write(f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: text/event-stream\r\n\r\n".encode())
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        lines, _, self._rest = (self._rest + data).rpartition(b"\n")
        frames = lines.count(b"data: ")
        if frames:
            self.took(lines, frames)


class Socket(Client):
    """A WebSocket with one subscription."""

    subprotocol: Subprotocol | None = None
    hello = b'{"id":"a","subscribe":"counters"}'

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        wanted = None if self.subprotocol is None else [self.subprotocol]
        self._protocol = ClientProtocol(parse_uri(self.address), subprotocols=wanted, max_size=None)
        self._protocol.send_request(self._protocol.connect())
        self._send()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self.say(self.hello)
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.told(bytes(event.data))
        self._send()

    def told(self, data: bytes) -> None:
        """A message has arrived."""
        self.took(data)

    def say(self, data: bytes) -> None:
        """Send a message."""
        self._protocol.send_text(data)

    def _send(self) -> None:
        """What the protocol has to say: requests, messages, and pongs."""
        if out := b"".join(self._protocol.data_to_send()):
            self._transport.write(out)


class StuckSocket(Socket):
    """Many subscriptions of one connection, which is not read from `stop` to `go_on`. It knows what the last has."""

    subscriptions = 100

    def __init__(self, watchers: Watchers, address: str) -> None:
        super().__init__(watchers, address)
        self._views: dict[bytes, dict[bytes, int]] = {}

    def say(self, data: bytes) -> None:
        """Subscribe, again and again."""
        for number in range(self.subscriptions):
            super().say(data.replace(b'"a"', b'"%d"' % number))

    def told(self, data: bytes) -> None:
        """See Socket."""
        name = data[:16].split(b'"')[3]
        view = self._views.setdefault(name, {})
        view.update((key, int(n)) for key, n, _ in ROW.findall(data))
        if not self._begun and len(self._views) == self.subscriptions:
            self._begun = True
            self.watchers.began()

    def stop(self) -> None:
        """Do not read."""
        self._transport.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def agrees(self, table: dict[bytes, int]) -> bool:
        """Whether all subscriptions know the table."""
        return all(view == table for view in self._views.values())


class GraphQLSocket(Socket):
    """A subscription of GraphQL, by graphql-transport-ws."""

    subprotocol = Subprotocol("graphql-transport-ws")
    hello = b'{"type":"connection_init"}'
    query = b'{"id":"a","type":"subscribe","payload":{"query":"subscription { counters { key n at } }"}}'

    def told(self, data: bytes) -> None:
        """See Socket."""
        if b'"connection_ack"' in data:
            self.say(self.query)
        elif b'"error"' in data[:40]:
            self.watchers.lost(f"the subscription was refused: {data[:300]!r}")
        else:
            super().told(data)


class GraphQLRows(GraphQLSocket):
    """The same of twofold, which sends rounds of rows. An integer of GraphQL has 32 bits, so the time is a text."""

    query = GraphQLSocket.query.replace(b"counters { key n at }", b"countersList { rows { key n at: text } }")


def _same(client: Client) -> Client:
    return client


def client_of(watchers: Watchers, address: str) -> Client:
    """The client for an address."""
    if address.endswith("#stuck"):
        return StuckSocket(watchers, address.removesuffix("#stuck"))
    if address.endswith("#rows"):
        return GraphQLRows(watchers, address.removesuffix("#rows"))
    if address.startswith("ws:"):
        return (GraphQLSocket if address.endswith("/graphql") else Socket)(watchers, address)
    return Events(watchers, address)
