"""What HTTP demands of every route, whoever wrote it: HEAD where there is GET, and no precondition passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twofold.web.problems import ANSWERS_HEAD, Problem
from twofold.web.routes import StrictRoute, with_dependencies

PRECONDITIONS = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range")
CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Methods:
    """ASGI middleware inside a FastAPI app.

    HEAD is answered like GET, without the body, wherever no route takes HEAD itself; a stream ends after its headers.
    A request that changes something is refused (400 `unknown-precondition`) where it names a precondition that its
    route does not: done all the same, it would do what the client has excluded. A route names those that it, or one of
    its dependencies, declares as header parameters. A plain FastAPI route that asks for the `Request` may look for
    itself, and is left to it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        scope[ANSWERS_HEAD] = True
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] == "HEAD":
            await self._head(scope, receive, send)
        else:
            refusal = _refusal(scope) if scope["method"] in CHANGES else None
            await (refusal or self._app)(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        own = any(route.matches(scope)[0] is Match.FULL for route in scope["app"].routes)
        ended = asyncio.timeout(None)

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
            elif ended.when() is None:
                await send({"type": "http.response.body", "body": b""})
                if message.get("more_body"):
                    ended.reschedule(0)
            else:
                await asyncio.sleep(0)  # where it can be ended, if the stream itself never waits

        try:
            async with ended:
                await self._app(scope if own else {**scope, "method": "GET"}, receive, without_body)
        except TimeoutError:
            if not ended.expired():
                raise


def _refusal(scope: Scope) -> ASGIApp | None:
    """The answer to a request with a precondition that its route does not know."""
    sent = [name for name in PRECONDITIONS if name in Headers(scope=scope)]
    route = _route(scope) if sent else None
    known = set(PRECONDITIONS) if route is None else _known(route)
    for name in sent:
        if name not in known:
            others = f"evaluates only {' and '.join(sorted(known))}" if known else "evaluates no preconditions"
            detail = f"{scope['method']} {scope['path']!r:.80} {others}. Nothing was changed: send it without {name}"
            return Problem(400, "unknown-precondition", detail).response(Request(scope))
    return None


def _route(scope: Scope) -> RouteContext | None:
    """The FastAPI route that will handle it; None where there is none, or something else is mounted there."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    for route in iter_route_contexts(scope["app"].routes):
        if not isinstance(route.original_route, APIRoute):
            if route.original_route.matches(scope)[0] is Match.FULL:
                return None
        elif scope["method"] in (route.methods or ()) and route.path_regex.match(path):
            return route
    return None


def _known(route: RouteContext) -> set[str]:
    asking = list(with_dependencies(route.dependant))
    declared = {name.lower() for one in asking for field in one.header_params for name in _names(field)}
    looks_itself = not isinstance(route.original_route, StrictRoute) and any(map(_has_request, asking))
    return {name for name in PRECONDITIONS if looks_itself or name.lower() in declared}


def _names(field: Any) -> Iterator[str]:
    """Of a header parameter, or of all that are together in a model."""
    model = field.field_info.annotation
    if isinstance(model, type) and issubclass(model, BaseModel):
        yield from ((one.alias or name).replace("_", "-") for name, one in model.model_fields.items())
    else:
        yield field.alias


def _has_request(dependant: Dependant) -> bool:
    """Whether somebody else's function gets the request itself."""
    given = dependant.request_param_name or dependant.http_connection_param_name
    ours = getattr(dependant.call, "__module__", "").startswith(("twofold.web.", "fastapi."))
    return given is not None and not ours
