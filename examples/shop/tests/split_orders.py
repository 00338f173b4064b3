"""Orders to two servers of the shop on Azure Cosmos DB's development server, whose feed ranges split meanwhile.

    ./dev -- python -m shop.tests.split_orders --orders 10000

The servers, which are also the workers, and the store are killed with SIGKILL while the orders come in. Afterwards
every order is there once, every read model equals a fresh fold of the feed, and all sums are those of the orders sent.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from devservers.cosmos.process import Process
from shop.app import shop
from shop.read.customer_summary import customer_summary
from shop.read.inventory import inventory
from shop.read.order_view import order_view
from shop.tests.http.killable import Shop
from shop.tests.http.load import Caller
from twofold import Running, operate
from twofold.feed.feed import LARGEST_PAGE, Feed
from twofold.feed.partitions import feeds
from twofold.messages import Position

CLIENTS = 16
KINDS = 60  # of products, and of customers
STOCKED = 1_000_000
AWAY_S = 1.0
AGAIN_S, TRIES = 0.1, 600
START_S = 240.0  # on a machine that is busy with other things
QUIET_S = 900.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="shop.tests.split_orders", description=__doc__.partition("\n")[0])
    parser.add_argument("--orders", type=int, default=1_000, help="default: %(default)s")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(SplitOrders(Path(folder), options.orders, say).run())
    say("; ".join(found) or "every order is there once, and all read models and sums are right")
    return 1 if found else 0


def say(text: str) -> None:
    print(text, flush=True)


def ordered(number: int) -> dict[str, Any]:
    """One or two lines for a customer, as the number of the order says."""
    items = [
        {"productId": f"p{number % KINDS}", "quantity": 1 + number % 4},
        {"productId": f"p{(number * 7 + 1) % KINDS}", "quantity": 1},
    ]
    address = {"street": f"No. {number}", "city": "Gouda", "country": "Netherlands"}
    return {
        "orderId": f"o{number}",
        "customerId": f"c{number % KINDS}",
        "items": items[: 1 + number % 2],
        "shippingAddress": address,
    }


def price(product_id: str) -> Decimal:
    return Decimal(product_id[1:]) / 4 + 1


class SplitOrders:
    """One run in a folder. `tell` gets a line at each step."""

    def __init__(self, folder: Path, orders: int, tell: Callable[[str], None]) -> None:
        self.folder, self.orders, self.tell = folder, orders, tell
        self.data = folder / "cosmos"
        self.data.mkdir()
        self.store = Process(["--data", str(self.data)])
        self.url = f"cosmos://127.0.0.1:{self.store.port}/shop/orders?tls=off"
        self.rows = f"sqlite:///{folder}/rows.db"
        self.shops: list[Shop] = []
        self.answers: Counter[int] = Counter()
        self.placed, self.progress = 0, asyncio.Condition()

    async def run(self) -> list[str]:
        """Returns what is wrong."""
        with patch.dict(os.environ, COSMOS_KEY=self.store.key):  # for the shops, and for what is read here
            return await self._run()

    async def _run(self) -> list[str]:
        for name in ("a", "b"):
            (self.folder / name).mkdir()
            one = Shop(self.folder / name, "--store", self.url, "--read-store", self.rows)
            one.within_s = START_S
            self.shops.append(one)
            await one.start()
        try:
            await self.together(range(KINDS), self.stock)
            began = time.monotonic()
            disturbing = asyncio.create_task(self.disturb(), name="disturb")
            await self.together(range(self.orders), self.place)
            await disturbing
            self.tell(f"{self.orders:,} orders in {time.monotonic() - began:.0f} s, responses {dict(self.answers)}")
            found = [f"responses {dict(self.answers)}"] if set(self.answers) != {202} else []
            return found + await self.judged()
        finally:
            for one in self.shops:
                await one.other.aclose()
                await one.kill()
            self.store.stop()

    async def together(self, numbers: Sequence[int], each: Callable[[int, int], Awaitable[None]]) -> None:
        left = iter(numbers)

        async def client(of: int) -> None:
            for number in left:
                await each(of, number)

        await asyncio.gather(*(client(n % len(self.shops)) for n in range(CLIENTS)))

    async def send(self, of: int, method: str, path: str, body: Any, key: str) -> int:
        """Send to one shop or the other until one responds; the key makes that safe."""
        status = 0
        for again in range(TRIES):
            async with Caller(self.shops[(of + again) % len(self.shops)].address) as caller:
                try:
                    status = (await caller.ask(method, path, body, Idempotency_Key=key)).status
                except (OSError, asyncio.IncompleteReadError):
                    status = 0
            if status not in (0, 409, 503):  # 409: the same request is still being carried out
                break
            await asyncio.sleep(AGAIN_S)
        return status

    async def stock(self, of: int, number: int) -> None:
        product, customer = f"p{number}", f"c{number}"
        body = {"name": f"Product {number}", "price": str(price(product))}
        await self.send(of, "PUT", f"/products/{product}", body, f"p-{number}")
        body = {"name": f"Customer {number}", "email": f"{customer}@example.com"}
        await self.send(of, "PUT", f"/customers/{customer}", body, f"c-{number}")
        await self.send(of, "POST", f"/inventory/products/{product}/receipts", {"quantity": STOCKED}, f"s-{number}")

    async def place(self, of: int, number: int) -> None:
        self.answers[await self.send(of, "POST", "/orders", ordered(number), f"o-{number}")] += 1
        async with self.progress:
            self.placed += 1
            self.progress.notify_all()

    # ---- what happens meanwhile

    async def disturb(self) -> None:
        """At each tenth of the orders something else."""
        kill = [partial(self.kill, of) for of in (0, 1)]
        beside = partial(self.split, "-twofold")
        steps: list[Callable[[], Awaitable[str]]] = [
            *(self.split, kill[0], self.split, self.kill_store, beside),
            *(kill[1], self.split, self.kill_store, kill[0]),
        ]
        for tenth, step in enumerate(steps, 1):
            async with self.progress:
                await self.progress.wait_for(partial(self.reached, self.orders * tenth // 10))
            began = time.monotonic()
            done = await step()
            self.tell(f"{self.placed:,} orders: {done} ({time.monotonic() - began:.1f} s)")

    def reached(self, orders: int) -> bool:
        return self.placed >= orders

    async def split(self, beside: str = "") -> str:
        container = f"shop/orders{beside}"
        ranges = (await self.faults("GET"))["ranges"][container]
        await self.faults("POST", {"fault": "split", "container": container, "range": ranges[0]})
        return f"range {ranges[0]} of {container} splits"

    async def faults(self, method: str, body: Any = None) -> Any:
        async with Caller(self.store.endpoint) as caller:
            return (await caller.ask(method, "/_faults", body)).json

    async def kill(self, of: int) -> str:
        await self.shops[of].kill()
        await asyncio.sleep(AWAY_S)
        await self.shops[of].start()
        return f"server {of} was killed and is back"

    async def kill_store(self) -> str:
        self.store.kill()
        await asyncio.sleep(AWAY_S)
        self.store = Process(["--data", str(self.data), "--port", str(self.store.port)], {"COSMOS_KEY": self.store.key})
        return "the store was killed and is back"

    # ---- what must be true afterwards

    async def judged(self) -> list[str]:
        began = time.monotonic()
        async with shop.open(self.url, read_store=self.rows, work=False) as running:
            left = await quiet(running)
            self.tell(f"at rest after another {time.monotonic() - began:.0f} s")
            return left + await self.each_once(running) + await self.sums(running) + await verified(running, self.tell)

    async def each_once(self, running: Running) -> list[str]:
        placed: Counter[str] = Counter()
        events = 0
        for feed in feeds(running.log).values():
            async for stream, type_ in streams_of(feed):
                events += 1
                placed[stream] += type_ == "OrderPlaced"
        self.tell(f"{events:,} events in partitions {list(feeds(running.log))}")
        found = {stream: count for stream, count in placed.items() if stream.startswith("order-")}
        wrong = [f"{stream} was placed {count} times" for stream, count in found.items() if count != 1]
        missing = [f"o{n} is missing" for n in range(self.orders) if f"order-o{n}" not in found]
        return [*wrong, *missing, *(["there are other orders"] if len(found) > self.orders else [])]

    async def sums(self, running: Running) -> list[str]:
        """As they follow from the orders that were sent."""
        spent: defaultdict[str, Decimal] = defaultdict(Decimal)
        counts, taken = Counter[str](), Counter[str]()
        for sent in map(ordered, range(self.orders)):
            counts[sent["customerId"]] += 1
            for item in sent["items"]:
                taken[item["productId"]] += item["quantity"]
                spent[sent["customerId"]] += item["quantity"] * price(item["productId"])
        found = []
        for n in range(KINDS):
            customer, product = f"c{n}", f"p{n}"
            row, in_stock = await running.get(customer_summary, customer), await running.get(inventory, product)
            if row is None or (row.total_orders, row.total_spent) != (counts[customer], spent[customer]):
                found.append(f"{customer}: {row}, but {counts[customer]} orders of {spent[customer]} were sent")
            if in_stock is None or in_stock.available_quantity != STOCKED - taken[product]:
                found.append(f"{product}: {in_stock}, but {taken[product]} were taken")
        views = await running.count(order_view, status="confirmed")
        return found if views == self.orders else [*found, f"{views:,} orders are confirmed, not {self.orders:,}"]


async def streams_of(feed: Feed) -> Any:
    """The stream and type of every event in a partition."""
    at = Position(feed.partition, 0)
    while (page := await feed.read(at, LARGEST_PAGE)).upto != at:
        at = page.upto
        for entry in page.entries:
            yield entry.stream, entry.type


async def quiet(running: Running) -> list[str]:
    """Wait until nothing is left to fold or react to."""
    deadline, calm = time.monotonic() + QUIET_S, 0
    while calm < 3:  # a reaction is an event, too
        status = await operate.status(running)
        behind = [f"{one.name} is {one.lag_events} events behind" for one in status if one.lag_events or one.error]
        if time.monotonic() > deadline:
            return behind
        calm = 0 if behind else calm + 1
        await asyncio.sleep(AGAIN_S * 5)
    return []


async def verified(running: Running, tell: Callable[[str], None]) -> list[str]:
    found = []
    for projection in running.app.projections:
        report = await operate.verify(running, projection)
        tell(f"{projection.name}: {report.rows:,} rows, {'equal' if report.equal else 'not equal'}")
        found += [] if report.equal else [f"{projection.name}: {report}"]
    return found


if __name__ == "__main__":
    sys.exit(main())
