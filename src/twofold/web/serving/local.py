"""For an App that anyone may use, on loopback: no web page of another site uses it through its visitor's browser."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from twofold.api.origins import is_local
from twofold.web.problems import Problem


class LocalOnly:
    """ASGI middleware. Refuses requests (403) from pages of other machines, and for a host that is not this machine.

    A site may have its name point to 127.0.0.1, and its pages then send requests that look like their own. The header
    Host still holds that name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        refusal = _refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal.response(Request(scope))(scope, receive, send)


def _refusal(headers: Headers) -> Problem | None:
    host, origin = headers.get("host", ""), headers.get("origin")
    if not is_local(f"http://{host}"):
        detail = f"This App is served without a login, so only as localhost or 127.0.0.1, not as {host!r:.80}"
    elif origin is not None and not is_local(origin):
        detail = f"This App is served without a login, so not to pages of {origin!r:.80}: declare an Api with cors="
    else:
        return None
    return Problem(403, "forbidden", detail)
