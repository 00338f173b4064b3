"""HTTP: what the example shop answers on 32 connections, as `shop.serve` runs it.

Reads get one of 200 orders from a read model. Commands place an order: the server loads, decides and appends, and a
reactor reserves what was ordered. The client (wrk, or asyncio's streams) runs on the same cores.
"""

from itertools import count

from bench.http_load import CONNECTIONS, Load, place_orders, read_orders
from bench.places import Backend, Place
from bench.results import Case
from bench.run import Measured, Run, WrongResult
from bench.shop import open_shop, order
from bench.who import WHO

BACKENDS: tuple[Backend, ...] = ("postgres", "sqlite")
ORDERS = 200


def requests(run: Run) -> None:
    """On both backends."""
    for backend in BACKENDS:
        on(run, backend)


def on(run: Run, backend: Backend) -> None:
    rounds = count(1)
    with run.places.fresh(backend) as place, open_shop(place) as shop:
        shop.stock_up()
        for number in range(ORDERS):
            shop.ask("POST", "/orders", order(f"read-{number}"))

        def read() -> Measured:
            return _measured(read_orders(shop, ORDERS, "read-", run.size.seconds))

        def command() -> Measured:
            before = _placed(place)
            load = place_orders(shop, f"round-{next(rounds)}-", run.size.seconds)
            placed = _placed(place) - before
            if not load.count <= placed <= load.count + CONNECTIONS:  # the last ones may be placed and not yet answered
                raise WrongResult(f"{load.count:,} orders were acknowledged, and {placed:,} are there")
            return _measured(load)

        run.alone(Case("http", backend, "reads", "requests/s"), read)
        run.alone(Case("http", backend, "commands", "requests/s"), command)


def _placed(place: Place) -> int:
    [found] = place.query(f"SELECT count(*) FROM {WHO['twofold'].events[place.backend]} WHERE type = 'OrderPlaced'")
    return int(found)


def _measured(load: Load) -> Measured:
    return Measured(load.count / load.seconds, {"p50_ms": load.p50_ms, "p99_ms": load.p99_ms})
