"""A FastAPI app around a running App: errors, health, logs and documentation in their places; routers are yours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase

from twofold.app import Running
from twofold.errors import ConfigurationError
from twofold.web import docs, openapi, problems
from twofold.web.actors import nobody
from twofold.web.commands import ActorOf, asked
from twofold.web.health import Readiness, health_routes
from twofold.web.idempotency import KEEP_S, LONGEST_KEEP_S, Idempotency
from twofold.web.logs import AccessLog
from twofold.web.methods import Methods
from twofold.write.requests import KeepsRequests


def web_app(
    running: Running,
    *routers: APIRouter,
    title: str,
    actor: ActorOf,
    version: str = "1",
    description: str = "",
    keep_answers_s: float = KEEP_S,
) -> FastAPI:
    """The app, with these routers (see `routes.router`).

    `actor` returns the id of the user who sends a request, or None where nobody is logged in; it may be a coroutine
    function. It is recorded with every event, and an Idempotency-Key belongs to it: with the same key, another user's
    request is another request. An App without users says `actor=nobody`.

    Answers to requests with a key are kept for `keep_answers_s` seconds.

    Raises: ConfigurationError where `actor=nobody` stands beside commands that read credentials, or the store cannot
    keep answers to commands.
    """
    if not isinstance(keep_answers_s, int | float) or not 0 < keep_answers_s <= LONGEST_KEEP_S:
        raise ConfigurationError(f"keep_answers_s is a number of seconds, above 0 and at most {LONGEST_KEEP_S:.0f}")
    for route in _command_routes(routers):
        _check_command(route, running, actor)
    own_docs = docs.own_docs_available()
    app = FastAPI(
        title=title,
        version=version,
        description=description,
        docs_url=None if own_docs else "/docs",
        redoc_url=None,
        redirect_slashes=False,  # the address would be made of whatever Host the request names
    )
    app.state.running = running
    if isinstance(running.log, KeepsRequests):
        app.state.idempotency = Idempotency(running.log.requests, keep_answers_s)
    app.state.readiness = Readiness(running)
    app.state.actor = actor
    problems.install(app)
    openapi.install(app)
    app.add_middleware(Methods)
    app.add_middleware(AccessLog)
    if own_docs:
        docs.install(app)
    for router in (*routers, health_routes()):
        app.router.routes.extend(router.routes)  # included as they are, each request would be matched through layers
    return app


def _command_routes(routers: Iterable[APIRouter]) -> Iterator[APIRoute]:
    routes = (route for router in routers for route in router.routes if isinstance(route, APIRoute))
    return (route for route in routes if any(one.call is asked for one in _all(route.dependant)))


def _check_command(route: APIRoute, running: Running, actor: ActorOf) -> None:
    """Raises: ConfigurationError when users would share their keys, or there is no place for answers."""
    name = f"{', '.join(sorted(route.methods or ()))} {route.path}"
    if not isinstance(running.log, KeepsRequests):
        raise ConfigurationError(
            f"{name} takes an Idempotency-Key, and this store ({type(running.log).__name__}) cannot keep answers: "
            f"implement KeepsRequests of twofold.write.requests"
        )
    read = next(_credentials(_all(route.dependant)), None)
    if actor is nobody and read is not None:
        raise ConfigurationError(
            f"{name} reads {read}, and actor=nobody says that this App has no users: two of them with one "
            f"Idempotency-Key would get one answer. Hand in actor=, a function that returns the user's id; if these "
            f"credentials do not tell users apart, one that returns None"
        )


def _credentials(dependencies: Iterable[Dependant]) -> Iterator[str]:
    """What FastAPI is told to read that says who sends a request."""
    for one in dependencies:
        call: object = one.call
        if isinstance(call, SecurityBase):
            yield f"credentials ({call.scheme_name})"
        for header in one.header_params:
            if header.alias.lower() == "authorization":
                yield "the header Authorization"
        for cookie in one.cookie_params:
            yield f"the cookie {cookie.alias!r}"


def _all(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for dependency in dependant.dependencies:
        yield from _all(dependency)


async def running_app(request: Request) -> Running:
    """A dependency: the App that this request is for."""
    found: Running = request.app.state.running
    return found


Run = Annotated[Running, Depends(running_app)]
