"""What the engine gets from outside: the time of day, new ids, randomness.

They are passed in, so that the same engine runs under a simulator with a seed. Elapsed time comes from the event loop
(`loop.time()`, `asyncio.sleep`), which a simulator replaces as a whole.
"""

from __future__ import annotations

import os
import random as _random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


IDS_AT_ONCE = 256
_ids: list[str] = []


def _new_id() -> str:
    """A random id. Randomness is fetched in bulk: one system call per id costs more than the rest of an append."""
    if not _ids:
        drawn = os.urandom(16 * IDS_AT_ONCE).hex()
        _ids.extend(drawn[at : at + 32] for at in range(0, len(drawn), 32))
    return _ids.pop()


os.register_at_fork(after_in_child=_ids.clear)  # two processes must never use the same ids


@dataclass(frozen=True, slots=True)
class Ambient:
    """`now` returns an aware time in UTC, `new_id` 32 hex digits, `random` a number in [0, 1)."""

    now: Callable[[], datetime] = _utc_now
    new_id: Callable[[], str] = _new_id
    random: Callable[[], float] = _random.random
