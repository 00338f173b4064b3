"""Serve until told to stop; then finish what was begun, let go of the checkpoints, and close the files."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from twofold.errors import TwofoldError
from twofold.web.logs import configure_logs

STOP_TIMEOUT_S = 10
BACKLOG = 2_048


def serve(
    open_app: Callable[[], AbstractAsyncContextManager[ASGIApp]],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    announce: Callable[[str], None] = print,
) -> int:
    """Open the app, serve it until SIGTERM or SIGINT, close it; answers the exit status.

    `announce` is called with the address once it serves. What keeps it from starting is said in one sentence.
    """
    configure_logs()
    try:
        listening = listen(host, port)
    except OSError as error:
        return _sorry(_why_not(error, host, port))
    with listening, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            runner.run(_serve(open_app, listening, announce))
        except TwofoldError as error:
            return _sorry(str(error))
        except KeyboardInterrupt:  # before there was anything to stop
            return 130
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address; port 0 means any. Raises: OSError."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family, backlog=BACKLOG)


async def _serve(
    open_app: Callable[[], AbstractAsyncContextManager[ASGIApp]],
    listening: socket.socket,
    announce: Callable[[str], None],
) -> None:
    async with open_app() as app:
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=STOP_TIMEOUT_S
        )
        server = _Server(config)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.handle_exit, number, None)
        announce(_address(listening))
        await server.serve(sockets=[listening])


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn would raise them again when it has stopped, before anything else is closed."""
        yield


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    return uvicorn.Config("", log_config=None).get_loop_factory()


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken: stop what listens there, or choose another with --port"
    return f"cannot listen on {host}, port {port}: {error.strerror or error}"


def _sorry(sentence: str) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201 (for whoever started it, logs or not)
    return 1
