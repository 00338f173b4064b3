"""HTTP rules for every route, plain FastAPI ones too: HEAD works where GET does, and no precondition is ignored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twofold.web.dependencies import with_dependencies
from twofold.web.headers import is_sent
from twofold.web.problems import ANSWERS_HEAD, Problem
from twofold.web.routes import StrictRoute

PRECONDITIONS = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range")
_AS_SENT = tuple(name.lower().encode() for name in PRECONDITIONS)
CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Methods:
    """ASGI middleware inside a FastAPI app.

    HEAD returns what GET would, without the body, unless a route handles HEAD itself; a stream ends after its headers.

    A change (POST, PUT, PATCH, DELETE) with a precondition that its route does not evaluate is refused with 400
    `unknown-precondition`: ignoring it could do what the client ruled out. A route evaluates the preconditions
    that it, or one of its dependencies, declares as header parameters. A plain FastAPI route that takes the `Request`
    may read the headers itself, so it is not checked. The route of another class says in `evaluates` what it evaluates.
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
        routes = [route for route in scope["app"].routes if not isinstance(route, Mount)]  # it matches any method
        own = any(route.matches(scope)[0] is Match.FULL for route in routes)
        ended = asyncio.timeout(None)

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
            elif ended.when() is None:
                await send({"type": "http.response.body", "body": b""})
                if message.get("more_body"):
                    ended.reschedule(0)
            else:
                await asyncio.sleep(0)  # lets the timeout end a stream that never waits

        inner = scope if own else {**scope, "method": "GET"}
        try:
            async with ended:
                await self._app(inner, receive, without_body)
        except TimeoutError:
            if not ended.expired():
                raise
        finally:
            scope["route"] = inner.get("route")  # for the log


def _refusal(scope: Scope) -> ASGIApp | None:
    """The response to a precondition that the route does not evaluate; None if there is none."""
    if not is_sent(scope, *_AS_SENT):
        return None
    sent = [name for name in PRECONDITIONS if name in Headers(scope=scope)]
    known = _evaluated(scope)
    for name in sent:
        if name not in known:
            others = f"evaluates only {' and '.join(sorted(known))}" if known else "evaluates no preconditions"
            detail = f"{scope['method']} {scope['path']!r:.80} {others}. Nothing was changed: send it without {name}"
            return Problem(400, "unknown-precondition", detail).response(Request(scope))
    return None


def _evaluated(scope: Scope) -> set[str]:
    """The preconditions that the route of this request evaluates, as far as they can be known; otherwise all."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    for route in iter_route_contexts(scope["app"].routes):
        if not isinstance(route.original_route, APIRoute):
            if route.original_route.matches(scope)[0] is Match.FULL:
                return set(getattr(route.original_route, "evaluates", PRECONDITIONS))
        elif scope["method"] in (route.methods or ()) and route.path_regex.match(path):
            return _known(route, scope["app"].dependency_overrides)
    return set(PRECONDITIONS)


def _known(route: RouteContext, overrides: Mapping[Any, Any]) -> set[str]:
    dependants = list(with_dependencies(route.dependant, overrides))
    declared = {name.lower() for each in dependants for field in each.header_params for name in _names(field)}
    reads_request = not isinstance(route.original_route, StrictRoute) and any(map(_has_request, dependants))
    return {name for name in PRECONDITIONS if reads_request or name.lower() in declared}


def _names(field: Any) -> Iterator[str]:
    """The header of a parameter, or all headers of a parameter that is a model."""
    model = field.field_info.annotation
    if isinstance(model, type) and issubclass(model, BaseModel):
        yield from ((info.alias or name).replace("_", "-") for name, info in model.model_fields.items())
    else:
        yield field.alias


def _has_request(dependant: Dependant) -> bool:
    """Whether a user's function takes the request itself."""
    given = dependant.request_param_name or dependant.http_connection_param_name
    ours = getattr(dependant.call, "__module__", "").startswith(("twofold.web.", "fastapi."))
    return given is not None and not ours
