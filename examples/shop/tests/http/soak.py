"""Orders at half the shop's capacity, for any length of time, while others read: `./dev soak --minutes 20`.

The limit is measured first: orders a second, including all reactions and rows. Then memory, open files, connections,
lag and latencies are sampled; at the end they are shown and judged: nothing may grow without bound.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

from devservers.postgres import new_database, server
from shop.tests.http.fuzz import order
from shop.tests.http.load import Answer, Caller
from shop.tests.http.samples import Sample, judged, sample_of, table
from shop.tests.http.server import Server, serving

CALLERS = 32
READERS = 4
READS_A_SECOND = 20
MEASURED_S = 20.0
SAMPLE_EVERY_S = 5.0
QUIET_S = 120.0
UNSHIPPED = 1_000  # orders; each is shipped after this many newer ones, so that the shop does not cache all
KINDS = 500  # of products and of customers: orders for one product are decided one after another
QUERIES = ("/orders?limit=20", "/orders?customerId=c1&limit=50", "/customers/c1/orders", "/sales/products?limit=20")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20, help="default: %(default)g")
    parser.add_argument("--backend", choices=("sqlite", "postgres"), default="sqlite", help="default: %(default)s")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(store(options.backend, folder))
        shop = stack.enter_context(serving(url, folder))
        samples, answers, quiet = asyncio.run(Soak(shop, url).run(options.minutes * 60))
    print(table(samples))
    faults = judged(samples)
    if not quiet:
        faults.append(f"the followers had not caught up {QUIET_S:g} s after the end")
    if strange := {status: count for status, count in answers.items() if status >= 300}:
        faults.append(f"some requests failed: {strange}")
    print(
        f"{answers.total():,} requests; " + ("; ".join(faults) or "memory, files and connections stay, lag is bounded")
    )
    return 1 if faults else 0


def ordered(number: int) -> dict[str, Any]:
    """A distinct order of some customer for two products."""
    items = [{"productId": f"p{(number * factor) % KINDS}", "quantity": 1} for factor in (1, 7)]
    return {**order(f"o{number}"), "customerId": f"c{number % KINDS}", "items": items}


@contextmanager
def store(backend: str, folder: Path) -> Iterator[str]:
    if backend == "sqlite":
        yield f"sqlite:///{folder / 'shop.db'}"
    else:
        with server() as running:
            yield new_database(running.url)


@dataclass
class Told:
    """Latencies since the last sample."""

    commands_s: list[float] = field(default_factory=list)
    reads_s: list[float] = field(default_factory=list)

    def p99_ms(self, taken: list[float]) -> float:
        return quantiles(taken, n=100)[-1] * 1_000 if len(taken) > 1 else 0.0


class Soak:
    def __init__(self, shop: Server, url: str) -> None:
        self.shop, self.url = shop, url
        self.answers: Counter[int] = Counter()
        self.told = Told()
        self.token = ""
        self.numbers = iter(range(1_000_000_000))
        self.unshipped: deque[int] = deque()

    async def run(self, seconds: float) -> tuple[list[Sample], Counter[int], bool]:
        """Returns samples, responses by status, and whether every follower caught up in the end."""
        await self.stock()
        rate = await self.limit()
        print(f"the limit is {rate:.0f} orders a second; now half of it for {seconds / 60:g} minutes", flush=True)
        self.told, self.answers = Told(), Counter()
        loading = asyncio.create_task(self.load(seconds, rate / 2), name="load")
        reading = asyncio.create_task(self.read(seconds), name="reads")
        samples = await self.sampled(loading)
        await asyncio.gather(loading, reading)
        return samples, self.answers, await self.until_quiet()

    async def stock(self) -> None:
        """Create products, customers and enough stock."""
        numbers = iter(range(KINDS))

        async def put(caller: Caller) -> None:
            for n in numbers:
                await caller.ask("PUT", f"/products/p{n}", {"name": f"Product {n}", "price": 2.5})
                await caller.ask("PUT", f"/customers/c{n}", {"name": f"Customer {n}", "email": "c@example.com"})
                await caller.ask("POST", f"/inventory/products/p{n}/receipts", {"quantity": 1_000_000})

        await self.together(CALLERS, put)

    async def limit(self) -> float:
        """Measure orders a second, from the first order to the last resulting row, including reactions."""
        began = time.monotonic()
        await self.load(MEASURED_S, None)
        count = len(self.told.commands_s)
        print(f"{count / MEASURED_S:.0f} orders a second are accepted; waiting for what follows", flush=True)
        if not await self.until_quiet():
            raise SystemExit(f"the reactions and rows of {MEASURED_S:g} s of orders were not done after {QUIET_S:g} s")
        return count / (time.monotonic() - began)

    async def load(self, seconds: float, rate: float | None) -> None:
        """Place orders from all callers: `rate` a second, or as many as possible; `UNSHIPPED` stay unshipped."""
        began = time.monotonic()
        due = iter(range(1_000_000_000))

        async def place(caller: Caller) -> None:
            while time.monotonic() - began < seconds:
                if rate is not None:
                    await asyncio.sleep(began + next(due) / rate - time.monotonic())
                number = next(self.numbers)
                answer = await self.timed(self.told.commands_s, caller.ask("POST", "/orders", ordered(number)))
                self.token = answer.headers.get("consistency-token", self.token)
                self.unshipped.append(number)
                if len(self.unshipped) > UNSHIPPED:
                    await self.ship(caller, self.unshipped.popleft())

        await self.together(CALLERS, place)

    async def ship(self, caller: Caller, number: int) -> None:
        """Ship the order; try again later if it is not confirmed yet."""
        answer = await caller.ask("POST", f"/orders/o{number}/ship", {"trackingNumber": f"T{number}"})
        if answer.status == 409:
            self.unshipped.append(number)
        else:
            self.answers[answer.status] += 1

    async def read(self, seconds: float) -> None:
        """Read pages, sums and the latest order, with its token."""
        began = time.monotonic()
        due = iter(range(1_000_000_000))

        async def ask(caller: Caller) -> None:
            while time.monotonic() - began < seconds:
                number = next(due)
                await asyncio.sleep(began + number / READS_A_SECOND - time.monotonic())
                path, headers = QUERIES[number % len(QUERIES)], {}
                if number % 10 == 0:
                    path, headers = "/orders?limit=1", {"Consistency_Token": self.token, "Prefer": "wait=30"}
                await self.timed(self.told.reads_s, caller.ask("GET", path, **headers))

        await self.together(READERS, ask)

    async def together(self, count: int, each: Callable[[Caller], Awaitable[None]]) -> None:
        async with AsyncExitStack() as stack:
            callers = [await stack.enter_async_context(Caller(self.shop.address)) for _ in range(count)]
            await asyncio.gather(*(each(caller) for caller in callers))

    async def timed(self, taken: list[float], asking: Awaitable[Answer]) -> Answer:
        began = time.monotonic()
        answer = await asking
        self.answers[answer.status] += 1
        taken.append(time.monotonic() - began)
        return answer

    async def sampled(self, loading: asyncio.Task[None]) -> list[Sample]:
        began, samples = time.monotonic(), list[Sample]()
        async with Caller(self.shop.address) as caller:
            while not (await asyncio.wait([loading], timeout=SAMPLE_EVERY_S))[0]:
                told, self.told.commands_s, self.told.reads_s = Told(self.told.commands_s, self.told.reads_s), [], []
                metrics = (await caller.ask("GET", "/metrics")).body.decode()
                latencies_ms = told.p99_ms(told.commands_s), told.p99_ms(told.reads_s)
                at_s = time.monotonic() - began
                samples.append(await sample_of(self.shop.process.pid, self.url, metrics, at_s, *latencies_ms))
                print(samples[-1].line(), flush=True)
        return samples

    async def until_quiet(self) -> bool:
        """Whether every follower reaches the end of the log in time."""
        async with Caller(self.shop.address) as caller:
            for _ in range(int(QUIET_S * 4)):
                if all(one["lagEvents"] <= 0 for one in (await caller.ask("GET", "/status")).json):
                    return True
                await asyncio.sleep(0.25)
        return False


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
