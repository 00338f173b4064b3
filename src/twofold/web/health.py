"""How the program is doing: for whoever restarts it, for whoever sends it requests, for whoever looks after it."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from twofold import operate
from twofold.app import Running
from twofold.errors import TwofoldError
from twofold.messages import Position
from twofold.telemetry import CONTENT_TYPE, metrics
from twofold.web.answers import answer
from twofold.web.forms import CAMEL
from twofold.web.openapi import documented
from twofold.web.problems import Problem
from twofold.web.serving.admission import admission_of

LARGEST_LAG_S = 30.0


class Readiness:
    """Whether requests should be sent here.

    Not before every table has reached what was the end of the log when this was first asked; not while a worker of
    this process fails or has stopped, nor while one that runs elsewhere is more than `LARGEST_LAG_S` behind.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._first_head: Position | None = None
        self._reached: set[tuple[str, int]] = set()

    async def reasons(self) -> list[str]:
        """Why not; empty when ready."""
        try:
            followers = await operate.status(self._running)
        except TwofoldError as error:
            return [f"the store: {error}"]
        return [reason for one in followers if (reason := self._reason(one)) is not None]

    def _reason(self, one: operate.FollowerStatus) -> str | None:
        name = f"{one.kind} {one.name} v{one.version}"
        if one.error is not None and one.state in ("failing", "stopped", "elsewhere"):
            return f"{name} {one.state}: {one.error}"
        self._first_head = self._first_head or one.head
        if one.position is not None and one.position >= self._first_head:
            self._reached.add((one.name, one.version))
        if (one.name, one.version) not in self._reached:
            return f"{name} has not caught up: {one.lag_events} events to go"
        if one.state != "following" and one.lag_s > LARGEST_LAG_S:
            return f"{name} is {one.lag_s:.0f} s behind, and this process is not the one that follows"
        return None


@dataclass(frozen=True, slots=True)
class Follower:
    """A line of /status."""

    name: str
    version: int
    kind: str
    position: str | None
    head: str
    lag_events: int
    lag_seconds: float
    state: str
    owner: str | None
    parked: int
    error: str | None
    note: str | None


def health_routes() -> APIRouter:
    """/health/live, /health/ready, /status and /metrics."""
    routes = APIRouter(tags=["health"])

    @routes.get("/health/live")
    async def live() -> dict[str, str]:
        """The process runs."""
        return {"status": "live"}

    @routes.get("/health/ready", responses=documented(503))
    async def ready(request: Request) -> dict[str, str]:
        """Requests can be sent here: the workers run, and the read models have caught up. Else 503, with reasons."""
        reasons = await request.app.state.readiness.reasons()
        if reasons:
            raise Problem(503, "not-ready", "Not now: see the reasons", {"Retry-After": "1"}, reasons=reasons)
        return {"status": "ready"}

    @routes.get("/status", responses=documented(503), response_model=CAMEL.described(list[Follower]))
    async def status(request: Request) -> Response:
        """How every projection and reactor is doing."""
        return answer([_line(one) for one in await operate.status(request.app.state.running)], form=CAMEL)

    @routes.get("/metrics", responses=documented(503), response_class=PlainTextResponse)
    async def prometheus(request: Request) -> Response:
        """Appends, folds, lag, parking, leases and requests, as Prometheus reads them."""
        admission = admission_of(request.scope)
        more = admission.metrics() if admission is not None else ()
        return Response(await metrics(request.app.state.running, more), media_type=CONTENT_TYPE)

    return routes


def _line(one: operate.FollowerStatus) -> Follower:
    return Follower(
        name=one.name,
        version=one.version,
        kind=one.kind,
        position=str(one.position) if one.position is not None else None,
        head=str(one.head),
        lag_events=one.lag_events,
        lag_seconds=round(one.lag_s, 3),
        state=one.state,
        owner=one.owner,
        parked=one.parked,
        error=one.error,
        note=one.note,
    )
