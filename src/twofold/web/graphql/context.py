"""One request: who asks, how fresh its rows must be, and what it has met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import graphql as g
import msgspec
from fastapi import Request

from twofold.api import Api
from twofold.app import Running
from twofold.read.projection import Projection
from twofold.read.query import Queries
from twofold.web.commands import Asked, asked_with
from twofold.web.consistency import Freshness
from twofold.web.identity import scope_of
from twofold.web.steps import Steps, request_id


class Answered(msgspec.Struct, frozen=True):
    """The JSON of `data`, and its errors."""

    data: bytes
    errors: Sequence[dict[str, Any]]


class Raised(msgspec.Struct, frozen=True):
    """The outcome of a field that failed."""

    error: Exception


class Context:
    """What resolvers share. `key` has the parts that a request's id derives from, if it has an Idempotency-Key."""

    def __init__(self, request: Request, fresh: Freshness, asked: Asked | None, key: tuple[str | None, ...]) -> None:
        self.request, self.fresh, self._asked, self._key = request, fresh, asked, key
        self.api: Api = request.app.state.api
        self.running: Running = request.app.state.running
        self.queries: Queries = self.running.queries
        self.parked: dict[str, int] = {}
        self.token: str | None = None
        """Of the last command."""
        self.loaders: dict[Any, Any] = {}
        self.outcomes: dict[str, Any] = {}
        """Of the fields of a mutation that were executed, by response key: results, and `Raised`."""
        self._scopes: dict[int, Mapping[str, Any]] = {}

    async def scope(self, projection: Projection[Any]) -> Mapping[str, Any]:
        """The conditions of the rows that exist for the actor, found once. Raises: as `scope_of`."""
        if self.api.scope is None:
            return {}
        if id(projection) not in self._scopes:
            self._scopes[id(projection)] = await scope_of(self.request, projection)
        return self._scopes[id(projection)]

    @property
    def freshly(self) -> dict[str, Any]:
        """The arguments of reads."""
        return {"after": self.fresh.after, "wait_s": self.fresh.wait_s}

    def count_parked(self, path: str, count: int) -> None:
        """Note how many rows of a list are parked."""
        if count:
            self.parked[path] = max(count, self.parked.get(path, 0))

    async def asked(self, path: str) -> Asked:
        """The request for the field with this response path: with a key, it has command ids of its own."""
        one = self._asked or await asked_with(self.request, None)
        steps = Steps(request_id(*self._key, path)) if self._key else None
        return OfField(one.request, one.running, one.idempotency, one.actor, one.correlation_id, steps, self)


@dataclass(frozen=True)
class OfField(Asked):
    """The request as a field sees it. The token of its last command is that of the response."""

    context: Context

    async def _executed(self, *arguments: Any) -> Any:
        done = await super()._executed(*arguments)
        self.context.token = done.receipt.token
        return done

    async def _called(self, *arguments: Any) -> Any:
        called = await super()._called(*arguments)
        self.context.token = called.token
        return called


Info: TypeAlias = "g.GraphQLResolveInfo[Context]"
"""What resolvers get of the execution."""
