"""Commands by HTTP: who sends one, which conversation it belongs to, and that it is executed once."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

from fastapi import Depends, Header, Request, Response
from starlette.exceptions import HTTPException
from structlog.contextvars import bind_contextvars

from twofold.api import Actor
from twofold.app import Running
from twofold.errors import TwofoldError
from twofold.sql.command import Called, SqlCommand
from twofold.web.headers import CORRELATION, PRINTABLE, printable_header
from twofold.web.idempotency import Idempotency
from twofold.web.identity import actor_of
from twofold.web.problems import problem_of
from twofold.web.steps import Steps, request_id
from twofold.write.decider import Decider, Done

A = TypeVar("A")
C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")

Handle = Callable[[], Awaitable[Response]]

CREDENTIALS = ("authorization", "cookie")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a change. `id` derives from its Idempotency-Key; without a key it has none.

    With a key, `handle` must depend on the request alone: it may run again, after a crash or a 503, and its commands
    then return their original results. New ids come from `new_id`. Commands to one stream are identified by the order
    in which they are sent.
    """

    request: Request
    running: Running
    idempotency: Idempotency
    actor: Actor | None
    correlation_id: str | None
    steps: Steps | None

    @property
    def id(self) -> str | None:
        """64 hex digits from actor, method, path and key: the id of the first command to a stream."""
        return self.steps.id if self.steps is not None else None

    async def execute(
        self, decider: Decider[C, S, E], id: str, command: C, *, expected_version: int | None = None
    ) -> Done[S, E]:
        """`Running.execute` as the request's actor; each command of a request is executed once.

        Raises: as `Running.execute`; NotRepeatable when the request runs again and sends commands to other streams.
        """
        if self.steps is None:
            return await self._executed(decider, id, command, None, expected_version)
        with self.steps.command(str(decider.stream(id))) as command_id:
            return await self._executed(decider, id, command, command_id, expected_version)

    async def _executed(
        self, decider: Decider[C, S, E], id: str, command: C, command_id: str | None, expected_version: int | None
    ) -> Done[S, E]:
        done = await self.running.executor.execute(
            decider,
            id,
            command,
            command_id=command_id,
            expected_version=expected_version,
            actor=None if self.actor is None else self.actor.id,
            correlation_id=self.correlation_id,
            is_new=self.steps is not None and self.steps.is_new(id),
        )
        bind_contextvars(command_id=done.receipt.command_id)
        return done

    async def call(self, command: SqlCommand[C, A], value: C) -> Called[A]:
        """`Running.call` as the request's actor; each SQL command of a request is executed once.

        Raises: as `Running.call`; NotRepeatable.
        """
        if self.steps is None:
            return await self._called(command, value, None)
        with self.steps.command(f"command {command.name}") as command_id:
            # with its name, because the ids of SQL commands are not those of a stream
            return await self._called(command, value, f"{command.name}:{command_id}")

    async def _called(self, command: SqlCommand[C, A], value: C, command_id: str | None) -> Called[A]:
        actor = None if self.actor is None else self.actor.id
        return await self.running.call(
            command, value, command_id=command_id, actor=actor, correlation_id=self.correlation_id
        )

    async def original(self, decider: Decider[Any, S, E], id: str) -> Done[S, E] | None:
        """The result of this request's first command to a stream, if an earlier run executed it.

        For commands that are made from data which may have changed since. Raises: as `Running.load`.
        """
        return None if self.id is None else await self.running.executor.original(decider, id, self.id)

    def new_id(self) -> str:
        """A new id for something the request creates, 32 hex digits.

        Each call returns another id.

        With a key, the first call returns the same id each time the request runs, and so does the second, and so on. An
        id made in any other way changes when `handle` runs again, and then names something that was never created.
        """
        return self.steps.new_id() if self.steps is not None else secrets.token_hex(16)

    async def once(self, handle: Handle) -> Response:
        """What `handle` returns, or what it returned for this key before; its refusals (4xx) are kept, too.

        Raises: as `Idempotency.once`.
        """
        if self.steps is None:
            return _checked(await handle())
        body, query = await self.request.body(), self.request.scope["query_string"]
        # Without an actor, at least clients with other credentials do not get this response.
        credentials = [self.request.headers.get(name, "") for name in CREDENTIALS] if self.actor is None else []
        beside = (text.encode("latin-1") for text in credentials)
        return await self.idempotency.once(self.steps, lambda: self._answer(handle), body, query, *beside)

    async def _answer(self, handle: Handle) -> Response:
        try:
            return _checked(await handle())
        except (TwofoldError, HTTPException) as error:
            problem = problem_of(error, self.request)
            if problem.status_code >= 500:
                raise
            return problem.response(self.request)


def _checked(response: Any) -> Response:
    """Refuse what cannot be kept, also without a key, so that the first test of a route finds it."""
    if not isinstance(response, Response):
        raise TypeError(f"handle must return a Response, such as answer(...), not {response!r:.80}")
    return response


def _segments(request: Request) -> list[str]:
    """What tells `/a%2Fb/c` from `/a/b%2Fc`, whose decoded path is the same; empty for a path without such a slash."""
    raw: bytes = request.scope.get("raw_path") or b""
    return [unquote(part) for part in raw.decode("latin-1").split("/")] if b"%2F" in raw.upper() else []


async def asked(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="1 to 200 printable characters: the same key returns the same response",
            json_schema_extra=PRINTABLE,
        ),
    ] = None,
    x_correlation_id: Annotated[
        str | None, Header(description="Recorded with the resulting events", json_schema_extra=PRINTABLE)
    ] = None,
) -> Asked:
    """A dependency; its parameters are declared for OpenAPI. Raises: Problem 400 for an invalid header."""
    this = await asked_with(request, None)
    key, path = printable_header(request.headers, "Idempotency-Key"), request.scope["path"]
    if key is None:
        return this
    actor_id = None if this.actor is None else this.actor.id
    scope = request_id(actor_id, request.method, path, key, *_segments(request))
    return replace(this, steps=Steps(scope))


async def asked_with(request: Request, steps: Steps | None) -> Asked:
    """A request that has these steps. Raises: Problem 400 for an invalid header."""
    state: Any = request.app.state
    return Asked(
        request=request,
        running=state.running,
        idempotency=state.idempotency,
        actor=await actor_of(request),
        correlation_id=printable_header(request.headers, CORRELATION),
        steps=steps,
    )


Asking = Annotated[Asked, Depends(asked)]
