"""Rebuild: events per second of `twofold rebuild`, and the memory it adds.

The floor only reads, decodes and folds the same log and writes nothing. Memory is the growth of the process's peak
during the rebuild; that of PostgreSQL is not included.
"""

from bench.places import Backend
from bench.results import Case
from bench.run import Measured, Run, Seat
from bench.scenarios.fold import by_twofold, in_memory

BACKENDS: tuple[Backend, ...] = ("postgres", "sqlite")
ROUNDS = 3


def rebuild(run: Run) -> None:
    """Measure on both backends: 1,000,000 events in a full run."""
    events = run.size.many_events
    for backend in BACKENDS:

        def measure(seat: Seat) -> Measured:
            if seat.name != "twofold":
                return in_memory(seat, events)
            return by_twofold(run, seat, "rebuild", "order_row", events)

        with run.sides(backend, ("twofold", "floor"), log=run.filled(backend, events)) as seats:
            run.compare(Case("rebuild", backend, "one key", "events/s"), seats, measure, rounds=ROUNDS)
