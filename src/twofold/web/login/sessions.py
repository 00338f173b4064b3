"""Sessions: a cookie that stands for a login, until it expires or the user logs out."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from starlette.requests import cookie_parser

from twofold.api import Actor
from twofold.api.origins import checked_origins, is_local
from twofold.api.sessions import BeginSession, EndSession, login_sessions
from twofold.app import Running
from twofold.errors import ConfigurationError
from twofold.web.problems import Problem

_TOKEN_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class Sessions:
    """The `actor=` of an Api whose users log in from a browser.

    Routes of your own check who someone is, and send the headers that `begin` returns; from then on the browser sends
    a cookie, which scripts cannot read. `origins` are where the pages are that may use it, like
    `https://garage.example`: a login, or a request with the cookie, from a page of any other origin is refused (403).
    Unless they are all on this machine, they must be https, and so must the App be for its users.

    A session ends after `lasts`, when the `expires` of its actor has passed, or with `end`, at once in every process.
    It is a stream of `login_sessions`, whose id is a hash of the cookie: a reader of the log cannot use it. Every
    request with the cookie reads that stream.

    Raises: ConfigurationError for origins that cannot be, and for an App without `login_sessions`.
    """

    def __init__(self, running: Running, *, origins: Sequence[str], lasts: timedelta = timedelta(hours=12)) -> None:
        if not any(decider is login_sessions for decider in running.app.deciders):
            raise ConfigurationError(
                f"{running.app.name} cannot keep sessions: add login_sessions of twofold.api.sessions to its deciders"
            )
        if lasts <= timedelta(0):
            raise ConfigurationError(f"lasts={lasts!r} must be longer than nothing")
        self._running, self._lasts, self._origins = running, lasts, _checked(origins)
        secure = not all(map(is_local, self._origins))
        self._cookie = "__Host-session" if secure else "session"
        self._attributes = "Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
        self.security_scheme = {"type": "apiKey", "in": "cookie", "name": self._cookie}

    async def __call__(self, headers: Mapping[str, str]) -> Actor | None:
        """The actor of the session; None without one. Raises: Problem 403, Unavailable."""
        stream_id = self._stream_id(headers)
        if stream_id is None:
            return None
        self._check_origin(headers)
        session, _ = await self._running.load(login_sessions, stream_id)
        return None if session is None else Actor(session.actor, session.claims, session.expires)

    async def begin(self, headers: Mapping[str, str], actor: Actor) -> dict[str, str]:
        """Log in. Returns headers for the response. A session that the request has is ended.

        Raises: Problem 403, InvalidEvent for claims that JSON cannot hold, Unavailable, OutcomeUnknown.
        """
        self._check_origin(headers)
        await self.end(headers)
        now = datetime.now(UTC)
        expires = min(now + self._lasts, actor.expires or datetime.max.replace(tzinfo=UTC))
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        command = BeginSession(actor.id, expires, dict(actor.claims))
        await self._running.execute(login_sessions, _stream_id_of(token), command, actor=actor.id)
        return self._set_cookie(token, max(0, int((expires - now).total_seconds())))

    async def end(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Log out. Returns headers for the response. Raises: Problem 403, Unavailable, OutcomeUnknown."""
        actor = await self(headers)
        stream_id = self._stream_id(headers)
        if actor is not None and stream_id is not None:
            await self._running.execute(login_sessions, stream_id, EndSession(), actor=actor.id)
        return self._set_cookie("", 0)

    def _stream_id(self, headers: Mapping[str, str]) -> str | None:
        """The id of the stream for the cookie of a request."""
        token = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
        return _stream_id_of(token) if _TOKEN.fullmatch(token) else None

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        """Browsers send Origin with every request that may change something. Raises: Problem 403."""
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins:
            raise Problem(403, "forbidden", f"Pages of the origin {origin!r:.80} may not use sessions here")

    def _set_cookie(self, value: str, max_age_s: int) -> dict[str, str]:
        cookie = f"{self._cookie}={value}; Max-Age={max_age_s}; {self._attributes}"
        return {"Set-Cookie": cookie, "Cache-Control": "no-store"}


def _checked(origins: Sequence[str]) -> tuple[str, ...]:
    """Raises: ConfigurationError."""
    checked = checked_origins(origins, "origins")
    if not checked:
        raise ConfigurationError("origins= must list where the pages are, like https://garage.example")
    for origin in checked:
        if origin.startswith("http://") and not is_local(origin):
            raise ConfigurationError(
                f"origins= contains {origin!r}: a session cookie is sent over https only, except on this machine"
            )
    return checked


def _stream_id_of(token: str) -> str:
    return sha256(token.encode()).hexdigest()
