"""Commands per second, loaded, decided and appended end to end by 16 callers.

Spread over 1,000 streams, or on 4 hot ones. A peer gets its aggregate, calls it and saves it, and retries after a
conflict.
"""

from bench.places import Backend
from bench.results import Case
from bench.run import Measured, Run, Seat

BACKENDS: tuple[Backend, ...] = ("postgres", "sqlite")
CALLERS = 16
STREAMS = 1_000
HOT_STREAMS = 4


def commands(run: Run) -> None:
    """Measure on both backends, spread and hot."""
    streams = min(STREAMS, run.size.peer_events)
    for backend in BACKENDS:
        with run.sides(backend, ("twofold", "eventsourcing")) as seats:
            for name, among in (("spread", streams), ("hot", HOT_STREAMS)):

                def measure(seat: Seat, among: int = among) -> Measured:
                    if seat.stored == 0:
                        seat.check_stored(seat.ask("fill_streams", streams=streams, length=1)["count"])
                    answer = seat.ask("commands", clients=CALLERS, streams=among, seconds=run.size.seconds)
                    seat.check_stored(answer["count"])
                    return Measured.rate(answer, "p50_ms", "p99_ms")

                run.compare(Case("command", backend, name, "commands/s"), seats, measure)
