"""Who sends a request, whether they may, and which rows exist for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from inspect import isawaitable
from typing import Annotated, Any

from fastapi import Depends, Request

from twofold.api import Actor, Allow, Api, anyone
from twofold.errors import ConfigurationError
from twofold.read.projection import Projection
from twofold.web.login.schemes import challenge
from twofold.web.problems import Problem


async def actor_of(request: Request) -> Actor | None:
    """The actor of a request, found once; None if nobody is logged in, or the login has expired.

    Raises: ConfigurationError if `actor=` returns anything else.
    """
    state: Any = request.scope.setdefault("state", {})
    if "twofold_actor" not in state:
        api: Api = request.app.state.api
        actor = await api.actor(request.headers)
        if actor is not None and not isinstance(actor, Actor):
            raise ConfigurationError(f"actor= must return an Actor or None, not {actor!r:.80}")
        expired = actor is not None and actor.expires is not None and actor.expires <= datetime.now(UTC)
        state["twofold_actor"] = None if expired else actor
    found: Actor | None = state["twofold_actor"]
    return found


async def logged_in_actor(request: Request) -> Actor:
    """A dependency: the actor. Raises: Problem 401."""
    actor = await actor_of(request)
    if actor is None:
        raise unauthorized(request)
    return actor


def unauthorized(request: Request) -> Problem:
    """The problem of a request that needs a login."""
    headers = {"WWW-Authenticate": challenge(request.app.state.api.actor, request.headers)}
    return Problem(401, "unauthorized", "This needs a login that is still valid", headers)


async def check_login(request: Request, allow: Allow | None) -> None:
    """Before anything else of a request is read. Raises: Problem 401, Problem 403 where no rule opens it."""
    if allow is anyone:
        return
    await logged_in_actor(request)
    if allow is None:
        raise Problem(403, "forbidden", "This is not open to anyone")


async def check_allowed(request: Request, allow: Allow | None, arguments: Mapping[str, Any]) -> None:
    """Raises: Problem 403."""
    if allow is anyone or allow is None:
        return
    allowed = allow(await logged_in_actor(request), arguments)
    if isawaitable(allowed):
        allowed = await allowed
    if not isinstance(allowed, bool):
        raise ConfigurationError(f"allow= must return True or False, not {allowed!r:.80}")
    if not allowed:
        raise Problem(403, "forbidden", "You may not do this")


async def scope_of(request: Request, projection: Projection[Any]) -> Mapping[str, Any]:
    """The conditions of the rows that exist for the actor."""
    api: Api = request.app.state.api
    if api.scope is None:
        return {}
    scope = api.scope(await actor_of(request), projection)
    conditions = await scope if isawaitable(scope) else scope
    if not isinstance(conditions, Mapping):
        raise ConfigurationError(
            f"scope= must return conditions as for find, {{}} for all rows, not {conditions!r:.80}"
        )
    return conditions


LoggedIn = Annotated[Actor, Depends(logged_in_actor)]
CurrentActor = Annotated[Actor | None, Depends(actor_of)]
