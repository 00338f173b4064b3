"""Appends: events per second that reach the disk when callers append single events, again and again.

Every event starts a new stream, and the caller requires that it does not exist yet. eventsourcing saves a new
aggregate with one event, eventsource-py appends to its event store; raw is one INSERT and its commit.
"""

from bench.places import Backend
from bench.results import Case
from bench.run import Measured, Run, Seat, Seats

SIDES: dict[Backend, tuple[str, ...]] = {
    "postgres": ("twofold", "eventsourcing", "raw", "eventsourcing, database functions"),
    "sqlite": ("twofold", "eventsourcing", "raw"),
}
ON_PYTHON_313 = ("twofold on 3.13", "eventsource-py")


def appends(run: Run) -> None:
    """Measure on both backends, for each number of callers."""
    for backend, names in SIDES.items():
        with run.sides(backend, names) as seats:
            for callers in run.size.callers:
                compare(run, backend, seats, callers, "1 caller" if callers == 1 else f"{callers} callers")
    with run.sides("postgres", ON_PYTHON_313) as seats:
        compare(run, "postgres", seats, 16, "16 callers, Python 3.13")


def compare(run: Run, backend: Backend, seats: Seats[Seat], callers: int, name: str) -> None:
    def measure(seat: Seat) -> Measured:
        answer = seat.ask("append", clients=callers, seconds=run.size.seconds)
        seat.check_stored(answer["count"] + answer.get("before", 0))
        return Measured.rate(answer, "p50_ms", "p99_ms")

    run.compare(Case("append", backend, name, "events/s"), seats, measure)
