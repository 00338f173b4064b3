"""What the engine may not know by itself: the time of day, new names, chance.

Handed in from outside, so that the same engine runs under a simulator with a seed. Time that passes is the event
loop's (`loop.time()`, `asyncio.sleep`), which a simulator replaces as a whole.
"""

from __future__ import annotations

import random as _random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Ambient:
    """`now` answers an aware time in UTC, `new_id` 32 hex digits, `random` a number in [0, 1)."""

    now: Callable[[], datetime] = _utc_now
    new_id: Callable[[], str] = _new_id
    random: Callable[[], float] = _random.random
