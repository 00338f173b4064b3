"""The time at which events are recorded, allowing for clocks that are wrong."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

MOST_AHEAD = timedelta(seconds=1)

log = logging.getLogger("twofold.log")


def recorded_at(clock: datetime, newest: datetime | None) -> datetime:
    """The time for the next events: the clock's, but not earlier than the log's newest event.

    An event more than `MOST_AHEAD` ahead of the clock is ignored: it was recorded by a wrong clock, and one wrong time
    must not become the time of every later event.
    """
    if newest is None or newest <= clock or goes_back(clock, newest):
        return clock
    return newest


def goes_back(clock: datetime, newest: datetime) -> bool:
    """Whether events recorded now get an earlier time than the log's newest event."""
    return newest - clock > MOST_AHEAD


def warn(clock: datetime, newest: datetime) -> None:
    """Log that the recorded time goes back. This happens once: the next event is compared with one of the new time."""
    log.warning(
        "the newest event was recorded at %s, but the clock says %s: from now on events are recorded with the "
        "clock's time. Check the clocks of the machines that append",
        newest.isoformat(),
        clock.isoformat(),
    )
