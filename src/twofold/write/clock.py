"""The time at which events are recorded, where a clock can be wrong."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

MOST_AHEAD = timedelta(seconds=1)

log = logging.getLogger("twofold.log")


def recorded_at(clock: datetime, newest: datetime | None) -> datetime:
    """The time for the next events: the clock's, but not before that of the log's newest event.

    That event counts while it is at most `MOST_AHEAD` ahead of the clock. Beyond that the clock was wrong when it was
    recorded, and one wrong time must not become the time of everything after it.
    """
    if newest is None or newest <= clock or goes_back(clock, newest):
        return clock
    return newest


def goes_back(clock: datetime, newest: datetime) -> bool:
    """Whether events that are recorded now get an earlier time than the log's newest event."""
    return newest - clock > MOST_AHEAD


def warn(clock: datetime, newest: datetime) -> None:
    """Log that the recorded time has gone back: once, for the next event is compared with one of the clock's time."""
    log.warning(
        "the newest event was recorded at %s, but the clock says %s: from now on events are recorded at the clock's "
        "time. Check the clocks of the machines that append",
        newest.isoformat(),
        clock.isoformat(),
    )
