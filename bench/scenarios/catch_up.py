"""Catch-up: events per second of a new projection that starts from nothing on a full log.

`one key` is a row for each order, a frozen dataclass as in the tutorial or a Struct of msgspec; `several keys` is a row
for each product among an order's item lines. twofold runs as a server does, `App.open` with its followers running, into
an empty read store. The floor only reads, decodes and folds; pure SQL is one statement over all events. Peers fold
their own log of the same events: eventsourcing with its projection runner, eventsource-py with a batch handler, for
which twofold runs on Python 3.13 too.
"""

from bench.places import Backend
from bench.results import Case
from bench.run import Measured, Run, Seat
from bench.scenarios.fold import by_peer, by_twofold, in_memory

UNIT = "events/s"
BESIDE_US = ("floor", "floor, events alone", "pure SQL")
MANY_ROUNDS = 3
PEERS: dict[Backend, tuple[str, ...]] = {"postgres": ("eventsourcing",), "sqlite": ()}  # no runner on SQLite


def catch_up(run: Run) -> None:
    """Measure against every side; a full run also folds 1,000,000 events, to compare the cost per event."""
    on_python_313(run)
    for backend, peers in PEERS.items():
        one_key(run, backend, peers)
    for backend in PEERS:
        by_itself(run, backend, "one key, rows are Structs", "order_struct")
        by_itself(run, backend, "several keys", "product_row")
        if run.size.many_events > run.size.events:
            many(run, backend)


def one_key(run: Run, backend: Backend, peers: tuple[str, ...]) -> None:
    events = run.size.events

    def measure(seat: Seat) -> Measured:
        if seat.name in peers:
            return by_peer(run, seat)
        if seat.name in BESIDE_US:
            return in_memory(seat, events)
        return by_twofold(run, seat, "catch_up", "order_row", events)

    with run.sides(backend, ("twofold", *peers, *BESIDE_US), log=run.filled(backend, events)) as seats:
        run.compare(Case("catch-up", backend, "one key", UNIT), seats, measure)


def on_python_313(run: Run) -> None:
    def measure(seat: Seat) -> Measured:
        if seat.name == "eventsource-py":
            return by_peer(run, seat)
        return by_twofold(run, seat, "catch_up", "order_row", run.size.events)

    sides = ("twofold on 3.13", "eventsource-py")
    with run.sides("postgres", sides, log=run.filled("postgres", run.size.events)) as seats:
        run.compare(Case("catch-up", "postgres", "one key, Python 3.13", UNIT), seats, measure)


def by_itself(run: Run, backend: Backend, name: str, projection: str) -> None:
    def measure(seat: Seat) -> Measured:
        return by_twofold(run, seat, "catch_up", projection, run.size.events)

    with run.sides(backend, ("twofold",), log=run.filled(backend, run.size.events)) as seats:
        run.compare(Case("catch-up", backend, name, UNIT), seats, measure)


def many(run: Run, backend: Backend) -> None:
    for name, projection in (("one key", "order_row"), ("several keys", "product_row")):

        def measure(seat: Seat, projection: str = projection) -> Measured:
            return by_twofold(run, seat, "catch_up", projection, run.size.many_events)

        with run.sides(backend, ("twofold",), log=run.filled(backend, run.size.many_events)) as seats:
            case = Case("catch-up", backend, f"{name}, {run.size.many_events:,} events", UNIT)
            run.compare(case, seats, measure, rounds=MANY_ROUNDS)
