"""WebSockets of uvicorn, with a limit on the time that a client may take to read, and refusals as problem details."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Response
from websockets.server import ServerProtocol

from twofold.web.problems import MEDIA_TYPE, Problem
from twofold.web.serving.limits import Limits
from twofold.web.serving.outgoing import Outgoing

STOPPING_S = 1.0


class WebSocketConnection(WebSocketsSansIOProtocol):
    """One connection. uvicorn sends pings; it would wait without limit for a client that no longer reads."""

    limits = Limits()

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.conn.__class__ = _Handshake
        self._outgoing, self._answer_s = Outgoing(), self.limits.answer_s

    async def send(self, message: Any) -> None:
        """See ASGI."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # it was refused, which uvicorn logs as an error of the app

    def handle_ping(self) -> None:
        """See uvicorn. A client that reads nothing gets no pongs, or it could fill the memory with them."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def shutdown(self) -> None:
        """See uvicorn: the server stops."""
        super().shutdown()
        self._answer_s = STOPPING_S

    def look(self, now: float) -> None:
        """End it when the client has taken too long."""
        size = self.transport.get_write_buffer_size()
        if self._outgoing.untaken_s(size, now, is_stream=True) > self._answer_s:
            self.transport.abort()


class _Handshake(ServerProtocol):
    """uvicorn makes a plain `ServerProtocol`, which refuses a handshake with a text."""

    def reject(self, status: HTTPStatus | int, text: str) -> Response:
        """See websockets."""
        response = super().reject(status, text)
        if response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            problem = Problem(response.status_code, "invalid-request", text.strip())
            response.body = msgspec.json.encode(problem.content(""))
            for name, value in (("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(response.body)))):
                del response.headers[name]
                response.headers[name] = value
        return response


def websockets_with(bounds: Limits) -> type[WebSocketConnection]:
    """The connection class for uvicorn, with these limits."""

    class Bounded(WebSocketConnection):
        limits = bounds

    return Bounded
