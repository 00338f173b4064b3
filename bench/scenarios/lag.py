"""Lag: how long after an append is acknowledged its row can be read, by a reader who holds the receipt.

At rest there are twenty appends a second, and every one of them is followed to its row; at 1,000 a second every
twentieth is. The value is the median, the 99th percentile stands beside it.
"""

from bench.places import Backend
from bench.results import Case
from bench.run import Measured, Run, Seat

BACKENDS: tuple[Backend, ...] = ("postgres", "sqlite")
PACES = (("at rest", 20, 4.0), ("at 1,000 appends/s", 1_000, 2.0))  # appends per second; how much longer than others


def lag(run: Run) -> None:
    """On both backends, at both paces."""
    for backend in BACKENDS:
        with run.sides(backend, ("twofold",)) as seats:
            for name, per_second, longer in PACES:

                def measure(seat: Seat, per_second: int = per_second, longer: float = longer) -> Measured:
                    seconds = longer * run.size.seconds
                    answer = seat.ask("lag", per_second=per_second, seconds=seconds)
                    seat.check_stored(answer["count"] + 1)
                    return Measured(answer["p50_ms"], {"p99_ms": answer["p99_ms"]})

                run.compare(Case("lag", backend, name, "ms"), seats, measure)
