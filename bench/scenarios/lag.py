"""Lag: how long after the acknowledgement of an append its row can be read.

At rest there are twenty appends a second, each followed to its row; at 1,000 a second every twentieth is. twofold's
reader passes the receipt, which the query waits for; eventsourcing's polls without pause. The value is the median of
the followed appends, shown with the 99th percentile.
"""

from bench.places import Backend
from bench.results import Case
from bench.run import Measured, Run, Seat

SIDES: dict[Backend, tuple[str, ...]] = {"postgres": ("twofold", "eventsourcing"), "sqlite": ("twofold",)}
AT_REST, BUSY = 20, 1_000  # appends per second
LONGER_AT_REST, LONGER_BUSY = 4.0, 2.0  # than in other scenarios


def lag(run: Run) -> None:
    """Measure on both backends, at both rates; a peer at rest."""
    for backend, names in SIDES.items():
        with run.sides(backend, names) as seats:
            run.compare(Case("lag", backend, "at rest", "ms"), seats, lambda seat: at_rest(run, seat))
        with run.sides(backend, ("twofold",)) as seats:
            run.compare(Case("lag", backend, "at 1,000 appends/s", "ms"), seats, lambda seat: busy(run, seat))


def at_rest(run: Run, seat: Seat) -> Measured:
    return measured(seat, AT_REST, LONGER_AT_REST * run.size.seconds)


def busy(run: Run, seat: Seat) -> Measured:
    return measured(seat, BUSY, LONGER_BUSY * run.size.seconds)


def measured(seat: Seat, per_second: int, seconds: float) -> Measured:
    answer = seat.ask("lag", per_second=per_second, seconds=seconds)
    seat.check_stored(int(per_second * seconds) + 1)
    return Measured(answer["p50_ms"], {"p99_ms": answer["p99_ms"]})
