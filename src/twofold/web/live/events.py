"""Server-sent events: the rounds of a watched query, at the address of its row or page."""

from __future__ import annotations

import asyncio
import re

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from twofold.read.watched import WatchToken
from twofold.web.consistency import freshness, wants_count
from twofold.web.live.subscription import Round, Subscription
from twofold.web.live.together import first_of
from twofold.web.problems import Problem, logged_problem
from twofold.web.serving.outgoing import IN_STATE

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 1_000
FIRST_S = 0.1
HEARTBEAT = b":\n\n"
BEGIN_AGAIN = "snapshot"
"""The id of events from which nobody can resume, where an empty one would lead back to the address's `?after=`."""
HEADERS = {"Cache-Control": "no-store", "Vary": "Accept", "X-Accel-Buffering": "no"}  # the last one is for nginx

_WEIGHT = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


def wants_events(request: Request) -> bool:
    """Whether the client asks for events, as `EventSource` does, and does not prefer JSON."""
    weights = dict([_weighted(each) for each in request.headers.get("accept", "").lower().split(",")])
    return 0 < weights.get(MEDIA_TYPE, 0) >= weights.get("application/json", 0)


def _weighted(accepted: str) -> tuple[str, float]:
    """A media type of `Accept`, and how much it is wanted, from 0 to 1."""
    name, *parameters = [part.strip() for part in accepted.split(";")]
    weight = next((found for each in parameters if (found := _WEIGHT.fullmatch(each))), None)
    return name, 1 if weight is None else float(weight[1])


async def events_of(request: Request, subscription: Subscription) -> Response:
    """A stream of `snapshot` and `changes`. It resumes from `Last-Event-ID`, `Consistency-Token` or `?after=`.

    An error before the first event is a problem, as for any read. Raises: Problem 400, Problem 422.
    """
    _check_unlimited(request)
    fresh = await freshness(request, request.query_params.get("after"))
    last = request.headers.get("last-event-id")
    after = None if last == BEGIN_AGAIN else last or fresh.after
    return _EventStream(request, subscription, after, fresh.wait_s, fresh.headers)


class _EventStream(Response):
    """Begins with the first event, or after a moment when a client that resumes has missed nothing."""

    media_type = MEDIA_TYPE

    def __init__(
        self, request: Request, subscription: Subscription, after: str | None, wait_s: float, headers: dict[str, str]
    ) -> None:
        super().__init__(None, 200, {**headers, **HEADERS})
        del self.headers["content-length"]
        self._request, self._subscription, self._after, self._wait_s = request, subscription, after, wait_s
        self._begun, self._beginning = False, asyncio.Lock()
        self._unfinished = BEGIN_AGAIN if WatchToken.is_one(request.query_params.get("after")) else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI. Raises: whatever `follow` raises, before the first event."""
        try:
            await first_of(self._follow(send), self._begin_soon(send), _gone(receive))
        except Exception as error:  # rules and `returns=` are user code: they may raise anything
            if not self._begun:
                raise
            logged_problem(error, self._request)
        await self._begin(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _follow(self, send: Send) -> None:
        async def tell(round: Round | None) -> None:
            await self._begin(send)
            await _write(send, HEARTBEAT if round is None else frame(round, self._unfinished))

        await self._subscription.follow(self._request, self._after, self._wait_s, tell)

    async def _begin_soon(self, send: Send) -> None:
        """A client that resumes may wait for long until something changes, but not for the headers."""
        if WatchToken.is_one(self._after):
            await asyncio.sleep(FIRST_S)
            await self._begin(send)
        await asyncio.Event().wait()

    async def _begin(self, send: Send) -> None:
        async with self._beginning:  # rounds and heartbeats come from two tasks
            if not self._begun:
                self._begun = self._request.scope.setdefault("state", {})[IN_STATE] = True
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await _write(send, b"retry: %d\n\n" % RETRY_MS)


async def _write(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _gone(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def frame(round: Round, unfinished: str = "") -> bytes:
    """One event. Its id, to resume from, comes with the last frame of a round only.

    A snapshot that is not complete has the id `unfinished` until then, so that clients forget the one from before: they
    have dropped the rows that it stands for. Changes can be sent again, so the id from before stays until their last.
    """
    name, token = (b"snapshot", unfinished) if round.snapshot else (b"changes", None)
    token = token if round.token is None else round.token
    line = b"" if token is None else b"id: %b\n" % token.encode()
    return b"event: %b\n%bdata: %b\n\n" % (name, line, round.body)


def _check_unlimited(request: Request) -> None:
    """Raises: Problem 422 for a parameter that only a page can have, 400 for such a preference."""
    for name in ("limit", "cursor"):
        if name in request.query_params:
            detail = f"Events show every row that matches, not a page: leave out {name}, or narrow them by conditions"
            raise Problem(422, "invalid-input", detail, errors=[{"in": "query", "field": name, "message": detail}])
    if wants_count(request):
        raise Problem(400, "invalid-header", "Events have no total count: leave out `Prefer: count=exact`")
