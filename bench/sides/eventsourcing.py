"""The peer eventsourcing: aggregates saved through an application, one thread per caller.

It uses the default recorder, psycopg's compiled driver, and one connection per caller up to 16; more callers share 24.
`database_functions` is its variant that inserts through database functions.
"""

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count, cycle
from typing import Any

import psycopg
from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError, Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL

from bench.protocol import Clocked, serve
from bench.sides.arguments import Arguments
from bench.workload import details, history

POOL_SIZE, OVERFLOW = 16, 8
FILL_AT_ONCE = 500
FULL = 2
READ = "SELECT 1 FROM order_row WHERE order_id = %s"
LOOK_EVERY_S = 0.02
TABLE = """CREATE TABLE IF NOT EXISTS order_row (order_id text PRIMARY KEY, customer_id text NOT NULL,
    status text NOT NULL, item_count bigint NOT NULL, total_amount bigint NOT NULL)"""
ADD_ITEMS = """UPDATE order_row SET status = 'open', item_count = item_count + %s, total_amount = total_amount + %s
    WHERE order_id = %s"""


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


class OrderRows(PostgresTrackingRecorder):
    """The view: each transaction runs one statement and tracks one event."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.sql_create_statements.append(SQL(TABLE))

    def write(self, tracking: Tracking, sql: str, *values: Any) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(sql, values, prepare=True)


class OrderProjection(Projection[OrderRows]):
    name = "orders"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        raise TypeError(f"no case for {domain_event!r}")

    @process_event.register
    def _(self, placed: Order.Placed, tracking: Tracking) -> None:
        row = (str(placed.originator_id), placed.customer_id, len(placed.items), placed.total_amount)
        self.view.write(tracking, "INSERT INTO order_row VALUES (%s, %s, 'placed', %s, %s)", *row)

    @process_event.register
    def _(self, added: Order.ItemsAdded, tracking: Tracking) -> None:
        more = (len(added.items), added.total_amount, str(added.originator_id))
        self.view.write(tracking, ADD_ITEMS, *more)

    @process_event.register
    def _(self, paid: Order.Paid, tracking: Tracking) -> None:
        self.view.write(tracking, "UPDATE order_row SET status = 'paid' WHERE order_id = %s", str(paid.originator_id))

    @process_event.register
    def _(self, sent: Order.Shipped, tracking: Tracking) -> None:
        self.view.write(
            tracking, "UPDATE order_row SET status = 'shipped' WHERE order_id = %s", str(sent.originator_id)
        )


def environment(arguments: Arguments) -> dict[str, str]:
    """Set up as its documentation does."""
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
        "POSTGRES_MAX_OVERFLOW": str(OVERFLOW),
        "POSTGRES_ENABLE_DB_FUNCTIONS": "yes" if arguments.more.get("database_functions") else "no",
    }


def refuse_less_than_full(file: str) -> None:
    """It has no option for `synchronous`, so the SQLite of its Python must wait for the disk by default."""
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        [synchronous] = db.execute("PRAGMA synchronous").fetchone()
    if synchronous != FULL:
        raise RuntimeError(f"the SQLite of this Python commits with synchronous={synchronous}, which is less than FULL")


class Eventsourcing:
    """On one store."""

    def __init__(self, arguments: Arguments) -> None:
        self._environment = environment(arguments)
        if not arguments.is_postgres:
            refuse_less_than_full(arguments.file)
        self._app = Shop(self._environment)
        self._reader = arguments.url
        self._numbers = count(1)
        self._orders: list[Any] = []

    def append(self, clients: int, seconds: float) -> dict[str, Any]:
        """Save new aggregates with single events."""

        def one() -> None:
            self._app.save(Order(**details(next(self._numbers))))

        one()  # connect and prepare statements before the clock starts
        return self._in_threads(one, clients, seconds).answer(before=1)

    def _in_threads(self, call: Callable[[], None], clients: int, seconds: float) -> Clocked:
        """Run `clients` callers for `seconds`, each making its next call when the last one has returned."""
        clocked, clock = Clocked(), time.perf_counter
        start = threading.Barrier(clients + 1)

        def caller() -> None:
            start.wait()
            end = clock() + seconds
            while (before := clock()) < end:
                call()
                clocked.latencies_s.append(clock() - before)

        threads = [threading.Thread(target=caller) for _ in range(clients)]
        for thread in threads:
            thread.start()
        began = clock()
        start.wait()
        for thread in threads:
            thread.join()
        clocked.seconds = clock() - began
        return clocked

    def fill(self, events: int) -> dict[str, Any]:
        """Store the first events of the workload through its recorder."""
        steps: tuple[Callable[..., None], ...] = (Order.add_items, Order.pay, Order.ship)
        orders: dict[int, Order] = {}
        stored: list[Any] = []
        for number, version in history(events):
            if version == 1:
                orders[number] = Order(**details(number))
            else:
                steps[version - 2](orders[number], **details(number, version))
            stored += [self._app.mapper.to_stored_event(one) for one in orders[number].collect_events()]
            if len(stored) >= FILL_AT_ONCE:
                self._app.recorder.insert_events(stored)
                stored.clear()
        if stored:
            self._app.recorder.insert_events(stored)
        return {"count": self._app.recorder.max_notification_id()}

    def catch_up(self, events: int, seconds: float) -> dict[str, Any]:
        """Fold the read model from the beginning, as far as a runner gets in this time."""
        with self._app.factory.datastore.transaction(commit=True) as cursor:
            cursor.execute("DROP TABLE IF EXISTS order_row, orders_tracking")
        began = time.perf_counter()
        with ProjectionRunner(
            application_class=Shop, projection_class=OrderProjection, view_class=OrderRows, env=self._environment
        ) as runner:
            while True:
                time.sleep(LOOK_EVERY_S)
                done, took = runner.projection.view.max_tracking_id("shop") or 0, time.perf_counter() - began
                if done >= events or took >= seconds:
                    break
        return {"count": done, "seconds": took, "folded": runner.projection.view.max_tracking_id("shop") or 0}

    def lag(self, per_second: int, seconds: float) -> dict[str, Any]:
        """The time from the return of a save until its row can be read; polls, because `wait` sleeps."""
        clocked, clock = Clocked(), time.perf_counter
        with (
            ProjectionRunner(
                application_class=Shop, projection_class=OrderProjection, view_class=OrderRows, env=self._environment
            ),
            psycopg.connect(self._reader, autocommit=True) as reader,
        ):

            def one() -> None:
                order = Order(**details(next(self._numbers)))
                self._app.save(order)
                before = clock()
                while not reader.execute(READ, (str(order.id),), prepare=True).fetchone():
                    pass
                clocked.latencies_s.append(clock() - before)

            one()  # the runner is running
            clocked.latencies_s.clear()
            began = clock()
            for number in range(int(per_second * seconds)):
                time.sleep(max(0.0, began + number / per_second - clock()))
                one()
            clocked.seconds = clock() - began
        return clocked.answer()

    def fill_streams(self, streams: int, length: int) -> dict[str, Any]:
        """Store aggregates of this many events each."""
        self._orders = []
        for number in range(streams):
            order = Order(**details(number))
            for _ in range(length - 1):
                order.add_items(**details(number, 2))
            self._app.save(order)
            self._orders.append(order.id)
        return {"count": streams * length}

    def load(self, streams: int, length: int, seconds: float) -> dict[str, Any]:
        """Load whole aggregates one after another; by default nothing is cached."""
        clocked, clock = Clocked(), time.perf_counter
        began = clock()
        for number in cycle(range(streams)):
            before = clock()
            order = self._app.repository.get(self._orders[number])
            clocked.latencies_s.append(clock() - before)
            if order.version != length or order.item_count != 2 * length:
                raise ValueError(f"order {number} was loaded with {order.item_count} items at version {order.version}")
            if clock() - began >= seconds:
                break
        clocked.seconds = clock() - began
        return clocked.answer()

    def commands(self, clients: int, streams: int, seconds: float) -> dict[str, Any]:
        """Send commands to random aggregates: get, call, save; retry after a conflict."""
        chance = random.Random(streams)

        def one() -> None:
            number = chance.randrange(streams)
            while True:
                order = self._app.repository.get(self._orders[number])
                order.add_items(**details(next(self._numbers)))
                try:
                    self._app.save(order)
                except IntegrityError:
                    continue
                return

        return self._in_threads(one, clients, seconds).answer()


if __name__ == "__main__":
    serve(Eventsourcing(Arguments.read()))
