"""The same key, the same answer: what a request with an `Idempotency-Key` was answered, kept beside the log.

A request is claimed before it runs, and its answer is kept when it has run. When the process dies between the two, the
request that comes again runs again, with the command ids it had; the log then returns what it returned the first time.
The same happens when the answer has expired: command ids are known for ever.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from email.utils import format_datetime
from hashlib import blake2b
from typing import Any
from weakref import WeakValueDictionary

from msgspec.structs import replace
from starlette.responses import Response

from twofold.errors import InvalidInput, TwofoldError
from twofold.web.steps import Steps
from twofold.write.requests import Answer, Requests

DAY_S = 24 * 60 * 60.0
KEEP_S, LONGEST_KEEP_S = DAY_S, 3_660 * DAY_S
MAX_KEPT_BYTES = 1024 * 1024
EXPIRES = "Idempotency-Expires"

_NOT_KEPT = ("content-length", EXPIRES.lower(), "set-cookie")  # two are made anew, the third is a secret

log = logging.getLogger("twofold.web")


class IdempotencyKeyReused(InvalidInput):
    """The key was used before, by the same actor on the same route, for another request."""


def fingerprint(secret: bytes, body: bytes, *beside: bytes) -> bytes:
    """Equal for bodies that say the same: neither spaces nor the order of keys count. 16 bytes.

    `beside` is what must be the same as it is. Without the secret nobody can find a short body by trying all of them.
    """
    try:
        value = json.loads(body, parse_float=_number, object_pairs_hook=_unique)
        body = json.dumps(value, sort_keys=True).encode()
    except (ValueError, RecursionError, ArithmeticError):
        pass
    hashed = blake2b(key=secret, digest_size=16)
    for part in (body, *beside):
        hashed.update(len(part).to_bytes(8) + part)
    return hashed.digest()


def _number(digits: str) -> float | str:
    """The number, or its digits where a float would say something else."""
    number = float(digits)
    return number if Decimal(repr(number)) == Decimal(digits) else digits


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


class Idempotency:
    """Answers each request once, for one App. Requests of one key wait for each other.

    Answers are kept for `keep_s` seconds.
    """

    def __init__(self, requests: Requests, keep_s: float = KEEP_S) -> None:
        self._requests, self._keep_s = requests, keep_s
        self._secret = b""
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def once(self, steps: Steps, run: Callable[[], Awaitable[Response]], body: bytes, *beside: bytes) -> Response:
        """The answer that the request of `steps` got, else what `run` returns now.

        The same key stands for the same request: `body`, and what is said `beside` it.

        What `run` raises is not kept, and neither is an answer of 500 or above, a streamed one, or one of more than
        `MAX_KEPT_BYTES`. An answer that is kept says until when, in the header `Idempotency-Expires`.

        Raises: IdempotencyKeyReused, LogReplaced, Unavailable, and what `run` raises.
        """
        turn = self._turns.setdefault(steps.id, asyncio.Lock())
        async with turn:
            self._secret = self._secret or await self._requests.secret()
            mine = fingerprint(self._secret, body, *beside)
            claimed = await self._requests.claim(steps.id, mine)
            if claimed.fingerprint != mine:
                raise IdempotencyKeyReused(
                    "This Idempotency-Key was sent before, with another body or query or by somebody else: make a new "
                    "one for each request"
                )
            if claimed.answer is not None:
                return _again(claimed.answer)
            steps.before = frozenset(claimed.asked)
            try:
                response = await run()
            except BaseException:  # also where the request is cut off, because the process stops
                await self._note(steps)
                raise
            return await self._kept(steps, response)

    async def _kept(self, steps: Steps, response: Response) -> Response:
        """The answer, or that of another process which was quicker."""
        answer = _to_keep(response)
        if answer is None:
            await self._note(steps)
            return response
        try:
            first = await self._requests.keep(steps.id, answer, steps.asked, self._keep_s)
        except TwofoldError as error:
            # It has been done all the same, and saying otherwise would be a lie: a repetition will find it done.
            log.warning("the answer to request %s is not kept: %s", steps.id, error)
            return response
        if replace(first, expires_at=None) != answer:
            return _again(first)
        if first.expires_at is not None:
            response.headers[EXPIRES] = _http_date(first.expires_at)
        return response

    async def _note(self, steps: Steps) -> None:
        """Record what a run without an answer has asked, so that the next run is seen to ask the same."""
        asked = steps.asked
        if not set(asked) - steps.before:
            return
        try:
            await self._requests.note(steps.id, asked)
        except TwofoldError as error:
            log.warning("what request %s asked is not recorded: %s", steps.id, error)


def _to_keep(response: Response) -> Answer | None:
    """The answer as it is kept; None for one that is not."""
    body = getattr(response, "body", None)
    if response.status_code >= 500 or body is None:
        return None
    headers = [(name, value) for name, value in response.headers.items() if name not in _NOT_KEPT]
    if len(body) + sum(len(name) + len(value) for name, value in headers) > MAX_KEPT_BYTES:
        log.info("an answer of %d bytes is too large to be kept for its Idempotency-Key", len(body))
        return None
    return Answer(response.status_code, headers, bytes(body))


def _again(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    for name, value in answer.headers:
        response.headers.append(name, value)
    if answer.expires_at is not None:
        response.headers[EXPIRES] = _http_date(answer.expires_at)
    return response


def _http_date(time: datetime) -> str:
    return format_datetime(time, usegmt=True)
