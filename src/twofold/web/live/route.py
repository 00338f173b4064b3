"""Routes for WebSockets: which pages may connect, and how a connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from starlette.requests import HTTPConnection
from starlette.routing import Match, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from twofold.api import Api
from twofold.web.live.together import first_of
from twofold.web.problems import Problem
from twofold.web.serving.admission import SERVICE_RESTART, admission_of

T = TypeVar("T")

LIVE = "/live"
POLICY_VIOLATION = 1008  # why a WebSocket is closed


class SocketRoute(WebSocketRoute):
    """A route for the pages of allowed origins, which logs can name. `serve` accepts the connection or refuses it."""

    def __init__(self, path: str, serve: Callable[[WebSocket], Awaitable[None]], name: str) -> None:
        async def from_allowed_origins(websocket: WebSocket) -> None:
            if is_allowed_origin(websocket):
                await serve(websocket)
                return
            origin = websocket.headers.get("origin")
            detail = f"Pages of the origin {origin!r:.80} may not use this: its Api has to name it in cors="
            await websocket.send_denial_response(Problem(403, "forbidden", detail).response(websocket))

        super().__init__(path, from_allowed_origins, name=name)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See Starlette."""
        match, child = super().matches(scope)
        return match, {**child, "route": self}


async def no_route(default: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """What a router does when no route matches: it would refuse a WebSocket without a word."""
    if scope["type"] != "websocket":
        await default(scope, receive, send)
        return
    problem = Problem(
        404, "not-found", f"There is no WebSocket at {quote(scope['path']):.200}; live rows are at {LIVE}"
    )
    await WebSocket(scope, receive, send).send_denial_response(problem.response(HTTPConnection(scope)))


def is_allowed_origin(websocket: WebSocket) -> bool:
    """Whether the page that opens the connection is of this server, or of an origin that CORS names."""
    origin = websocket.headers.get("origin")
    if origin is None:
        return True
    api: Api = websocket.app.state.api
    return origin in api.cors or origin.partition("://")[2] == websocket.headers.get("host")


def decoded(decoder: msgspec.json.Decoder[T], sent: str | bytes, detail: str) -> T:
    """What a client has sent. Raises: Problem 400 with this detail, and why it is not such a message."""
    try:
        return decoder.decode(sent)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        why = str(error)
    except RecursionError:
        why = "it is nested too deeply"
    raise Problem(400, "invalid-json", f"{detail}: {why}")


async def until_it_ends(websocket: WebSocket, talk: Coroutine[Any, Any, None]) -> None:
    """Talk with a client until that ends, the client leaves, or the process stops; then close it."""
    admission = admission_of(websocket.scope)
    ending = asyncio.Event() if admission is None else admission.ending
    try:
        await first_of(talk, ending.wait())
        await websocket.close(SERVICE_RESTART if ending.is_set() else POLICY_VIOLATION)
    except WebSocketDisconnect:
        pass  # the client has left
