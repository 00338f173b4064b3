"""A FastAPI app around a running App: errors, health, logs and documentation; you add the routers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from fastapi.security.base import SecurityBase
from starlette.types import ASGIApp

from twofold.api import Api, ServedCall, ServedCommand, nobody
from twofold.app import Running
from twofold.errors import ConfigurationError
from twofold.web import docs, graphql, openapi, problems
from twofold.web.commands import asked
from twofold.web.cors import within_cors
from twofold.web.dependencies import with_dependencies
from twofold.web.health import Readiness, health_routes, ops_routes
from twofold.web.idempotency import KEEP_S, LONGEST_KEEP_S, Idempotency
from twofold.web.live import asyncapi
from twofold.web.live.offers import Offers
from twofold.web.live.route import no_route
from twofold.web.live.socket import LiveRoute
from twofold.web.login.documented import document_logins
from twofold.web.logs import AccessLog
from twofold.web.methods import Methods
from twofold.web.rest.commands import CommandEndpoint
from twofold.web.rest.described import describe
from twofold.web.rest.direct import Direct
from twofold.web.rest.routes import routes_of
from twofold.web.routes import StrictRoute
from twofold.write.requests import KeepsRequests


def web_app(
    running: Running,
    api: Api,
    *routers: APIRouter,
    keep_answers_s: float = KEEP_S,
) -> FastAPI:
    """The app: what `api` serves, and these routers (see `routes.router`), which come first.

    The actor of a request is recorded with every event, and an Idempotency-Key belongs to it: with the same key,
    another user's request is another request. Responses to requests with a key are kept for `keep_answers_s` seconds.

    Raises: ConfigurationError if `api` is for another App, if `actor=nobody` is combined with commands that read
    credentials, or if the store cannot keep responses to commands.
    """
    if not isinstance(keep_answers_s, int | float) or not 0 < keep_answers_s <= LONGEST_KEEP_S:
        raise ConfigurationError(f"keep_answers_s is a number of seconds, above 0 and at most {LONGEST_KEEP_S:.0f}")
    if api.app is not running.app:
        raise ConfigurationError(
            f"the Api is for the App {api.app.name}, but {running.app.name} is running: pass the Api of the same App"
        )
    for route in _command_routes(routers):
        _check_command(route, running, api)
    for served in api.served:
        if isinstance(served, ServedCommand | ServedCall):
            _check_keeps_requests(served.owner, running)
    own_docs = docs.own_docs_available()
    app = _WebApp(
        title=api.title,
        version=api.version,
        description=api.description,
        docs_url=None if own_docs else "/docs",
        redoc_url=None,
        redirect_slashes=False,  # the target would contain whatever Host the client sent
    )
    app.state.running = running
    if isinstance(running.log, KeepsRequests):
        app.state.idempotency = Idempotency(running.log.requests, keep_answers_s)
    app.state.readiness = Readiness(running)
    app.state.api = api
    problems.install(app)
    generated = routes_of(api)
    openapi.install(
        app,
        partial(describe, api=api, routes=generated),
        partial(document_logins, app=app, actor=api.actor),
    )
    spoken = graphql.install(app, api)
    app.add_middleware(Direct, routes=[*generated, *spoken])
    app.add_middleware(Methods)
    app.add_middleware(AccessLog)
    if own_docs:
        docs.install(app)
    reads = [route.made for route in generated if not isinstance(route.made, CommandEndpoint)]
    asyncapi.install(app, api, [made for made in reads if made.served.is_live])
    app.state.docs, app.state.ops = tuple(app.router.routes), ops_routes()
    for router in (*routers, health_routes(), app.state.ops):
        _add(app, router)
    app.router.routes.extend([*generated, *spoken])
    app.state.offers = Offers(reads)
    app.router.routes += [LiveRoute(), *graphql.websocket_routes(app)]
    app.router.default = partial(no_route, app.router.default)
    return app


class _WebApp(FastAPI):
    def build_middleware_stack(self) -> ASGIApp:
        """CORS comes first, so that unexpected errors have its headers, too."""
        return within_cors(super().build_middleware_stack(), self.state.api)


def _add(app: FastAPI, router: APIRouter) -> None:
    """Include the router; strict routes are added directly, because FastAPI matches those of an included one twice."""
    if all(isinstance(route, StrictRoute) for route in router.routes):
        app.router.routes.extend(router.routes)
    else:
        app.include_router(router)


def _command_routes(routers: Iterable[APIRouter]) -> Iterator[RouteContext]:
    for route in (route for router in routers for route in iter_route_contexts(router.routes)):
        is_api = isinstance(route.original_route, APIRoute)
        if is_api and any(each.call is asked for each in with_dependencies(route.dependant)):
            yield route


def _check_command(route: RouteContext, running: Running, api: Api) -> None:
    """Raises: ConfigurationError if users would share their keys, or the store cannot keep responses."""
    name = f"{', '.join(sorted(route.methods or ()))} {route.path}"
    _check_keeps_requests(name, running)
    read = next(_credentials(with_dependencies(route.dependant)), None)
    if api.actor is nobody and read is not None:
        raise ConfigurationError(
            f"{name} reads {read}, and actor=nobody says that this App has no users: two of them with one "
            f"Idempotency-Key would get one response. Pass actor=, a function that returns the user's id; if these "
            f"credentials do not tell users apart, one that returns None"
        )


def _check_keeps_requests(name: str, running: Running) -> None:
    """Raises: ConfigurationError if the store cannot keep responses."""
    if not isinstance(running.log, KeepsRequests):
        raise ConfigurationError(
            f"{name} takes an Idempotency-Key, and this store ({type(running.log).__name__}) cannot keep responses: "
            f"implement KeepsRequests of twofold.write.requests"
        )


def _credentials(dependencies: Iterable[Dependant]) -> Iterator[str]:
    """Declared credentials: what tells who sends a request."""
    for dependant in dependencies:
        call: object = dependant.call
        if isinstance(call, SecurityBase):
            yield f"credentials ({call.scheme_name})"
        for header in dependant.header_params:
            if header.alias.lower() == "authorization":
                yield "the header Authorization"
        for cookie in dependant.cookie_params:
            yield f"the cookie {cookie.alias!r}"


async def running_app(request: Request) -> Running:
    """A dependency: the App that this request is for."""
    running: Running = request.app.state.running
    return running


Run = Annotated[Running, Depends(running_app)]
