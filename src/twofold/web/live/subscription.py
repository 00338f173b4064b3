"""A watched query of an actor: its rounds as JSON, for as long as the rules allow it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import Request

from twofold.api import Actor, Allow
from twofold.app import Running
from twofold.read.projection import Projection
from twofold.read.watch import RowChanges
from twofold.web.answers import jsonable
from twofold.web.forms import JsonForm
from twofold.web.identity import actor_now, actor_of, check_allowed, left_s, scope_of
from twofold.web.problems import Problem
from twofold.web.serving.admission import admission_of

CHECK_EVERY_S = 15.0

_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Round:
    """One frame: the JSON of its rows. `token` resumes after it; None while the same round goes on."""

    body: bytes
    token: str | None
    snapshot: bool


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a client watches: rows of a projection that meet conditions, as this address writes them.

    `rows` is the projection, or how it is read for JSON. `arguments` are those of `allow`.
    """

    projection: Projection[Any]
    rows: Projection[Any]
    conditions: Mapping[str, Any]
    order_by: tuple[str, ...]
    arguments: Mapping[str, Any]
    allow: Allow | None
    returns: Callable[[Any], Any] | None
    form: JsonForm

    async def rounds(self, request: Request, after: str | None, wait_s: float) -> AsyncGenerator[Round | None, None]:
        """A snapshot, then every change; None from time to time, if nothing changes.

        Ends when the login expires or ends, or the rules no longer allow it. Another scope means a new snapshot.
        Raises: as `Running.watch`.
        """
        actor, scope = await actor_of(request), await scope_of(request, self.projection)
        while True:
            changes = self._watch(request, scope, after, wait_s)
            admission = admission_of(request.scope)
            ending = asyncio.Event() if admission is None else admission.ending
            async with aclosing(_or_none(changes, lambda: min(CHECK_EVERY_S, left_s(request, actor)), ending)) as news:
                async for each in news:
                    if not await self._still_allowed(request, actor, thoroughly=each is None):
                        return
                    now = await scope_of(request, self.projection)
                    if now != scope:
                        scope, after = now, None
                        break
                    yield None if each is None else self._written(each)
                else:
                    return

    def _watch(
        self, request: Request, scope: Mapping[str, Any], after: str | None, wait_s: float
    ) -> AsyncGenerator[RowChanges[Any], None]:
        running: Running = request.app.state.running
        return running.watching.watch(
            self.rows, self.conditions, scope=scope, order_by=self.order_by, after=after, wait_s=wait_s
        )

    async def _still_allowed(self, request: Request, actor: Actor | None, *, thoroughly: bool) -> bool:
        """`thoroughly`: the login is looked at, too, which may cost more than a round."""
        if left_s(request, actor) <= 0:
            return False
        if thoroughly and actor is not None:
            now = await actor_now(request)
            if now is None or now.id != actor.id:
                return False
        try:
            await check_allowed(request, self.allow, self.arguments)
        except Problem:
            return False
        return True

    def _written(self, changes: RowChanges[Any]) -> Round:
        rows = {_name(key): self._row(row) for key, row in changes.rows.items()}
        body = _ENCODER.encode({"rows": rows, "parked": changes.parked})
        return Round(body, changes.token, changes.snapshot)

    def _row(self, row: Any) -> Any:
        if row is None:
            return None
        return jsonable(row if self.returns is None else self.returns(row), self.form)


async def _or_none(
    changes: AsyncGenerator[RowChanges[Any], None], patience_s: Callable[[], float], ending: asyncio.Event
) -> AsyncGenerator[RowChanges[Any] | None, None]:
    """The changes until the process ends, and None whenever there were none for some time."""
    async with aclosing(changes):
        following = asyncio.ensure_future(anext(changes, None))
        ended = asyncio.ensure_future(ending.wait())
        try:
            while not ended.done():
                await asyncio.wait(
                    [following, ended], timeout=max(0, patience_s()), return_when=asyncio.FIRST_COMPLETED
                )
                if not following.done():
                    yield None
                    continue
                found = following.result()
                if found is None:
                    return
                yield found
                following = asyncio.ensure_future(anext(changes, None))
        finally:
            following.cancel()
            ended.cancel()
            await asyncio.gather(following, ended, return_exceptions=True)


def _name(key: Any) -> str:
    """A key as the name of a JSON member: text as it is, anything else as JSON writes it."""
    if isinstance(key, str):
        return key
    written = _ENCODER.encode(key).decode()
    return written[1:-1] if written.startswith('"') else written
