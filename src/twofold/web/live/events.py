"""Server-sent events: the rounds of a watched query, at the address of its row or page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from twofold.web.consistency import freshness
from twofold.web.live.subscription import Round, Subscription
from twofold.web.problems import Problem

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 1_000
FIRST_S = 0.05
HEARTBEAT = b":\n\n"


def wants_events(request: Request) -> bool:
    """Whether the client asks for events, as `EventSource` does."""
    accepted = request.headers.get("accept", "")
    return any(each.partition(";")[0].strip().lower() == MEDIA_TYPE for each in accepted.split(","))


async def events_of(request: Request, subscription: Subscription) -> Response:
    """A stream of `snapshot` and `changes`. It resumes from `Last-Event-ID` or `?after=`.

    An error before the first event is a problem, as for any read. Raises: as `Running.watch`; Problem 400.
    """
    fresh = await freshness(request, request.query_params.get("after"))
    after = request.headers.get("last-event-id") or fresh.after
    rounds = subscription.rounds(request, after, fresh.wait_s)
    first = asyncio.ensure_future(anext(rounds, None))
    await asyncio.wait([first], timeout=None if after is None else fresh.wait_s + FIRST_S)
    if first.done() and (error := first.exception()) is not None:
        raise error
    headers = {**fresh.headers, "Cache-Control": "no-store", "Vary": "Accept", "X-Accel-Buffering": "no"}
    return StreamingResponse(_frames(first, rounds), headers=headers, media_type=MEDIA_TYPE)


async def _frames(
    first: asyncio.Future[Round | None], rounds: AsyncGenerator[Round | None, None]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(rounds):
        try:
            yield b"retry: %d\n\n" % RETRY_MS
            if (begins := await first) is not None:
                yield frame(begins)
            async for each in rounds:
                yield HEARTBEAT if each is None else frame(each)
        finally:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)


def frame(round: Round) -> bytes:
    """One event. Its id, to resume from, comes with the last frame of a round only."""
    name = b"snapshot" if round.snapshot else b"changes"
    token = b"" if round.token is None else b"id: %b\n" % round.token.encode()
    return b"event: %b\n%bdata: %b\n\n" % (name, token, round.body)


def check_unlimited(request: Request, *names: str) -> None:
    """Raises: Problem 422 for a parameter that only a page can have."""
    for name in names:
        if name in request.query_params:
            detail = f"A page that is watched is not limited: leave out {name}"
            raise Problem(422, "invalid-input", detail, errors=[{"in": "query", "field": name, "message": detail}])
