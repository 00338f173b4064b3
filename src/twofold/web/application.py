"""A FastAPI app around a running App: errors, health, logs and documentation in their places; routers are yours."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request

from twofold.app import Running
from twofold.web import docs, operations, problems
from twofold.web.commands import ActorOf
from twofold.web.health import Readiness, health_routes
from twofold.web.idempotency import Idempotency
from twofold.web.logs import AccessLog
from twofold.web.methods import Methods


def _nobody(_: Request) -> None:
    return None


def web_app(
    running: Running,
    *routers: APIRouter,
    title: str,
    version: str = "1",
    description: str = "",
    actor_of: ActorOf = _nobody,
) -> FastAPI:
    """The app, with these routers (see `routes.router`). `actor_of` tells from a request who sends it."""
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
    app.state.idempotency = Idempotency(running)
    app.state.readiness = Readiness(running)
    app.state.actor_of = actor_of
    problems.install(app)
    operations.install(app)
    app.add_middleware(Methods)
    app.add_middleware(AccessLog)
    if own_docs:
        docs.install(app)
    for router in (*routers, health_routes()):
        app.router.routes.extend(router.routes)  # included as they are, each request would be matched through layers
    return app


async def running_app(request: Request) -> Running:
    """A dependency: the App that this request is for."""
    found: Running = request.app.state.running
    return found


Run = Annotated[Running, Depends(running_app)]
