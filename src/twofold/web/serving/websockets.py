"""WebSockets of uvicorn, with a limit on the time that a client may take to read."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from twofold.web.serving.limits import Limits
from twofold.web.serving.outgoing import Outgoing

STOPPING_S = 1.0


class WebSocketConnection(WebSocketsSansIOProtocol):
    """One connection. uvicorn sends pings; it would wait without limit for a client that no longer reads."""

    limits = Limits()

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._outgoing, self._answer_s = Outgoing(), self.limits.answer_s

    def shutdown(self) -> None:
        """See uvicorn: the server stops."""
        super().shutdown()
        self._answer_s = STOPPING_S

    def look(self, now: float) -> None:
        """End it when the client has taken too long."""
        size = self.transport.get_write_buffer_size()
        if self._outgoing.untaken_s(size, now, is_stream=True) > self._answer_s:
            self.transport.abort()


def websockets_with(bounds: Limits) -> type[WebSocketConnection]:
    """The connection class for uvicorn, with these limits."""

    class Bounded(WebSocketConnection):
        limits = bounds

    return Bounded
