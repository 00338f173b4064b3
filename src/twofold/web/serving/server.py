"""Serve until a signal arrives; then finish running requests, release the checkpoints, and close the files."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from twofold.errors import ConfigurationError, TwofoldError
from twofold.web.logs import configure_logs
from twofold.web.serving.admission import Admission
from twofold.web.serving.connections import watch
from twofold.web.serving.limits import Limits
from twofold.web.serving.ops import is_web_app, moved_off, served_beside
from twofold.web.serving.sockets import LOOPBACK, address_of, is_loopback, listen, ops_port, why_not
from twofold.web.serving.uvicorn_server import Server, config_of

UVICORN_MAY_GO_ON_S = 7  # a little longer than commands may: see admission
LAST_WORDS_S = 0.2

OpenApp = Callable[[], AbstractAsyncContextManager[ASGIApp]]
Announce = Callable[[str], None]
Ops = tuple[str, int] | None

log = logging.getLogger("twofold.web")


def serve(
    open_app: OpenApp,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    ops: Ops = None,
    announce: Announce = print,
    limits: Limits = Limits(),  # noqa: B008 (it is frozen)
) -> int:
    """Open the app, serve it until SIGTERM or SIGINT, close it; returns the exit status.

    `ops` is where /status and /metrics of a web app are served instead, beside /health; by default that is port
    `ops_port(port)` on loopback, if `host` is not loopback.

    `announce` is called with the address once it serves. A failure to start is printed as one sentence. A second signal
    ends the requests that the first one let finish.
    """
    configure_logs()
    try:
        listening = listen(host, port)
    except OSError as error:
        return _sorry(why_not(error, host, port, "--port"))
    if ops is None and not is_loopback(host):
        ops = LOOPBACK, ops_port(port)
    with listening, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_run(open_app, listening, ops, announce, limits))
        except TwofoldError as error:
            return _sorry(str(error))


async def _run(open_app: OpenApp, listening: socket.socket, ops: Ops, announce: Announce, limits: Limits) -> int:
    return await _Service(open_app, listening, ops, announce, limits).run()


class _Service:
    """One run: open, serve, stop."""

    def __init__(
        self, open_app: OpenApp, listening: socket.socket, ops: Ops, announce: Announce, limits: Limits
    ) -> None:
        self._open_app, self._listening, self._announce, self._limits = open_app, listening, announce, limits
        self._ops = ops
        self._admission: Admission | None = None
        self._server: Server | None = None
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
        self._server = Server(config_of(self._admission, self._limits, UVICORN_MAY_GO_ON_S))
        connections = self._admission.connections = self._server.server_state.connections
        watching = asyncio.create_task(watch(connections), name="twofold connections")
        gc.collect()
        gc.freeze()  # what was made until now stays: a collection need not look at it again
        try:
            async with self._ops_beside(app, self._admission):
                self._announce(address_of(self._listening))
                await self._server.serve(sockets=[self._listening])
        finally:
            watching.cancel()

    @asynccontextmanager
    async def _ops_beside(self, app: ASGIApp, admission: Admission) -> AsyncIterator[None]:
        """Serve /status and /metrics at their own address, if they have one. Raises: ConfigurationError."""
        if self._ops is None or not is_web_app(app):
            yield
            return
        host, port = self._ops
        try:
            listening = listen(host, port)
        except OSError as error:
            raise ConfigurationError(why_not(error, host, port, "--ops")) from None
        with listening:
            log.info("/status and /metrics: %s", address_of(listening))
            async with served_beside(admission.beside(moved_off(app)), listening, self._limits):
                yield

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


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    return uvicorn.Config("", log_config=None).get_loop_factory()


def _sorry(sentence: str) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201 (for the user who started it, whatever the logs)
    return 1
