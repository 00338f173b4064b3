"""The port to requests that carry a key: what was asked, and what was answered. A capability of a log.

A request is claimed before it runs and gets its answer when it has run. Neither write has to outlive a power cut, so a
store commits them without waiting for its disk: a request whose claim or answer is lost runs again, with the same
command ids, and the log knows those for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import msgspec

SWEPT_AT_ONCE = 10
"""How many expired answers one `keep` removes: more than it adds, and bounded."""


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer. `expires_at` (aware, UTC) is None until it is kept."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    expires_at: datetime | None = None


class Claimed(msgspec.Struct, frozen=True):
    """What is known of a request: the first fingerprint, the streams that it asked when it ran, its answer."""

    fingerprint: bytes
    asked: Sequence[str] = ()
    answer: Answer | None = None


class Requests(Protocol):
    """Requests by their id, 64 hex digits.

    Every method raises LogReplaced when the log is another one, ConfigurationError and Unavailable.
    """

    async def secret(self) -> bytes:
        """The key of all fingerprints: 32 random bytes, made once for each log and kept with its id."""
        ...

    async def claim(self, id: str, fingerprint: bytes) -> Claimed:
        """What is known of the request; `fingerprint` is stored when nothing is.

        An answer that has expired, or that was given under another log id, is not returned.
        """
        ...

    async def note(self, id: str, asked: Sequence[str]) -> None:
        """Record which streams a claimed request asked; it has no answer yet."""
        ...

    async def keep(self, id: str, answer: Answer, asked: Sequence[str], keep_s: float) -> Answer:
        """Store the answer of a claimed request for `keep_s` seconds, and the streams it asked for ever.

        Of several answers the first is kept, and returned. At most `SWEPT_AT_ONCE` answers that have expired are
        removed; of these requests the fingerprint and the streams stay, so that their keys cannot be used for
        anything else.
        """
        ...


@runtime_checkable
class KeepsRequests(Protocol):
    """A log that keeps requests and their answers beside its command ids."""

    @property
    def requests(self) -> Requests:
        """The requests of this log."""
        ...
