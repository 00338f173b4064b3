"""Appends: how many events a second are on the disk, when so many callers append one event each, again and again.

Every event begins a stream of its own, and the caller demands that it does not exist yet. A peer saves a new
aggregate with one event; raw is one INSERT and its commit.
"""

from bench.places import Backend
from bench.results import Case
from bench.run import Measured, Run, Seat

CALLERS = (1, 16, 128, 512)
SIDES: dict[Backend, tuple[str, ...]] = {
    "postgres": ("twofold", "eventsourcing", "raw", "eventsourcing, database functions"),
    "sqlite": ("twofold", "eventsourcing", "raw"),
}


def appends(run: Run) -> None:
    """On both backends, for each number of callers."""
    for backend, names in SIDES.items():
        with run.sides(backend, names) as seats:
            for callers in CALLERS:

                def measure(seat: Seat, clients: int = callers) -> Measured:
                    answer = seat.ask("append", clients=clients, seconds=run.size.seconds)
                    seat.check_stored(answer["count"] + answer.get("before", 0))
                    return Measured.rate(answer, "p50_ms", "p99_ms")

                name = "1 caller" if callers == 1 else f"{callers} callers"
                run.compare(Case("append", backend, name, "events/s"), seats, measure)
