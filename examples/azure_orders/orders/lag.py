"""How long orders took from the document to the row, for status and metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import timedelta

BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
NAME = "order_projection_lag_seconds"


class Lags:
    """A histogram of this process."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0
        self.last_s: float | None = None

    def observe(self, lag: timedelta) -> None:
        """Count one order."""
        self.last_s = max(0.0, lag.total_seconds())
        self._sum_s += self.last_s
        self._counts[bisect_left(BOUNDS_S, self.last_s)] += 1

    def lines(self) -> Iterator[str]:
        """In the text format of Prometheus."""
        yield f"# HELP {NAME} From an order's document to its row, in this process."
        yield f"# TYPE {NAME} histogram"
        below = 0
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), self._counts, strict=True):
            below += count
            yield f'{NAME}_bucket{{le="{bound}"}} {below}'
        yield f"{NAME}_sum {self._sum_s:.6f}"
        yield f"{NAME}_count {below}"
