"""The peer eventsourcing: aggregates saved through an application, from one thread for each caller.

Its default recorder with psycopg's compiled driver and as many pooled connections as there are callers (40 at most).
`database_functions` is its variant that inserts through functions in the database.
"""

import threading
import time
from itertools import count
from typing import Any

from bench.protocol import Clocked, serve
from bench.sides.arguments import Arguments
from bench.workload import details, order_id
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

POOL_SIZE = 20


class Order(Aggregate):
    @event("Placed")
    def __init__(self, customer_id: str, items: list[Any], total_amount: int, currency: str, warehouse: str) -> None:
        self.customer_id = customer_id
        self.item_count = len(items)
        self.total_amount = total_amount
        self.status = "placed"

    @event("ItemsAdded")
    def add_items(self, customer_id: str, items: list[Any], total_amount: int, currency: str, warehouse: str) -> None:
        self.item_count += len(items)
        self.total_amount += total_amount
        self.status = "open"

    @event("Paid")
    def pay(self, customer_id: str, items: list[Any], total_amount: int, currency: str, warehouse: str) -> None:
        self.status = "paid"

    @event("Shipped")
    def ship(self, customer_id: str, items: list[Any], total_amount: int, currency: str, warehouse: str) -> None:
        self.status = "shipped"


class Shop(Application):
    name = "shop"


def environment(arguments: Arguments) -> dict[str, str]:
    """How its documentation sets it up."""
    if not arguments.is_postgres:
        return {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": arguments.file,
            "SQLITE_LOCK_TIMEOUT": "30",
        }
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": arguments.database,
        "POSTGRES_HOST": arguments.socket_folder,
        "POSTGRES_PORT": "5432",
        "POSTGRES_USER": "postgres",
        "POSTGRES_PASSWORD": "none",
        "POSTGRES_POOL_SIZE": str(POOL_SIZE),
        "POSTGRES_MAX_OVERFLOW": str(POOL_SIZE),
        "POSTGRES_ENABLE_DB_FUNCTIONS": "yes" if arguments.more.get("database_functions") else "no",
    }


class Eventsourcing:
    """On one store."""

    def __init__(self, arguments: Arguments) -> None:
        self._environment = environment(arguments)
        self._app = Shop(self._environment)
        self._numbers = count(1)

    def append(self, clients: int, seconds: float) -> dict[str, Any]:
        """Single events to new aggregates."""
        clocked, clock = Clocked(), time.perf_counter
        start = threading.Barrier(clients + 1)

        def caller() -> None:
            start.wait()
            while (before := clock()) < end:
                self._app.save(Order(**details(next(self._numbers))))
                clocked.latencies_s.append(clock() - before)

        self._app.save(Order(**details(0)))
        threads = [threading.Thread(target=caller) for _ in range(clients)]
        end = 0.0
        for thread in threads:
            thread.start()
        began = clock()
        end = began + seconds
        start.wait()
        for thread in threads:
            thread.join()
        clocked.seconds = clock() - began
        return clocked.answer(before=1)


if __name__ == "__main__":
    serve(Eventsourcing(Arguments.read()))
