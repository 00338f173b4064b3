"""Connections of uvicorn, with limits on their number, the size of a head, and the time a client may take.

uvicorn itself waits without limit for a head, a body, or for the client to read the response. Here a watch checks
every connection twice a second, which costs less than a timer per request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from twofold.web.problems import MEDIA_TYPE, Problem, overloaded
from twofold.web.serving.limits import Limits
from twofold.web.serving.outgoing import IN_STATE, Outgoing
from twofold.web.serving.websockets import WebSocketConnection

log = logging.getLogger("twofold.access")

LOOK_EVERY_S = 0.5
LINGER_S = 2.0
STOPPING = Limits(head_s=1, request_s=1, answer_s=1)
LINGER_BYTES = 16 * 1024 * 1024


class Connection(HttpToolsProtocol):
    """One connection. Its own refusals are problem details, too."""

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(transport)
        self.url = b""
        self._in_head, self._head_bytes, self._dropped_bytes = True, 0, 0
        self._refusal: Problem | None = None
        self._ended = False  # whatever else arrives is dropped
        self._expected_since: float | None = self.loop.time()  # a request, or the rest of one
        self._outgoing = Outgoing()
        self._ends_at: float | None = None
        self._linger_s = LINGER_S
        if len(self.connections) > self.limits.connections:
            self._end(overloaded(self.limits.connections, "connections are already open"))

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._ends_at is not None:
            self._dropped_bytes += len(data)
            if self._ended or self._dropped_bytes > LINGER_BYTES:
                return
        if self._expected_since is None and (self.cycle is None or self.cycle.response_complete):
            self._expect()
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.head_bytes and not self._ended:
                self._end(self._too_large())

    def _expect(self) -> None:
        """From now on the client owes a request."""
        self._in_head, self._head_bytes, self._expected_since = True, 0, self.loop.time()

    # ---- callbacks of uvicorn's parser ----------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._expect()

    def on_headers_complete(self) -> None:
        """Its head is complete."""
        self._in_head = False
        size, hosts = len(self.url), 0
        for name, value in self.headers:
            size += len(name) + len(value)
            hosts += name == b"host"
        if size > self.limits.head_bytes:
            self._refuse(self._too_large())
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            self._refuse(Problem(400, "invalid-request", f"A request must have one Host header, not {hosts}"))
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Its body is complete."""
        super().on_message_complete()
        self._ends_at = self._expected_since = None
        if self.cycle is not None and self.cycle.response_complete:
            self._expect()  # it was answered early, and uvicorn does not wait for the next one

    def on_response_complete(self) -> None:
        """The response is complete. The rest of the request's body is dropped, for a short time."""
        super().on_response_complete()
        if self._expected_since is not None and not self._in_head and self.cycle.response_complete:
            self._ends_at = self.loop.time() + self._linger_s

    def _refuse(self, problem: Problem) -> None:
        """Leave the parser. Raises: ValueError, after which uvicorn calls `send_400_response`."""
        self._refusal = problem
        raise ValueError(problem.detail)

    def send_400_response(self, msg: str) -> None:
        """The data is not a valid request, or one that was refused."""
        self._end(self._refusal or Problem(400, "invalid-request", "This is not a valid HTTP request"))

    def _unsupported_upgrade_warning(self) -> None:
        """The client asks for a protocol that is not offered. The parser stops here, so a body would be lost."""
        self.cycle.keep_alive = False
        if any(name in (b"content-length", b"transfer-encoding") and value != b"0" for name, value in self.headers):
            self._end(Problem(400, "invalid-request", "Upgrades are not supported: send the request without Upgrade"))

    # ---- the end ----------------------------------------

    def shutdown(self) -> None:
        """See uvicorn: the server stops. Clients get little time to complete a request."""
        super().shutdown()
        if self._expected_since is not None:
            self._expected_since = self.loop.time()
        self.limits, self._linger_s = STOPPING, 0

    def look(self, now: float) -> None:
        """End it when the client has taken too long."""
        if (self._ends_at is not None and now > self._ends_at) or self._is_untaken(now):
            self.transport.abort()
        elif self._expected_since is None or self._ends_at is not None or self.transport.is_closing():
            return
        elif self.flow.read_paused:
            self._expected_since = now  # we are slow, not the client
        else:
            allowed_s = self.limits.head_s if self._in_head else self.limits.request_s
            if now - self._expected_since > allowed_s:
                self._too_slow(allowed_s)

    def _is_untaken(self, now: float) -> bool:
        is_stream = self.cycle is not None and IN_STATE in self.cycle.scope.get("state", ())
        size = self.transport.get_write_buffer_size()
        return self._outgoing.untaken_s(size, now, is_stream=is_stream) > self.limits.answer_s

    def _too_slow(self, allowed_s: float) -> None:
        if self._in_head and self._head_bytes == 0:  # no request has begun
            self.transport.close()
        else:
            self._end(Problem(408, "request-timeout", f"The request was not complete after {allowed_s:g} s"))

    def _end(self, problem: Problem) -> None:
        """Respond, unless a response has begun, and close once the client has had time to read it."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(self._as_sent(problem))
            log.info("refused: %d %s", problem.status_code, problem.type, extra={"status": problem.status_code})
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write_eof()
        self._ended, self._ends_at = True, self.loop.time() + self._linger_s

    def _too_large(self) -> Problem:
        detail = f"The address and the headers are limited to {self.limits.head_bytes} bytes"
        return Problem(431, "head-too-large", detail)

    def _as_sent(self, problem: Problem) -> bytes:
        path = self.url.partition(b"?")[0][:200]
        body = msgspec.json.encode(problem.content(quote(path, safe="/%")))
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
            **(problem.headers or {}),
        }
        lines = [f"{name}: {value}\r\n".encode() for name, value in headers.items()]
        return b"".join([STATUS_LINE[problem.status_code], *lines, b"\r\n", body])


def connections_with(bounds: Limits) -> type[Connection]:
    """The connection class for uvicorn, with these limits."""

    class Bounded(Connection):
        limits = bounds

    return Bounded


async def watch(connections: Iterable[Any]) -> None:
    """Check all connections, twice a second, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        for connection in [each for each in connections if isinstance(each, Connection | WebSocketConnection)]:
            connection.look(loop.time())
