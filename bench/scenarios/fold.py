"""How one round of folding is measured and checked, for each kind of side. Catch-up and rebuild share it."""

from dataclasses import astuple

from bench.places import Place
from bench.run import Measured, Run, Seat, WrongResult
from bench.workload import product_totals, totals

BY_ORDER = "count(*), sum(item_count), sum(total_amount), sum(CASE WHEN status = 'shipped' THEN 1 ELSE 0 END)"
SUMS = {
    "order_row": f"SELECT {BY_ORDER} FROM order_row",
    "order_struct": f"SELECT {BY_ORDER} FROM order_struct",
    "product_row": "SELECT sum(ordered), sum(revenue) FROM product_row",
}


def by_twofold(run: Run, seat: Seat, do: str, projection: str, events: int) -> Measured:
    """`catch_up` or `rebuild`, into an empty read store."""
    with run.places.fresh(seat.place.backend) as rows:
        answer = seat.ask(do, projection=projection, read_store=rows.url)
        check(seat.name, sums(rows, projection), projection, events)
    return Measured.rate(answer, "added_mb")


def in_memory(seat: Seat, events: int) -> Measured:
    """The floor and pure SQL: everything in twofold's log."""
    answer = seat.ask("fold")
    check(seat.name, answer["totals"], "order_row", events)
    return Measured.rate(answer)


def by_peer(run: Run, seat: Seat) -> Measured:
    """A peer on its own log; eventsourcing as far as it gets in its time."""
    events = run.size.peer_events
    if seat.stored == 0:
        run.tell(f"filling {seat.name} with {events:,} events …")
        seat.ask("fill", events=events)
        seat.check_stored(events)
        seat.place.settle()
    bound = {"seconds": run.size.peer_seconds} if seat.name == "eventsourcing" else {}
    answer = seat.ask("catch_up", events=events, **bound)
    check(seat.name, sums(seat.place, "order_row"), "order_row", answer.get("folded", answer["count"]))
    return Measured.rate(answer)


def sums(place: Place, projection: str) -> list[int]:
    """The sums over the rows of a read model."""
    return [int(value or 0) for value in place.query(SUMS[projection])]


def check(name: str, found: list[int], projection: str, events: int) -> None:
    """Check the sums of the rows against the events. Raises: WrongResult."""
    expected = list(astuple(product_totals(events) if projection == "product_row" else totals(events)))
    if found != expected:
        raise WrongResult(f"the rows of {name} add up to {found}, but {events:,} events to {expected}")
