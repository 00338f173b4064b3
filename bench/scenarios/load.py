"""Load: streams of 100 events per second that one caller loads and folds into the write model's state.

twofold caches recently folded states, so each pass begins with a newly opened App: every load reads and folds all 100
events. eventsourcing gets its aggregates from a repository without a cache, its default.
"""

from bench.places import Backend
from bench.results import Case
from bench.run import Measured, Run, Seat

BACKENDS: tuple[Backend, ...] = ("postgres", "sqlite")
LENGTH = 100
STREAMS = 100


def load(run: Run) -> None:
    """Measure on both backends."""
    streams = min(STREAMS, run.size.peer_events // LENGTH)

    def measure(seat: Seat) -> Measured:
        if seat.stored == 0:
            seat.check_stored(seat.ask("fill_streams", streams=streams, length=LENGTH)["count"])
            seat.place.settle()
        answer = seat.ask("load", streams=streams, length=LENGTH, seconds=run.size.seconds)
        return Measured.rate(answer, "p50_ms", "p99_ms")

    for backend in BACKENDS:
        with run.sides(backend, ("twofold", "eventsourcing")) as seats:
            run.compare(Case("load", backend, f"{LENGTH} events", "streams/s"), seats, measure)
