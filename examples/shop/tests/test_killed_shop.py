"""The shop's server is killed again and again while it receives orders; afterwards everything adds up."""

import asyncio
import os
import random
import re
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path

import httpx2
import pytest

from shop.app import shop
from shop.read.customer_summary import customer_summary
from shop.read.inventory import inventory
from shop.read.order_view import OrderView, order_view
from shop.write.order import orders
from shop.write.stock import InventoryUpdated, stock
from twofold import Running, operate

ORDERS, CLIENTS, KILLS = 240, 12, 4
PRODUCTS = {"tea": 90, "jam": 200, "pot": 25}
CUSTOMERS = ("ann", "bob", "eve")


class Server:
    """The shop as a separate process that can be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = [sys.executable, "-m", "shop.serve", "--store", f"sqlite:///{self.folder}/s.db", "--port", "0"]
        self.process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if found := re.search(r"http://[\w.:]+", line.decode()):
                self.address = found[0]
                return
        raise AssertionError("the server did not start")

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        assert self.process is not None
        os.kill(self.process.pid, number)
        return await self.process.wait()


async def send(server: Server, method: str, path: str, body: Mapping[str, object], key: str = "") -> httpx2.Response:
    """Send until there is a response, however often the server dies; the key makes repeating safe."""
    headers = {"Idempotency-Key": key} if key else {}
    while True:
        try:
            async with httpx2.AsyncClient(base_url=server.address, timeout=20) as client:
                answer = await client.request(method, path, json=body, headers=headers)
        except httpx2.TransportError:
            await asyncio.sleep(0.05)
            continue
        if answer.status_code != 503:
            return answer
        await asyncio.sleep(0.05)


async def stock_up(server: Server) -> None:
    for customer in CUSTOMERS:
        body = {"name": customer.title(), "email": f"{customer}@example.com"}
        assert (await send(server, "PUT", f"/customers/{customer}", body)).status_code == 200
    for product, quantity in PRODUCTS.items():
        body = {"name": product.title(), "price": "1.25"}
        assert (await send(server, "PUT", f"/products/{product}", body)).status_code == 200
        path = f"/inventory/products/{product}/receipts"
        assert (await send(server, "POST", path, {"quantity": quantity}, f"in-{product}")).status_code == 202


async def order(server: Server, number: int, chance: random.Random) -> None:
    items = [
        {"productId": product, "quantity": chance.randint(1, 3)}
        for product in chance.sample(sorted(PRODUCTS), chance.randint(1, 3))
    ]
    body = {"orderId": f"o{number}", "customerId": chance.choice(CUSTOMERS), "items": items, "shippingAddress": "Here"}
    placed = await send(server, "POST", "/orders", body, f"order-{number}")
    assert (placed.status_code, placed.json()["status"]) == (202, "pending"), placed.text
    if number % 5 == 0:
        cancelled = await send(
            server, "POST", f"/orders/o{number}/cancel", {"reason": "changed my mind"}, f"c-{number}"
        )
        assert cancelled.status_code in (202, 422), cancelled.text  # 422: the stock had refused it before


@pytest.mark.slow
async def test_everything_adds_up_after_kills(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    server = Server(tmp_path)
    await server.start()
    await stock_up(server)
    numbers = iter(range(ORDERS))
    done = 0
    progress = asyncio.Condition()

    async def client() -> None:
        nonlocal done
        for number in numbers:
            await order(server, number, random.Random(seed + number))
            async with progress:
                done += 1
                progress.notify_all()

    def reached(target: int) -> bool:
        return done >= target

    async def killer() -> None:
        for kill in range(1, KILLS + 1):
            target = chance.randrange(ORDERS * (kill - 1) // KILLS, ORDERS * kill // KILLS)
            async with progress:
                await progress.wait_for(partial(reached, target))
            await server.kill()
            await server.start()

    await asyncio.gather(killer(), *(client() for _ in range(CLIENTS)))
    assert await server.kill(signal.SIGTERM) == 0

    async with shop.open(f"sqlite:///{tmp_path}/s.db") as running:
        await settled(running)
        await check_stock(running)
        await check_orders(running)


async def settled(running: Running) -> None:
    """Wait until nothing is left to fold or to react to."""
    quiet = 0
    while quiet < 3:  # a reaction is an event, too
        status = await operate.status(running)
        assert [one.error for one in status if one.error] == []
        quiet = quiet + 1 if all(one.lag_events == 0 for one in status) else 0
        await asyncio.sleep(0.05)


async def check_stock(running: Running) -> None:
    """Received goods are either available or held by a confirmed order; stock was never below zero."""
    held: Counter[str] = Counter()
    for number in range(ORDERS):
        view = await running.get(order_view, f"o{number}")
        assert view is not None
        assert view.status in ("confirmed", "rejected", "cancelled")
        if view.status == "confirmed":
            held.update({item.product_id: item.quantity for item in view.items})
    for product, received in PRODUCTS.items():
        history = await running.history(f"stock-{product}")
        quantities = [one.event.available_quantity for one in history if isinstance(one.event, InventoryUpdated)]
        assert min(quantities) >= 0
        state, _ = await running.load(stock, product)
        row = await running.get(inventory, product)
        assert row is not None
        assert (state.available, sum(state.reserved.values())) == (received - held[product], held[product])
        assert row.available_quantity == state.available == quantities[-1]


async def check_orders(running: Running) -> None:
    """Each order exists once, its row matches its stream, and the summaries are the sums of confirmed orders."""
    found: list[OrderView] = []
    cursor: str | None = None
    while True:
        page = await running.find(order_view, order_by="-created_at", cursor=cursor)
        found += page.rows
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(one.order_id for one in found) == sorted(f"o{number}" for number in range(ORDERS))
    for one in found:
        state, version = await running.load(orders, one.order_id)
        assert (state.status, version) == (one.status, one.version)
    for customer in CUSTOMERS:
        confirmed = [one for one in found if (one.customer_id, one.status) == (customer, "confirmed")]
        summary = await running.get(customer_summary, customer)
        assert summary is not None
        spent = sum((one.total_amount for one in confirmed), Decimal(0))
        assert (summary.total_orders, summary.total_spent) == (len(confirmed), spent)
