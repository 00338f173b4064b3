"""The port for requests with an idempotency key and their responses. A capability of a log.

A request is claimed before it runs, and its response is stored afterwards. Neither write has to survive a power cut, so
a store commits them without waiting for its disk: a request whose claim or response is lost runs again with the same
command ids, which the log keeps for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import msgspec

SWEPT_AT_ONCE = 10
"""How many expired responses one `keep` removes: more than it adds, and bounded."""


class Answer(msgspec.Struct, frozen=True):
    """An HTTP response. `expires_at` (aware, UTC) is None until it is stored."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    expires_at: datetime | None = None


class Claimed(msgspec.Struct, frozen=True):
    """What is known of a request: its first fingerprint, the streams that it used when it ran, its response."""

    fingerprint: bytes
    asked: Sequence[str] = ()
    answer: Answer | None = None


class Requests(Protocol):
    """Requests by their id, 64 hex digits.

    Every method raises LogReplaced if the log was replaced, ConfigurationError and Unavailable.
    """

    async def secret(self) -> bytes:
        """The key of all fingerprints: 32 random bytes, created once for each log and stored with its id."""
        ...

    async def claim(self, id: str, fingerprint: bytes) -> Claimed:
        """What is known of the request; if nothing is, `fingerprint` is stored.

        A response that has expired, or that was stored under another log id, is not returned.
        """
        ...

    async def note(self, id: str, asked: Sequence[str]) -> None:
        """Record which streams a claimed request uses; it has no response yet."""
        ...

    async def keep(self, id: str, answer: Answer, asked: Sequence[str], keep_s: float) -> Answer:
        """Store the response to a claimed request for `keep_s` seconds, and its streams for ever.

        If there is a response already, that one is kept and returned. Removes at most `SWEPT_AT_ONCE` expired
        responses; the fingerprint and the streams of these requests stay, so that their keys cannot be used for
        anything else.
        """
        ...


@runtime_checkable
class KeepsRequests(Protocol):
    """A log that stores requests and their responses beside its command ids."""

    @property
    def requests(self) -> Requests:
        """The requests of this log."""
        ...
