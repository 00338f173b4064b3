"""HTTP: requests per second of the example shop on 32 connections, run by `shop.serve`.

Reads get one of 200 orders from a read model. Commands place an order: the server loads, decides and appends, and a
reactor reserves what was ordered. The client (wrk, or asyncio's streams) runs on the same cores.
"""

from bench.http_load import CONNECTIONS, Load, place_orders, read
from bench.places import Backend, Place
from bench.results import Case
from bench.run import Measured, Run, WrongResult
from bench.shop import open_shop
from bench.who import WHO

BACKENDS: tuple[Backend, ...] = ("postgres", "sqlite")
ORDERS = 200


def requests(run: Run) -> None:
    """Measure on both backends."""
    for backend in BACKENDS:
        on(run, backend)


def on(run: Run, backend: Backend) -> None:
    with run.places.fresh(backend) as place, open_shop(place) as shop:
        shop.stock_up()
        shop.place(ORDERS, "read-")
        acknowledged: list[int] = []

        def get() -> Measured:
            return _measured(read(shop.address, "/orders/read-%d", ORDERS, run.size.seconds))

        def command() -> Measured:
            load = place_orders(shop.address, f"round-{len(acknowledged)}-", run.size.seconds)
            acknowledged.append(load.count)
            told, placed = sum(acknowledged), _placed(place) - ORDERS
            if not told <= placed <= told + CONNECTIONS * len(acknowledged):  # some were placed while the client ended
                raise WrongResult(f"{told:,} orders were acknowledged, but {placed:,} are stored")
            return _measured(load)

        run.alone(Case("http", backend, "reads", "requests/s"), get)
        run.alone(Case("http", backend, "commands", "requests/s"), command)


def _placed(place: Place) -> int:
    [found] = place.query(f"SELECT count(*) FROM {WHO['twofold'].events[place.backend]} WHERE type = 'OrderPlaced'")
    return int(found)


def _measured(load: Load) -> Measured:
    return Measured(load.count / load.seconds, {"p50_ms": load.p50_ms, "p99_ms": load.p99_ms})
