"""Commands by HTTP: who sends one, which conversation it belongs to, and that it is done once."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request, Response
from starlette.exceptions import HTTPException
from structlog.contextvars import bind_contextvars

from twofold.app import Running
from twofold.errors import TwofoldError
from twofold.web.headers import CORRELATION, PRINTABLE, printable_header
from twofold.web.idempotency import Answer, Idempotency, fingerprint, request_id
from twofold.web.problems import problem_of
from twofold.write.decider import Decider, Done

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")

ActorOf = Callable[[Request], str | None]
Handle = Callable[[], Awaitable[Response]]

KEPT_HEADERS = ("content-type", "consistency-token", "etag", "location")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a change. `id` derives from its Idempotency-Key; without a key it has none."""

    request: Request
    running: Running
    idempotency: Idempotency
    actor: str | None
    correlation_id: str | None
    id: str | None

    async def execute(
        self, decider: Decider[C, S, E], id: str, command: C, *, expected_version: int | None = None
    ) -> Done[S, E]:
        """`Running.execute` for whoever asked; on each stream once for a request. Raises: as there."""
        done = await self.running.execute(
            decider,
            id,
            command,
            command_id=self.id,
            expected_version=expected_version,
            actor=self.actor,
            correlation_id=self.correlation_id,
        )
        bind_contextvars(command_id=done.receipt.command_id)
        return done

    def new_id(self) -> str:
        """A name for what the request makes: the same when it comes again with its key. 32 hex digits."""
        return self.id[:32] if self.id is not None else secrets.token_hex(16)

    async def once(self, handle: Handle) -> Response:
        """What `handle` answers, or what it answered to this key before; its refusals (4xx) are answers too."""
        if self.id is None:
            return await handle()
        body = await self.request.body()
        answer = await self.idempotency.once(self.id, fingerprint(body), lambda: self._answer(handle))
        return Response(answer.body, answer.status, answer.headers)

    async def _answer(self, handle: Handle) -> Answer:
        try:
            response = await handle()
        except (TwofoldError, HTTPException) as error:
            problem = problem_of(error, self.request)
            if problem.status_code >= 500:
                raise
            response = problem.response(self.request)
        headers = {name: value for name, value in response.headers.items() if name in KEPT_HEADERS}
        return Answer(response.status_code, headers, bytes(response.body).decode())


async def asked(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(description="1 to 200 printable characters: the same key, the same answer", json_schema_extra=PRINTABLE),
    ] = None,
    x_correlation_id: Annotated[
        str | None, Header(description="Recorded with every event that follows", json_schema_extra=PRINTABLE)
    ] = None,
) -> Asked:
    """A dependency; its parameters are there for OpenAPI. Raises: Problem 400 for a header that cannot be one."""
    state: Any = request.app.state
    actor = state.actor_of(request)
    key = printable_header(request.headers, "Idempotency-Key")
    return Asked(
        request=request,
        running=state.running,
        idempotency=state.idempotency,
        actor=actor,
        correlation_id=printable_header(request.headers, CORRELATION),
        id=request_id(actor, request.method, request.scope["path"], key) if key is not None else None,
    )


Asking = Annotated[Asked, Depends(asked)]
