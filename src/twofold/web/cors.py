"""CORS: which pages of other origins may use an Api from a browser (the `cors=` of an Api)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from twofold.api import Api, nobody
from twofold.web.headers import CORRELATION
from twofold.web.login.schemes import scheme_of
from twofold.web.openapi import HEADERS

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
EXPOSED = tuple(dict.fromkeys([*HEADERS, "Allow", "Total-Count", "WWW-Authenticate", CORRELATION]))
"""What scripts may read of a response, besides what browsers always let them read."""
PREFLIGHT_S = 600


def within_cors(app: ASGIApp, api: Api) -> ASGIApp:
    """The app, with the headers that pages of these origins need, on every response; it responds to preflights itself.

    Cookies are sent along only where the login is a cookie, or where `actor=` does not say what it is.
    """
    if not api.cors:
        return app
    scheme = scheme_of(api.actor)
    by_cookie = api.actor is not nobody if scheme is None else scheme.get("in") == "cookie"
    return CORSMiddleware(
        app,
        allow_origins=api.cors,
        allow_methods=METHODS,
        allow_headers=["*"],  # these pages are trusted: your own routes may read any header
        allow_credentials=by_cookie,
        expose_headers=EXPOSED,
        max_age=PREFLIGHT_S,
    )


def like(app: Any) -> Callable[[ASGIApp], ASGIApp]:
    """How a response that does not come from this web app gets the same headers."""
    api = getattr(getattr(app, "state", None), "api", None)
    return (lambda other: within_cors(other, api)) if isinstance(api, Api) else (lambda other: other)
