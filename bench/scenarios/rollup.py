"""Rollup: what a Rollup adds to the time in which its projection catches up, per event.

The projection is a row for each order, the Rollup one for each of 5,000 customers: number, total and largest of the
orders. Beside it, the same as a projection of its own with `key=`. Each round folds the same log without the Rollup,
with it, and the projection of its own, into empty read stores, in turn and three times. The fastest of each counts,
as the difference of two times is wanted.
"""

from bench.places import Backend
from bench.results import Case
from bench.run import Measured, Run, Seat, WrongResult
from bench.workload import totals

BACKENDS: tuple[Backend, ...] = ("postgres", "sqlite")
TRIES = 3
SUM = "SELECT sum(orders), sum(spent) FROM {}"


def rollup(run: Run) -> None:
    """Measure on both backends."""
    events = run.size.events
    for backend in BACKENDS:

        def measure(seat: Seat) -> Measured:
            tries = [
                (
                    seconds(run, seat, "order_row", events),
                    seconds(run, seat, "order_row", events, rolled=True),
                    seconds(run, seat, "customer_row", events),
                )
                for _ in range(TRIES)
            ]
            alone, rolled, own = (min(times) for times in zip(*tries, strict=True))
            added = max(rolled - alone, alone / 1_000)
            return Measured(100 * (rolled - alone) / alone, {"own_projection_times": own / added})

        with run.sides(backend, ("twofold",), log=run.filled(backend, events)) as seats:
            run.compare(Case("rollup", backend, "added to its projection", "%"), seats, measure)


def seconds(run: Run, seat: Seat, projection: str, events: int, *, rolled: bool = False) -> float:
    """How long a catch-up takes. Raises: WrongResult."""
    with run.places.fresh(seat.place.backend) as rows:
        answer = seat.ask("catch_up", projection=projection, read_store=rows.url, rollup=rolled)
        table = "customer_rollup" if rolled else projection
        if table != "order_row":
            expected = totals(events)
            found = [int(value or 0) for value in rows.query(SUM.format(table))]
            if found != [expected.rows, expected.amount]:
                raise WrongResult(f"the rows of {table} add up to {found}, but the events to {expected}")
    return float(answer["seconds"])
