"""/status and /metrics at an address of their own, beside a web app that others can reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socket
from typing import TypeGuard

from fastapi import FastAPI
from starlette.types import ASGIApp

from twofold.web import problems
from twofold.web.health import health_routes, ops_routes
from twofold.web.logs import AccessLog
from twofold.web.methods import Methods
from twofold.web.serving.connections import watch
from twofold.web.serving.limits import Limits
from twofold.web.serving.uvicorn_server import Server, config_of

MAY_GO_ON_S = 1


def is_web_app(app: object) -> TypeGuard[FastAPI]:
    """Whether `web_app` made it, and no other app is around it."""
    return isinstance(app, FastAPI) and hasattr(app.state, "ops")


def moved_off(app: FastAPI) -> FastAPI:
    """Take /status and /metrics off a web app. Returns an app that serves them, and /health too."""
    app.router.routes[:] = [
        route for route in app.router.routes if getattr(route, "original_router", None) is not app.state.ops
    ]
    ops = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    ops.state.running, ops.state.readiness = app.state.running, app.state.readiness
    problems.install(ops)
    ops.add_middleware(Methods)
    ops.add_middleware(AccessLog)
    for routes in (health_routes(), ops_routes()):
        ops.include_router(routes)
    return ops


@asynccontextmanager
async def served_beside(app: ASGIApp, listening: socket, limits: Limits) -> AsyncIterator[None]:
    """Serve an app in this process for as long as the block runs, whatever the load on others."""
    server = Server(config_of(app, limits, MAY_GO_ON_S))
    watching = asyncio.create_task(watch(server.server_state.connections), name="twofold ops connections")
    serving = asyncio.create_task(server.serve(sockets=[listening]), name="twofold ops")
    try:
        yield
    finally:
        server.should_exit = True
        await serving
        watching.cancel()
