"""How OpenAPI and the challenge of a 401 describe a login.

An `actor=` may have an attribute `security_scheme`, which is a security scheme of OpenAPI.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold.api import ActorOf

LOGIN = "login"
"""The name of the security scheme in OpenAPI."""


def scheme_of(actor: ActorOf) -> Mapping[str, Any] | None:
    """The security scheme of an `actor=`, if it has one."""
    scheme: Mapping[str, Any] | None = getattr(actor, "security_scheme", None)
    return scheme


def challenge(actor: ActorOf, headers: Mapping[str, str]) -> str:
    """The `WWW-Authenticate` of a 401 to a request with these headers.

    RFC 9110 wants one even where a browser can do nothing with it. Cookies have no registered scheme, and a browser
    ignores one that it does not know, instead of asking for a password.
    """
    match scheme_of(actor):
        case {"type": "apiKey", "in": "cookie", "name": name}:
            return f'Cookie cookie-name="{name}"'
        case {"type": "apiKey", "in": "header", "name": name}:
            return f'ApiKey header="{name}"'
        case {"type": "http", "scheme": str(scheme)} if scheme.lower() != "bearer":
            return f'{scheme.capitalize()} realm="twofold"'
        case _:
            return 'Bearer error="invalid_token"' if "authorization" in headers else "Bearer"
