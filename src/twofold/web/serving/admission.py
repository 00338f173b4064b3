"""Admission: requests beyond the limits are refused at once, so that admitted ones finish in good time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sized

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twofold.telemetry import Metric
from twofold.web.cors import like
from twofold.web.headers import is_sent
from twofold.web.problems import Problem, cut_off, overloaded, stopping
from twofold.web.serving.limits import Limits

READS = frozenset({"GET", "HEAD", "OPTIONS"})
ALWAYS = frozenset({"/health/live", "/health/ready", "/metrics"})
NOTE_EVERY_S = 1.0
READS_MAY_GO_ON_S = 1.0
WATCHERS_MAY_GO_ON_S = 3.0  # they end at once, unless their clients do not read
COMMANDS_MAY_GO_ON_S = 6.0
EVENTS = "text/event-stream"
SERVICE_RESTART = 1012  # why a WebSocket is closed

_IN_SCOPE = "twofold.admission"

log = logging.getLogger("twofold.web")


class Lane:
    """Requests of one kind: those in progress, and how many were refused."""

    def __init__(self, kind: str, limit: int) -> None:
        self.kind, self.limit = kind, limit
        self.refused = 0
        self.running: set[asyncio.Timeout] = set()
        self._noted, self._noted_at = 0, float("-inf")

    def check(self) -> None:
        """Raises: Problem 503 when the limit is reached."""
        if len(self.running) >= self.limit:
            self.refused += 1
            self._note()
            raise overloaded(self.limit, f"{self.kind} are already in progress")

    def _note(self) -> None:
        """Log at most once a second: a line for each refusal would cost more than the refusal."""
        now = asyncio.get_running_loop().time()
        if now - self._noted_at >= NOTE_EVERY_S:
            log.warning("%d %s refused: %d are in progress", self.refused - self._noted, self.kind, self.limit)
            self._noted, self._noted_at = self.refused, now


class Admission:
    """ASGI middleware around everything else. Health and metrics requests are always admitted."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._like_app = app, like(app)
        self.reads, self.commands = Lane("reads", limits.reads), Lane("commands", limits.commands)
        self.watchers = Lane("watchers", limits.watchers)
        self.ending = asyncio.Event()
        """Set when the process stops: streams and WebSockets then end by themselves."""
        self.connections: Sized = ()
        """Open connections, set by the server."""
        self._stopping = False
        self._present: set[asyncio.Timeout] = set()

    def stop(self) -> None:
        """Refuse new requests. Running commands and reads get time to finish; a read that waits for a token may not."""
        self._stopping = True
        self.ending.set()
        loop = asyncio.get_running_loop()
        loop.call_later(READS_MAY_GO_ON_S, _end, self.reads.running)
        loop.call_later(WATCHERS_MAY_GO_ON_S, _end, self.watchers.running)
        loop.call_later(COMMANDS_MAY_GO_ON_S, self.cut)

    def cut(self) -> None:
        """End everything now."""
        _end(self._present)

    def metrics(self) -> Iterator[Metric]:
        """Open connections, requests in progress, requests refused."""
        lanes = (self.reads, self.commands, self.watchers)
        running = [({"kind": lane.kind}, float(len(lane.running))) for lane in lanes]
        refused = [({"kind": lane.kind}, float(lane.refused)) for lane in lanes]
        yield Metric("twofold_http_connections", "gauge", "Open connections.", [({}, float(len(self.connections)))])
        yield Metric("twofold_http_running", "gauge", "Requests in progress.", running)
        yield Metric("twofold_http_refused_total", "counter", "Requests refused because of a limit.", refused)

    def beside(self, app: ASGIApp) -> ASGIApp:
        """Another app of this process, never refused, whose /metrics are of these requests."""

        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            scope[_IN_SCOPE] = self
            await app(scope, receive, send)

        return noted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        scope[_IN_SCOPE] = self
        if scope["type"] == "websocket":
            await self._watching(scope, receive, send)
            return
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self._app(scope, receive, send)
            return
        answering = False

        async def noting(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            await self._admitted(scope, receive, noting)
        except Problem as problem:
            if answering:
                raise
            await self._like_app(problem.response(Request(scope)))(scope, receive, send)

    async def _watching(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket beyond the limit is refused before it is accepted."""
        try:
            if self._stopping:
                raise stopping()
            self.watchers.check()
        except Problem as problem:
            await problem.response(HTTPConnection(scope))(scope, receive, send)
            return
        turn = asyncio.timeout(None)
        self.watchers.running.add(turn)
        self._present.add(turn)
        try:
            async with turn:
                await self._app(scope, receive, send)
        except TimeoutError:
            if not turn.expired():
                raise
        finally:
            self.watchers.running.discard(turn)
            self._present.discard(turn)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises: Problem 503 when the request is refused or cut off."""
        if self._stopping:
            raise stopping()
        lane = self._lane_of(scope)
        turn = asyncio.timeout(None)
        lane.check()

        async def whole() -> Message:
            """A slow upload takes no slot: a command counts once its body is complete."""
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body") and turn not in lane.running:
                lane.check()
                lane.running.add(turn)
            return message

        self._present.add(turn)
        try:
            async with turn:
                if lane is not self.commands or not _has_body(scope):  # what reads needs no body to begin
                    lane.running.add(turn)
                await self._app(scope, whole, send)
        except TimeoutError:
            if not turn.expired():
                raise
            begun = turn in self.commands.running
            raise (cut_off() if begun else stopping()) from None
        finally:
            lane.running.discard(turn)
            self._present.discard(turn)

    def _lane_of(self, scope: Scope) -> Lane:
        if scope["method"] not in READS:
            return self.commands
        return self.watchers if EVENTS in Headers(scope=scope).get("accept", "").lower() else self.reads


def admission_of(scope: Scope) -> Admission | None:
    """The admission that this request passed through, if any."""
    return scope.get(_IN_SCOPE)


def _end(turns: Iterable[asyncio.Timeout]) -> None:
    for turn in turns:
        if not turn.expired():
            turn.reschedule(0)


def _has_body(scope: Scope) -> bool:
    if not is_sent(scope, b"transfer-encoding", b"content-length"):
        return False
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
