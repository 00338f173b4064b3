"""The same key, the same response: responses to requests with an `Idempotency-Key`, kept beside the log.

A request is claimed before it runs, and its response is kept afterwards. If the process dies in between, a repeated
request runs again with the same command ids, for which the log returns its original results. The same happens once
the response has expired: command ids are kept for ever.
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

_NOT_KEPT = ("content-length", EXPIRES.lower(), "set-cookie")  # two are generated anew, the third is secret

log = logging.getLogger("twofold.web")


class IdempotencyKeyReused(InvalidInput):
    """The same actor used the key on the same route for another request."""


def fingerprint(secret: bytes, body: bytes, *beside: bytes) -> bytes:
    """Equal for equivalent JSON: spaces and the order of keys are ignored. 16 bytes.

    `beside` must be the same byte by byte. The secret prevents finding a short body by trying all of them.
    """
    try:
        body = _SORTED(_DECODE(body.decode(json.detect_encoding(body), "surrogatepass"))).encode()
    except (ValueError, RecursionError, ArithmeticError):
        pass
    hashed = blake2b(key=secret, digest_size=16)
    for part in (body, *beside):
        hashed.update(len(part).to_bytes(8) + part)
    return hashed.digest()


def _number(digits: str) -> float | str:
    """The number, or its digits if a float is not exact."""
    number = float(digits)
    return number if Decimal(repr(number)) == Decimal(digits) else digits


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key is given twice")
    return members


_DECODE = json.JSONDecoder(parse_float=_number, object_pairs_hook=_unique).decode
_SORTED = json.JSONEncoder(sort_keys=True).encode


class Idempotency:
    """Handles each request once, for one App. Requests with the same key wait for each other.

    Responses are kept for `keep_s` seconds.
    """

    def __init__(self, requests: Requests, keep_s: float = KEEP_S) -> None:
        self._requests, self._keep_s = requests, keep_s
        self._secret = b""
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def once(self, steps: Steps, run: Callable[[], Awaitable[Response]], body: bytes, *beside: bytes) -> Response:
        """The response that the request of `steps` got before; otherwise what `run` returns now.

        The same key must come with the same `body`, and the same values `beside` it.

        Errors that `run` raises are not kept, nor responses with status 500 or above, streamed ones, or those of more
        than `MAX_KEPT_BYTES`. A kept response names its expiry in the header `Idempotency-Expires`.

        Raises: IdempotencyKeyReused, LogReplaced, Unavailable, and what `run` raises.
        """
        turn = self._turns.setdefault(steps.id, asyncio.Lock())
        async with turn:
            self._secret = self._secret or await self._requests.secret()
            mine = fingerprint(self._secret, body, *beside)
            claimed = await self._requests.claim(steps.id, mine)
            if claimed.fingerprint != mine:
                raise IdempotencyKeyReused(
                    "This Idempotency-Key was already used for a request with another body, query or client: send a "
                    "new key with each new request"
                )
            if claimed.answer is not None:
                return _again(claimed.answer)
            steps.before = frozenset(claimed.asked)
            try:
                response = await run()
            except BaseException:  # also when the request is cut off because the process stops
                await self._note(steps)
                raise
            return await self._kept(steps, response)

    async def _kept(self, steps: Steps, response: Response) -> Response:
        """The response, or that of another process which was faster."""
        answer = _to_keep(response)
        if answer is None:
            await self._note(steps)
            return response
        try:
            first = await self._requests.keep(steps.id, answer, steps.asked, self._keep_s)
        except TwofoldError as error:
            # The commands were executed, so an error would be wrong; a repeated request will find their results.
            log.warning("the response to request %s is not kept: %s", steps.id, error)
            return response
        if replace(first, expires_at=None) != answer:
            return _again(first)
        if first.expires_at is not None:
            response.headers[EXPIRES] = _http_date(first.expires_at)
        return response

    async def _note(self, steps: Steps) -> None:
        """Record the streams of a run without a response, so that the next run can be compared with it."""
        asked = steps.asked
        if not set(asked) - steps.before:
            return
        try:
            await self._requests.note(steps.id, asked)
        except TwofoldError as error:
            log.warning("the streams of request %s are not recorded: %s", steps.id, error)


def _to_keep(response: Response) -> Answer | None:
    """The response to keep; None if it is not kept."""
    body = getattr(response, "body", None)
    if response.status_code >= 500 or body is None:
        return None
    headers = [(name, value) for name, value in response.headers.items() if name not in _NOT_KEPT]
    if len(body) + sum(len(name) + len(value) for name, value in headers) > MAX_KEPT_BYTES:
        log.info("a response of %d bytes is too large to be kept for its Idempotency-Key", len(body))
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
