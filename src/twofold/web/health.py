"""Liveness, readiness, status and metrics."""

from __future__ import annotations

import logging
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

_logger = logging.getLogger(__name__)


class Readiness:
    """Whether requests should be sent to this process.

    Ready once every table has reached the end that the log had at the first check. Not ready while a worker of this
    process fails or has stopped, or while one that runs elsewhere is more than `LARGEST_LAG_S` behind.

    Strangers may ask, so the reasons name kinds of errors. Their texts, which may contain addresses and data, are in
    /status, and those of the store in the log.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._logged = ""
        self._first_heads: dict[int, Position] = {}
        self._reached: set[tuple[str, int, int]] = set()

    async def reasons(self) -> list[str]:
        """Why the process is not ready; empty when it is."""
        try:
            followers = await operate.status(self._running)
        except TwofoldError as error:
            self._log(str(error))
            return [f"the store cannot be used ({type(error).__name__}): the log says why"]
        self._logged = ""
        return [reason for follower in followers if (reason := self._reason(follower)) is not None]

    def _reason(self, follower: operate.FollowerStatus) -> str | None:
        name = f"{follower.kind} {follower.name} v{follower.version}"
        if follower.error is not None and follower.state in ("failing", "stopped", "elsewhere"):
            return f"{name} {follower.state} ({follower.error.partition(':')[0]}): /status says why"
        follower_id = follower.name, follower.version, follower.partition
        if self._has_reached_first_head(follower):
            self._reached.add(follower_id)
        if follower_id not in self._reached:
            return f"{name} has not caught up: {follower.lag_events} events to go"
        if follower.state != "following" and follower.lag_s > LARGEST_LAG_S:
            return f"{name} is {follower.lag_s:.0f} s behind, and this process does not follow it"
        return None

    def _log(self, why: str) -> None:
        """Once until the store can be used again, however often readiness is asked for."""
        if why != self._logged:
            _logger.warning("not ready: the store cannot be used: %s", why)
        self._logged = why

    def _has_reached_first_head(self, follower: operate.FollowerStatus) -> bool:
        """Its feed's head at the first look. At the end of a merged feed, events may still be in no cut."""
        first_head = self._first_heads.setdefault(follower.partition, follower.head)
        if follower.position is None or follower.position < first_head:
            return False
        return follower.position < follower.head or follower.lag_events == 0


@dataclass(frozen=True, slots=True)
class Follower:
    """One projection, reactor or view in /status."""

    name: str
    version: int
    partition: int
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
    """/health/live and /health/ready, for what decides whether this process gets requests."""
    routes = APIRouter(tags=["health"])

    @routes.get("/health/live")
    async def live() -> dict[str, str]:
        """The process is running."""
        return {"status": "live"}

    @routes.get("/health/ready", responses=documented(503, kinds=("any", "readiness")))
    async def ready(request: Request) -> dict[str, str]:
        """The workers run, and the read models have caught up. Otherwise 503, with the reasons."""
        reasons = await request.app.state.readiness.reasons()
        if reasons:
            raise Problem(
                503, "not-ready", "This process is not ready: see the reasons", {"Retry-After": "1"}, reasons=reasons
            )
        return {"status": "ready"}

    return routes


def ops_routes() -> APIRouter:
    """/status and /metrics, for those who operate the App."""
    routes = APIRouter(tags=["health"])

    @routes.get("/status", responses=documented(503, kinds=("any",)), response_model=CAMEL.described(list[Follower]))
    async def status(request: Request) -> Response:
        """The progress of every projection, reactor and view."""
        running = request.app.state.running
        followers = [_line(follower) for follower in await operate.status(running)]
        views = [_line_of_view(view, running.works) for view in await operate.views(running) if view.in_app]
        return answer([*followers, *views], form=CAMEL)

    @routes.get("/metrics", responses=documented(503, kinds=("any",)), response_class=PlainTextResponse)
    async def prometheus(request: Request) -> Response:
        """Appends, folds, lag, parking, leases and requests, in Prometheus format."""
        admission = admission_of(request.scope)
        more = admission.metrics() if admission is not None else ()
        return Response(await metrics(request.app.state.running, more), media_type=CONTENT_TYPE)

    return routes


def _line(follower: operate.FollowerStatus) -> Follower:
    return Follower(
        name=follower.name,
        version=follower.version,
        partition=follower.partition,
        kind=follower.kind,
        position=str(follower.position) if follower.position is not None else None,
        head=str(follower.head),
        lag_events=follower.lag_events,
        lag_seconds=round(follower.lag_s, 3),
        state=follower.state,
        owner=follower.owner,
        parked=follower.parked,
        error=follower.error,
        note=follower.note,
    )


def _line_of_view(view: operate.ViewStatus, works: bool) -> Follower:
    return Follower(
        name=view.name,
        version=view.version,
        partition=view.head.partition,
        kind=view.kind,
        position=None if view.position is None else str(view.position),
        head=str(view.head),
        lag_events=view.lag_events,
        lag_seconds=round(view.lag_s, 3),
        state="following" if works else "elsewhere",
        owner=None,
        parked=0,
        error=None,
        note=view.note,
    )
