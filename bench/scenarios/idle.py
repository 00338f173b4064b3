"""Idle: the share of one core that the whole shop uses (followers, doorbells, HTTP) without any requests.

The value is for the server's process; `database_percent` is for all processes of PostgreSQL.
"""

import sys
import time

from bench.places import Backend
from bench.process import processor_s
from bench.results import Case
from bench.run import Measured, Run
from bench.shop import open_shop

BACKENDS: tuple[Backend, ...] = ("postgres", "sqlite")
ROUNDS = 3
LONGER = 5.0
SETTLE_S = 3.0


def idle(run: Run) -> None:
    """Measure on both backends."""
    for backend in BACKENDS:
        case = Case("idle", backend, "whole server", "% of a core")
        if sys.platform != "linux":
            run.book.miss(case, "twofold", "processor time is read from /proc, which only Linux has")
            continue
        with run.places.fresh(backend) as place, open_shop(place) as shop:
            shop.stock_up()
            shop.place(1, "order-")
            time.sleep(SETTLE_S)  # until the reactions are done; only silence shows that
            database = {"database_percent": run.places.postgres_pid} if backend == "postgres" else {}

            def measure(pid: int = shop.pid, database: dict[str, int] = database) -> Measured:
                before = {name: processor_s(of) for name, of in database.items()}
                began, used = time.monotonic(), processor_s(pid)
                time.sleep(LONGER * run.size.seconds)
                seconds = time.monotonic() - began
                details = {name: _percent(processor_s(of) - before[name], seconds) for name, of in database.items()}
                return Measured(_percent(processor_s(pid) - used, seconds), details)

            run.alone(case, measure, rounds=ROUNDS)


def _percent(used_s: float, seconds: float) -> float:
    return 100 * used_s / seconds
