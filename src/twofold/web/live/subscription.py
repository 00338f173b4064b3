"""A watched query of an actor: its rounds as JSON, for as long as the rules allow it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from twofold.api import Actor, Allow
from twofold.errors import Closed, ConfigurationError, Unavailable
from twofold.read.room import Room
from twofold.read.watcher import RowChanges
from twofold.web.identity import (
    actor_of,
    check_allowed,
    check_login,
    existing,
    left_s,
    refreshed_actor,
    scope_of,
    unauthorized,
)
from twofold.web.live.encoding import Encoding
from twofold.web.live.together import first_of
from twofold.web.serving.admission import admission_of

CHECK_EVERY_S = 15.0
MOST_IN_VAIN = 10  # times that a scope may change before anything of it was shown
EARLY_S = 0.001  # a timer may fire this much too early


@dataclass(frozen=True, slots=True)
class Round:
    """One frame: the JSON of rows. `token` resumes after it; None while the same round goes on."""

    body: bytes
    token: str | None
    snapshot: bool


Tell = Callable[[Round | None], Awaitable[None]]
"""Sends a round to the client; None is a heartbeat."""


class Outlet:
    """A connection, as its subscriptions share it: what waits for its client, and whose turn it is to write."""

    def __init__(self) -> None:
        self.room, self.turn = Room(), asyncio.Lock()


@dataclass(slots=True)
class _Now:
    """Who watches, and what exists for them, when a watch begins: a copy, as `scope=` may change what it returned."""

    actor: Actor | None
    scope: Mapping[str, Any]
    held: bool = False
    """Whether it still was so when something was to be sent."""


class _ScopeChanged(Exception):
    """Other rows exist for the actor now: the client needs a new snapshot."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a client watches: rows of a projection that meet conditions.

    `arguments` are those of `allow`. `exists`: the decider in which a stream must exist for the actor, and its id.
    """

    encoding: Encoding
    conditions: Mapping[str, Any]
    order_by: tuple[str, ...]
    arguments: Mapping[str, Any]
    allow: Allow | None
    exists: tuple[Any, ...] | None = field(default=None, kw_only=True)

    async def check(self, request: Request) -> None:
        """Whether it may begin. Raises: Problem 401, Problem 403, NotFound, and whatever rules raise."""
        await check_login(request, self.allow)
        await check_allowed(request, self.allow, self.arguments)
        await self._check_exists(request)

    async def _check_exists(self, request: Request) -> None:
        if self.exists is not None:
            await existing(request, *self.exists)

    async def follow(
        self, request: Request, after: str | None, wait_s: float, tell: Tell, outlet: Outlet | None = None
    ) -> None:
        """Tell a snapshot, then every change, and a heartbeat from time to time. Returns when the process stops.

        Every round is checked against the rules, and every heartbeat also checks the login, and that the stream exists
        for the actor. Another scope means a new snapshot.

        Raises: as `Running.watch`; Problem 401 when the login has ended, 403 when `allow=` no longer allows it;
        NotFound when the stream no longer exists for the actor; what `tell`, `scope=`, `allow=`, `sees=` and `returns=`
        raise; ConfigurationError for a `scope=` that never returns the same.
        """
        admission = admission_of(request.scope)
        ending = asyncio.Event() if admission is None else admission.ending
        outlet, in_vain = outlet or Outlet(), 0
        while True:
            scope = await scope_of(request, self.encoding.projection)
            now = _Now(await actor_of(request), {name: deepcopy(value) for name, value in scope.items()})
            try:
                changes = self._watch(request, now.scope, after, wait_s, outlet.room)
                telling = self._tell(request, now, changes, tell, outlet.turn)
                await first_of(telling, self._keep(request, now, ending, tell))
            except _ScopeChanged:
                after, in_vain = None, 0 if now.held else in_vain + 1
                if in_vain == MOST_IN_VAIN:
                    raise ConfigurationError(self._unsteady()) from None
            except Closed:
                return
            else:
                return

    def _unsteady(self) -> str:
        return (
            f"scope= returns other conditions for {self.encoding.projection.name} whenever it is called, so its rows "
            "cannot be watched: return the same ones until other rows exist for the actor (a day, say, not the time)"
        )

    def _watch(
        self, request: Request, scope: Mapping[str, Any], after: str | None, wait_s: float, room: Room
    ) -> AsyncGenerator[RowChanges[Any], None]:
        watch = request.app.state.running.watching.watch
        how = {"scope": scope, "order_by": self.order_by, "after": after, "wait_s": wait_s, "room": room}
        watched: AsyncGenerator[RowChanges[Any], None] = watch(self.encoding.rows, self.conditions, **how)
        return watched

    async def _tell(
        self,
        request: Request,
        begun: _Now,
        changes: AsyncGenerator[RowChanges[Any], None],
        tell: Tell,
        turn: asyncio.Lock,
    ) -> None:
        async with aclosing(changes):
            async for each in changes:
                async with turn:  # the others of a connection that is stuck have written nothing yet
                    await self._tell_all(request, begun, each, tell)
                del each  # it is not kept until the next changes

    async def _tell_all(self, request: Request, begun: _Now, changes: RowChanges[Any], tell: Tell) -> None:
        for frame in self._rounds(changes):
            await self._check(request, begun)
            await tell(frame)

    def _rounds(self, changes: RowChanges[Any]) -> Iterator[Round]:
        """The frames of changes, each made when its turn has come."""
        snapshot = changes.snapshot
        for body, is_last in self.encoding.bodies(changes):
            yield Round(body, changes.token if is_last else None, snapshot)
            snapshot = False

    async def _keep(self, request: Request, begun: _Now, ending: asyncio.Event, tell: Tell) -> None:
        """Check, and send heartbeats, until the process stops."""
        while not await _is_set_within(ending, min(CHECK_EVERY_S, left_s(request, await actor_of(request)))):
            with suppress(Unavailable):  # without the store, the login that was found stays valid until it expires
                await refreshed_actor(request)  # a session may have ended
            await self._check(request, begun)
            with suppress(Unavailable):
                await self._check_exists(request)
            await tell(None)

    async def _check(self, request: Request, begun: _Now) -> None:
        """Raises: Problem 401, Problem 403, _ScopeChanged."""
        actor = await actor_of(request)
        if begun.actor is not None and (actor is None or actor.id != begun.actor.id or left_s(request, actor) <= 0):
            raise unauthorized(request)
        await check_allowed(request, self.allow, self.arguments)
        if await scope_of(request, self.encoding.projection) != begun.scope:
            raise _ScopeChanged
        begun.held = True


async def _is_set_within(event: asyncio.Event, wait_s: float) -> bool:
    try:
        async with asyncio.timeout(max(0, wait_s) + EARLY_S):
            return await event.wait()
    except TimeoutError:
        return False
