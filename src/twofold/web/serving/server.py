"""Serve until a signal arrives; then finish running requests, release the checkpoints, and close the files."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from twofold.errors import TwofoldError
from twofold.web.logs import configure_logs
from twofold.web.serving.admission import Admission
from twofold.web.serving.connections import connections_with, watch
from twofold.web.serving.limits import Limits

BACKLOG = 2_048
UVICORN_MAY_GO_ON_S = 7  # a little longer than commands may: see admission
LAST_WORDS_S = 0.2

OpenApp = Callable[[], AbstractAsyncContextManager[ASGIApp]]

log = logging.getLogger("twofold.web")


def serve(
    open_app: OpenApp,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    announce: Callable[[str], None] = print,
    limits: Limits = Limits(),  # noqa: B008 (it is frozen)
) -> int:
    """Open the app, serve it until SIGTERM or SIGINT, close it; returns the exit status.

    `announce` is called with the address once it serves. A failure to start is printed as one sentence. A second signal
    ends the requests that the first one let finish.
    """
    configure_logs()
    try:
        listening = listen(host, port)
    except OSError as error:
        return _sorry(_why_not(error, host, port))
    with listening, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_run(open_app, listening, announce, limits))
        except TwofoldError as error:
            return _sorry(str(error))


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address; port 0 means any. Raises: OSError."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family, backlog=BACKLOG)


async def _run(open_app: OpenApp, listening: socket.socket, announce: Callable[[str], None], limits: Limits) -> int:
    return await _Service(open_app, listening, announce, limits).run()


class _Service:
    """One run: open, serve, stop."""

    def __init__(
        self, open_app: OpenApp, listening: socket.socket, announce: Callable[[str], None], limits: Limits
    ) -> None:
        self._open_app, self._listening, self._announce, self._limits = open_app, listening, announce, limits
        self._admission: Admission | None = None
        self._server: _Server | None = None
        self._stopping = asyncio.timeout(None)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        try:
            async with self._stopping, self._open_app() as app:
                await self._serve(app)
        except TimeoutError:
            if not self._stopping.expired():
                raise
        return 0

    async def _serve(self, app: ASGIApp) -> None:
        self._admission = Admission(app, self._limits)
        config = uvicorn.Config(
            self._admission,
            http=connections_with(self._limits),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=UVICORN_MAY_GO_ON_S,
        )
        self._server = _Server(config)
        connections = self._admission.connections = self._server.server_state.connections
        watching = asyncio.create_task(watch(connections), name="twofold connections")
        gc.collect()
        gc.freeze()  # what was made until now stays: a collection need not look at it again
        try:
            self._announce(_address(self._listening))
            await self._server.serve(sockets=[self._listening])
        finally:
            watching.cancel()

    def _told_to_stop(self) -> None:
        """The first signal refuses new requests and lets running ones finish; the second cuts them off."""
        loop = asyncio.get_running_loop()
        if self._server is None or self._admission is None:
            self._stopping.reschedule(loop.time())
        elif not self._server.should_exit:
            self._server.should_exit = True
            self._admission.stop()
            loop.call_later(self._limits.stop_s, self._give_up)
        else:
            self._admission.cut()
            loop.call_later(LAST_WORDS_S, setattr, self._server, "force_exit", True)

    def _give_up(self) -> None:
        """The store does not respond, or user code does not end. Whatever was acknowledged is stored."""
        log.error(
            "stopped after %g s before all checkpoints were released: their leases will expire", self._limits.stop_s
        )
        logging.shutdown()
        os._exit(1)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn raises them again once stopped, before anything else is closed."""
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
    print(sentence, file=sys.stderr)  # noqa: T201 (for the user who started it, whatever the logs)
    return 1
