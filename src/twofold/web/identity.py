"""Who sends a request, whether they may, and which rows exist for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import isawaitable
from typing import Annotated, Any

from fastapi import Depends, Request

from twofold.api import Actor, Allow, Api, anyone
from twofold.app import Running
from twofold.errors import ConfigurationError, InvalidInput, NotFound
from twofold.read.projection import Projection
from twofold.web.login.schemes import challenge
from twofold.web.problems import Problem
from twofold.write.decider import Decider


async def actor_of(request: Request) -> Actor | None:
    """The actor of a request, found once; None if no user is logged in, or the login has expired.

    Raises: TypeError if `actor=` returns anything else, and whatever it raises.
    """
    state: Any = request.scope.setdefault("state", {})
    if "twofold_actor" not in state:
        return await refreshed_actor(request)
    found: Actor | None = state["twofold_actor"]
    return found


async def refreshed_actor(request: Request) -> Actor | None:
    """The actor, found again: the login of a long request may have ended. Raises: as `actor_of`."""
    api: Api = request.app.state.api
    with _user_code("actor="):
        actor = await api.actor(request.headers)
    if actor is not None and not isinstance(actor, Actor):
        raise TypeError(f"actor= must return an Actor or None, not a {type(actor).__name__}")
    found = None if actor is None or left_s(request, actor) <= 0 else actor
    request.scope.setdefault("state", {})["twofold_actor"] = found
    return found


def left_s(request: Request, actor: Actor | None) -> float:
    """How many seconds a login is still valid."""
    running: Running = request.app.state.running
    if actor is None or actor.expires is None:
        return float("inf")
    return (actor.expires - running.ambient.now()).total_seconds()


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
    """Raises: Problem 403; TypeError if `allow=` returns anything but a bool, and whatever it raises."""
    if allow is anyone or allow is None:
        return
    actor = await logged_in_actor(request)
    with _user_code("allow="):
        allowed = allow(actor, arguments)
        if isawaitable(allowed):
            allowed = await allowed
    if not isinstance(allowed, bool):
        raise TypeError(f"allow= must return True or False, not a {type(allowed).__name__}")
    if not allowed:
        raise Problem(403, "forbidden", "You may not do this")


async def scope_of(request: Request, projection: Projection[Any]) -> Mapping[str, Any]:
    """The conditions of the rows that exist for the actor. Raises: TypeError, and whatever `scope=` raises."""
    api: Api = request.app.state.api
    if api.scope is None:
        return {}
    actor = await actor_of(request)
    with _user_code("scope="):
        conditions = api.scope(actor, projection)
        if isawaitable(conditions):
            conditions = await conditions
    if not isinstance(conditions, Mapping):
        raise TypeError(
            f"scope= must return conditions as for find, {{}} for all rows, not a {type(conditions).__name__}"
        )
    return conditions


async def sees(request: Request, decider: Decider[Any, Any, Any], state: Any) -> bool:
    """Whether a stream in this state exists for the actor. Raises: TypeError, and whatever `sees=` raises."""
    api: Api = request.app.state.api
    function = next((function for known, function in api.sees if known is decider), None)
    if function is None:
        return True
    actor = await actor_of(request)
    with _user_code("sees="):
        seen = function(actor, state)
    if not isinstance(seen, bool):
        raise TypeError(f"sees= must return True or False, not a {type(seen).__name__}")
    return seen


async def existing(request: Request, decider: Decider[Any, Any, Any], id: str) -> int:
    """The version of a stream that must exist for the actor. Raises: NotFound."""
    state, version = await request.app.state.running.load(decider, id)
    if version == 0 or not await sees(request, decider, state):
        raise NotFound(f"There is no {decider.category} {id!r}")
    found: int = version
    return found


@contextmanager
def _user_code(argument: str) -> Iterator[None]:
    """Input that user code is refused, as by `load`, is not the client's fault. Raises: ConfigurationError."""
    try:
        yield
    except NotFound:
        raise
    except InvalidInput as error:
        raise ConfigurationError(f"{argument} raised {type(error).__name__}") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RuntimeError(f"{argument} raised CancelledError") from error  # of a task of its own


LoggedIn = Annotated[Actor, Depends(logged_in_actor)]
CurrentActor = Annotated[Actor | None, Depends(actor_of)]
