"""Sessions of users who log in: a stream for each, so that they survive restarts and count in every process. Pure.

Add `login_sessions` to the deciders of an App whose `actor=` is `twofold.web.login.sessions.Sessions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from twofold.write.decider import Decider


@dataclass(frozen=True)
class BeginSession:
    """A user has logged in; `claims` are for `allow=` and `scope=`."""

    actor: str
    expires: datetime
    claims: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EndSession:
    """The user logs out."""


@dataclass(frozen=True)
class LoginSessionBegun:
    """A user has logged in."""

    actor: str
    expires: datetime
    claims: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LoginSessionEnded:
    """The user has logged out."""


LoginSession = LoginSessionBegun | None
"""A session that has begun and not been ended; it may have expired."""


def decide(command: BeginSession | EndSession, session: LoginSession) -> list[LoginSessionBegun | LoginSessionEnded]:
    """A session begins once, under an id that cannot be guessed. Ending one that has ended changes nothing."""
    match command:
        case BeginSession():
            return [LoginSessionBegun(command.actor, command.expires, command.claims)]
        case EndSession():
            return [LoginSessionEnded()] if session is not None else []


def evolve(session: LoginSession, event: LoginSessionBegun | LoginSessionEnded) -> LoginSession:
    """See Decider."""
    match event:
        case LoginSessionBegun():
            return event
        case LoginSessionEnded():
            return None


login_sessions: Decider[BeginSession | EndSession, LoginSession, LoginSessionBegun | LoginSessionEnded] = Decider(
    "twofold_session", None, decide, evolve, internal=(BeginSession, EndSession)
)
