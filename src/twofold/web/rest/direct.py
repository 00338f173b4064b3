"""Requests for generated routes, past FastAPI's routing: one lookup instead of a match with every route.

All middleware still works on them, and routes that come first still take precedence. Only FastAPI's two innermost
layers are left out: the one that closes a form's files, which no generated route takes, and the one that turns errors
into responses, which is used when there is an error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.routing import iter_route_contexts
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from twofold.api.addresses import Address


class Generated(Protocol):
    """A generated route."""

    @property
    def at(self) -> Address:
        """Its address."""
        ...

    @property
    def endpoint(self) -> Any:
        """For the scope of a request."""
        ...

    @property
    def answer(self) -> Callable[[Request], Awaitable[Response]]:
        """Handles a request."""
        ...


Taken = tuple[Generated, Mapping[str, str]]


class Direct:
    """ASGI middleware inside all others."""

    def __init__(self, app: ASGIApp, routes: Sequence[Generated]) -> None:
        self._app, self._generated = app, routes
        self._known = -1
        self._candidates: dict[tuple[str, int, str | None], list[_Candidate]] = {}
        self._fixed: dict[tuple[str, str], Generated] = {}
        """By method and path: the routes that were found at addresses without parameters."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        taken = self._taken(scope)
        if taken is None:
            await self._app(scope, receive, send)
            return
        route, parameters = taken
        scope["route"], scope["endpoint"], scope["path_params"] = route, route.endpoint, parameters
        try:
            response = await route.answer(Request(scope, receive))
            await response(scope, receive, send)  # raises only before it has begun, if it is a stream of events
        except Exception as error:
            await _failed(scope["app"], error)(scope, receive, send)

    def _taken(self, scope: Scope) -> Taken | None:
        """The route for this request; None if FastAPI must look for it."""
        if scope["type"] != "http" or scope.get("root_path") or b"%" in scope.get("raw_path", b"%"):
            return None
        routes = scope["app"].router.routes
        if len(routes) != self._known:
            self._look(routes)
        method, path = scope["method"], scope["path"]
        fixed = self._fixed.get((method, path))
        return self._found(method, path) if fixed is None else (fixed, {})

    def _found(self, method: str, path: str) -> Taken | None:
        sent = path.split("/")[1:]
        if not sent:  # `GET *`
            return None
        count = len(sent)
        for first in (*sent[:1], None):  # `OPTIONS *` has no segment
            for one in self._candidates.get((method, count, first), ()):
                if one.is_at(sent):
                    parameters = {name: sent[place] for place, name in one.parameters}
                    if not one.is_first or not all(parameters.values()):
                        return None
                    if not parameters:
                        self._fixed[method, path] = one.route
                    return one.route, parameters
        return None

    def _look(self, routes: Sequence[BaseRoute]) -> None:
        """Find out which generated routes another one may take precedence over."""
        earlier = routes[: min((routes.index(route) for route in self._generated), default=0)]
        self._candidates, self._fixed = {}, {}
        for route in self._generated:
            one = _Candidate(route, not any(_may_match(other, route.at) for other in _paths(earlier)))
            self._candidates.setdefault(one.place, []).append(one)
        self._known = len(routes)


class _Candidate:
    """A generated route: its literal segments and parameters by place, and whether no other route may come first."""

    def __init__(self, route: Generated, is_first: bool) -> None:
        self.route, self.is_first = route, is_first
        segments = list(enumerate(route.at.segments))
        self.literal = [(place, text) for place, text in segments if not text.startswith("{")]
        self.parameters = [(place, text[1:-1]) for place, text in segments if text.startswith("{")]
        first = None if route.at.segments[0].startswith("{") else route.at.segments[0]
        self.place = (route.at.method, len(segments), first)

    def is_at(self, sent: Sequence[str]) -> bool:
        """Whether these segments are its address."""
        return all(sent[place] == text for place, text in self.literal)


def _paths(routes: Iterable[BaseRoute]) -> Iterator[str]:
    """The paths of routes, where `:path` stands for any number of segments."""
    for one in iter_route_contexts(list(routes)):
        route = one.original_route
        if isinstance(route, Mount):
            yield f"{route.path}/{{rest:path}}"
        else:
            yield str(getattr(one, "path", None) or getattr(route, "path", "/{any:path}"))


def _may_match(path: str, at: Address) -> bool:
    """Whether a route with this path may take a request for the address, as far as their segments tell."""
    theirs = path.split("/")[1:]
    for one, ours in zip(theirs, at.segments, strict=False):
        if ":path" in one:
            return True
        if "{" not in one and not ours.startswith("{") and one != ours:
            return False
    return len(theirs) == len(at.segments) or ":path" in path


def _failed(app: FastAPI, error: Exception) -> ASGIApp:
    """The app's response to an error, as its own exception handlers make it; others are raised again."""

    async def raising(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    handlers: dict[Any, Any] = {
        kind: handler for kind, handler in app.exception_handlers.items() if kind not in (500, Exception)
    }
    return ExceptionMiddleware(raising, handlers)
