"""uvicorn, as this server runs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from twofold.web.serving.connections import connections_with
from twofold.web.serving.limits import Limits


class Server(uvicorn.Server):
    """A server that leaves signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See uvicorn, which raises signals again once stopped, before anything else is closed."""
        yield


def config_of(app: ASGIApp, limits: Limits, may_go_on_s: int) -> uvicorn.Config:
    """How to serve an app. Requests that are running when it stops have `may_go_on_s`."""
    return uvicorn.Config(
        app,
        http=connections_with(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=may_go_on_s,
    )
