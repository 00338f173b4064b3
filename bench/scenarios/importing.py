"""An import next to readers: how long after the acknowledgement of an append its row can be read.

Twenty appends a second, each followed to its row with its receipt, at rest and during an import in bulk. The value is
the median, shown with the 99th percentile; the ratio of the two 99th percentiles is a goal.
"""

from bench.places import Backend
from bench.results import Case
from bench.run import Measured, Run, Seat

BACKENDS: tuple[Backend, ...] = ("postgres", "sqlite")
PER_SECOND = 20
LONGER_AT_REST = 8.0  # than in other scenarios: a 99th percentile of few reads says little


def importing(run: Run) -> None:
    """Measure on both backends."""
    for backend in BACKENDS:
        with run.sides(backend, ("twofold",)) as seats:
            run.compare(Case("importing", backend, "at rest", "ms"), seats, lambda seat: at_rest(run, seat))
            run.compare(Case("importing", backend, "during an import", "ms"), seats, lambda seat: during(run, seat))


def at_rest(run: Run, seat: Seat) -> Measured:
    answer = seat.ask("lag", per_second=PER_SECOND, seconds=LONGER_AT_REST * run.size.seconds)
    return Measured(answer["p50_ms"], {"p99_ms": answer["p99_ms"]})


def during(run: Run, seat: Seat) -> Measured:
    answer = seat.ask("lag_during_import", per_second=PER_SECOND, events=run.size.imported)
    rate = run.size.imported / answer["seconds"]
    return Measured(answer["p50_ms"], {"p99_ms": answer["p99_ms"], "imported_per_s": rate})
