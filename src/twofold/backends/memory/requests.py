"""Requests with an idempotency key, and their responses."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import islice

from msgspec.structs import replace

from twofold.ambient import Ambient
from twofold.write.requests import SWEPT_AT_ONCE, Answer, Claimed


class MemoryRequests:
    """See `Requests`. `log_id` returns the log's current id."""

    def __init__(self, ambient: Ambient, log_id: Callable[[], str]) -> None:
        self._ambient, self._log_id = ambient, log_id
        self._secret = b""
        self._claims: dict[str, Claimed] = {}
        self._answers: dict[str, tuple[str, Answer]] = {}

    async def secret(self) -> bytes:
        """See `Requests.secret`."""
        self._secret = self._secret or bytes.fromhex(self._ambient.new_id() + self._ambient.new_id())
        return self._secret

    async def claim(self, id: str, fingerprint: bytes) -> Claimed:
        """See `Requests.claim`."""
        await asyncio.sleep(0)
        return replace(self._claims.setdefault(id, Claimed(fingerprint)), answer=self._answer(id))

    async def note(self, id: str, asked: Sequence[str]) -> None:
        """See `Requests.note`."""
        self._claims[id] = replace(self._claims[id], asked=asked)

    async def keep(self, id: str, answer: Answer, asked: Sequence[str], keep_s: float) -> Answer:
        """See `Requests.keep`."""
        await asyncio.sleep(0)
        first, now = self._answer(id), self._ambient.now()
        if first is not None:
            return first
        for other in list(islice(self._answers, SWEPT_AT_ONCE)):  # the oldest
            if self._answer(other) is None:
                del self._answers[other]
        self._answers.pop(id, None)
        await self.note(id, asked)
        self._answers[id] = self._log_id(), replace(answer, expires_at=now + timedelta(seconds=keep_s))
        return self._answers[id][1]

    def _answer(self, id: str) -> Answer | None:
        log_id, answer = self._answers.get(id, ("", None))
        valid = answer is not None and answer.expires_at is not None and answer.expires_at > self._ambient.now()
        return answer if valid and log_id == self._log_id() else None
