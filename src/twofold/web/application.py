"""A FastAPI app around a running App: errors, health, logs and documentation; you add the routers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

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
from twofold.web.live.offers import Offers, Watched
from twofold.web.live.route import no_route
from twofold.web.live.socket import LiveRoute
from twofold.web.login.documented import document_logins
from twofold.web.logs import AccessLog
from twofold.web.methods import Methods
from twofold.web.rest.commands import CommandEndpoint
from twofold.web.rest.described import describe
from twofold.web.rest.direct import Direct
from twofold.web.rest.routes import ApiRoute, routes_of
from twofold.web.routes import StrictRoute
from twofold.write.requests import KeepsRequests

if TYPE_CHECKING:
    from twofold.web.graphql.endpoint import GraphqlRoute


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
    _check(running, api, routers, keep_answers_s)
    app = _WebApp(
        title=api.title,
        version=api.version,
        description=api.description,
        docs_url=None if docs.own_docs_available() else "/docs",
        redoc_url=None,
        redirect_slashes=False,  # the target would contain whatever Host the client sent
    )
    app.state.running, app.state.api, app.state.readiness = running, api, Readiness(running)
    if isinstance(running.log, KeepsRequests):
        app.state.idempotency = Idempotency(running.log.requests, keep_answers_s)
    problems.install(app)
    generated = routes_of(api)
    reads = [route.made for route in generated if not isinstance(route.made, CommandEndpoint)]
    app.state.offers = Offers(reads)
    made_of_api: list[ApiRoute | GraphqlRoute] = [*generated, *graphql.install(app, api)]
    app.add_middleware(Direct, routes=made_of_api)
    app.add_middleware(Methods)
    app.add_middleware(AccessLog)
    _document(app, api, generated, [made for made in reads if made.served.is_live])
    app.state.docs, app.state.ops = tuple(app.router.routes), ops_routes()
    for router in (*routers, health_routes(), app.state.ops):
        _add(app, router)
    app.router.routes += [*made_of_api, LiveRoute(), *graphql.websocket_routes(app)]
    app.router.default = partial(no_route, app.router.default)
    return app


def _check(running: Running, api: Api, routers: Iterable[APIRouter], keep_answers_s: float) -> None:
    """Raises: ConfigurationError."""
    if not isinstance(keep_answers_s, int | float) or not 0 < keep_answers_s <= LONGEST_KEEP_S:
        raise ConfigurationError(
            f"keep_answers_s={keep_answers_s!r:.80} must be a number of seconds, above 0 and at most "
            f"{LONGEST_KEEP_S:.0f}"
        )
    if api.app is not running.app:
        raise ConfigurationError(
            f"the Api is for the App {api.app.name}, but {running.app.name} is running: pass the Api of the same App"
        )
    for route in _command_routes(routers):
        _check_command(route, running, api)
    for served in api.served:
        if isinstance(served, ServedCommand | ServedCall):
            _check_keeps_requests(served.owner, running)


def _document(app: FastAPI, api: Api, routes: Sequence[ApiRoute], live: Sequence[Watched]) -> None:
    """Add `/openapi.json`, `/asyncapi.json` and, if its files are installed, our own `/docs`."""
    openapi.install(app, partial(describe, api=api, routes=routes), partial(document_logins, app=app, actor=api.actor))
    if app.docs_url is None:
        docs.install(app)
    asyncapi.install(app, api, live)


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
