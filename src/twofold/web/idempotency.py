"""The same key, the same answer: what a request with an `Idempotency-Key` was answered, kept in the log itself.

Each such request is a stream of two events: that it came, and what it was answered. When the process dies between
the two, the request that comes again runs again, with the command id it had; the log then answers it as the first
time. List `http_requests` among the deciders of the App.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from weakref import WeakValueDictionary

from twofold.app import Running
from twofold.errors import InvalidInput, OutcomeUnknown, Unavailable
from twofold.write.decider import Decider

log = logging.getLogger("twofold.web")


@dataclass(frozen=True, slots=True)
class Receive:
    """A request has come; `fingerprint` tells its body from another."""

    fingerprint: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the request is answered. The first answer stays."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class HttpRequestReceived:
    fingerprint: str


@dataclass(frozen=True, slots=True)
class HttpRequestAnswered:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    fingerprint: str = ""  # empty: it has not come yet
    answer: HttpRequestAnswered | None = None


def decide(command: Receive | Answer, request: HttpRequest) -> list[HttpRequestReceived | HttpRequestAnswered]:
    match command:
        case Receive(fingerprint):
            return [] if request.fingerprint else [HttpRequestReceived(fingerprint)]
        case Answer(status, headers, body):
            return [] if request.answer else [HttpRequestAnswered(status, dict(headers), body)]


def evolve(request: HttpRequest, event: HttpRequestReceived | HttpRequestAnswered) -> HttpRequest:
    match event:
        case HttpRequestReceived(fingerprint):
            return replace(request, fingerprint=fingerprint)
        case HttpRequestAnswered():
            return replace(request, answer=event)


http_requests = Decider("http_request", HttpRequest(), decide, evolve)


class IdempotencyKeyReused(InvalidInput):
    """The key was used before, by the same actor on the same route, for another body."""


def request_id(*scope: str | None) -> str:
    """The stream of a request: 64 hex digits from whatever the key belongs to, and the key."""
    return sha256(json.dumps(scope).encode()).hexdigest()


def fingerprint(body: bytes) -> str:
    """Equal for bodies that say the same: neither spaces nor the order of keys count."""
    try:
        body = json.dumps(json.loads(body), sort_keys=True).encode()
    except (ValueError, RecursionError):
        pass
    return sha256(body).hexdigest()


class Idempotency:
    """Answers each request once, for one App. Requests of one key wait for each other."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def once(self, id: str, fingerprint: str, run: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer that request `id` got, else what `run` answers now. What `run` raises is not kept.

        Raises: IdempotencyKeyReused, Unavailable, OutcomeUnknown, and what `run` raises.
        """
        turn = self._turns.setdefault(id, asyncio.Lock())
        async with turn:
            request = (await self._running.execute(http_requests, id, Receive(fingerprint))).state
            if request.fingerprint != fingerprint:
                raise IdempotencyKeyReused("This Idempotency-Key was sent before, with another body")
            if request.answer is not None:
                return _again(request.answer)
            return await self._kept(id, await run())

    async def _kept(self, id: str, answer: Answer) -> Answer:
        """The answer, or that of another process which was quicker."""
        try:
            first = (await self._running.execute(http_requests, id, answer)).state.answer
        except (Unavailable, OutcomeUnknown) as error:
            # It has been done all the same, and saying otherwise would be a lie: a repetition will find it done.
            log.warning("the answer of http_request-%s is not kept: %s", id, error)
            return answer
        return _again(first) if first is not None else answer


def _again(answer: HttpRequestAnswered) -> Answer:
    return Answer(answer.status, answer.headers, answer.body)
