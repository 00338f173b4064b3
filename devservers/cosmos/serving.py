"""The server: uvicorn with one process, in the foreground or as a process of a test."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from devservers.cosmos.account import Account
from devservers.cosmos.http import TRANSPORT, Served
from devservers.sockets import HOST

KEEP_ALIVE_S = 600
LAST_WORDS_S = 2
DATABASE, CONTAINER = "twofold", "events"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is reached, and with which key."""

    port: int
    key: str
    tls: bool = False

    @property
    def endpoint(self) -> str:
        """The account's address."""
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}/"

    @property
    def connection_string(self) -> str:
        """What the SDKs take."""
        return f"AccountEndpoint={self.endpoint};AccountKey={self.key};"

    @property
    def url(self) -> str:
        """What twofold takes, with the key in COSMOS_KEY."""
        return f"cosmos://{HOST}:{self.port}/{DATABASE}/{CONTAINER}{'' if self.tls else '?tls=off'}"


class Joined:
    """A connection that sends in one piece what is written in one turn of the loop: the head and body of an answer.

    Each piece is a system call here and a turn of the client's loop, which together cost more than the request itself.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._pieces = transport, list[bytes]()
        self._soon = asyncio.get_running_loop().call_soon

    def write(self, data: bytes) -> None:
        """Send it with whatever else is written in this turn."""
        if not self._pieces:
            self._soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        """Close, once everything written is sent."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._pieces and not self._transport.is_closing():
            self._transport.write(b"".join(self._pieces))
        self._pieces.clear()


class Protocol(HttpToolsProtocol):
    """HTTP whose connections can be broken on request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Serve a connection."""
        super().connection_made(Joined(transport))  # type: ignore[arg-type]

    def on_message_begin(self) -> None:
        """Let the app reach the connection of its request."""
        super().on_message_begin()
        self.scope[TRANSPORT] = self.transport  # type: ignore[literal-required]


class Server(uvicorn.Server):
    """uvicorn that says when it serves, and ends with status 0 on SIGINT and SIGTERM."""

    def __init__(self, config: uvicorn.Config, address: Address) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, then print how to reach it."""
        await super().startup(sockets)
        print(self._address.connection_string, flush=True)  # noqa: T201
        print(self._address.url, flush=True)  # noqa: T201

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in order, without the signal being raised again afterwards."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield


def serve(account: Account, on: socket.socket, address: Address, certificate: tuple[Path, Path] | None) -> None:
    """Serve until SIGINT or SIGTERM."""
    tls: dict[str, Any] = {}
    if certificate is not None:
        tls = {"ssl_certfile": str(certificate[0]), "ssl_keyfile": str(certificate[1])}
    config = uvicorn.Config(
        Served(account.handle),
        http=Protocol,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=LAST_WORDS_S,
        **tls,
    )
    Server(config, address).run(sockets=[on])
