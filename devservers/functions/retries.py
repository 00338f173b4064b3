"""Retry policies: how long to wait after a failure, and when to give up. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devservers.functions.errors import Misconfigured

FOR_EVER = -1
LONGEST_S = 24 * 60 * 60.0
FIXED, EXPONENTIAL = "fixed_delay", "exponential_backoff"


@dataclass(frozen=True, slots=True)
class Retry:
    """At most so many retries, after a fixed delay (`least_s` = `most_s`) or one that doubles up to `most_s`."""

    count: int
    least_s: float
    most_s: float

    def delay_s(self, failures: int) -> float | None:
        """The delay after that many failures in a row; None to give up."""
        if self.count != FOR_EVER and failures > self.count:
            return None
        return min(self.most_s, self.least_s * 2.0 ** min(failures - 1, 64))


def of_function(options: Mapping[str, Any]) -> Retry | None:
    """The policy in a function's metadata, in which the protocol leaves out what is zero."""
    if not options:
        return None
    count = int(options.get("max_retry_count", 0))
    if options.get("retry_strategy") == FIXED:
        delay = _seconds(options.get("delay_interval", "0s"))
        return Retry(count, delay, delay)
    return Retry(count, *_limits(options.get("minimum_interval"), options.get("maximum_interval")))


def of_host(options: Mapping[str, Any] | None) -> Retry | None:
    """The policy in `host.json`, for functions without one of their own. Raises: Misconfigured."""
    if not options:
        return None
    try:
        count = int(options["maxRetryCount"])
        if options["strategy"] == "fixedDelay":
            delay = _clock(options["delayInterval"])
            return Retry(count, delay, delay)
        return Retry(count, _clock(options["minimumInterval"]), _clock(options["maximumInterval"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Misconfigured(
            f"retry in host.json is not a policy ({error!r}): it needs strategy, maxRetryCount, and delayInterval for "
            f"fixedDelay, minimumInterval and maximumInterval for exponentialBackoff, such as 00:00:05"
        ) from None


def _limits(least: str | None, most: str | None) -> tuple[float, float]:
    least_s = _seconds(least or "0s")
    return least_s, max(least_s, min(_seconds(most or "0s") or LONGEST_S, LONGEST_S))


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def _clock(text: str) -> float:
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d)", text)
    if match is None:
        raise ValueError(f"{text} is not hh:mm:ss")
    hours, minutes, seconds = map(int, match.groups())
    return hours * 3600.0 + minutes * 60 + seconds
