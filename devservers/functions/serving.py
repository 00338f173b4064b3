"""The server: uvicorn on this machine only, which says when it serves and ends in order."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from devservers.sockets import HOST

LAST_REQUESTS_S = 5


def address(on: socket.socket) -> str:
    """Where it is reached."""
    return f"http://{HOST}:{on.getsockname()[1]}"


class Server(uvicorn.Server):
    """Calls `serves` once it serves; a SIGINT or SIGTERM makes `serve` return when the last requests are done."""

    def __init__(self, app: Any, serves: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=LAST_REQUESTS_S,
        )
        super().__init__(config)
        self._serves = serves

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, then say so."""
        await super().startup(sockets)
        self._serves()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Without raising the signal again afterwards."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield
