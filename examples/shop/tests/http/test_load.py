"""Overload, and a shutdown in the middle of it: acknowledged orders exist, and every caller gets a response."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from shop.app import shop
from shop.tests.http.fuzz import order, stocked
from shop.tests.http.load import Answer, Caller
from shop.tests.http.server import Server, serving
from shop.write.order import OrderPlaced
from twofold import operate
from twofold.messages import BEGINNING

pytestmark = pytest.mark.slow

NewStore = Callable[[], str]


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    url: str = request.getfixturevalue("new_database")()
    return url


class Buyers:
    """Callers that place one order after another and remember each response."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: dict[str, tuple[int, str]] = {}
        self.lost: set[str] = set()
        self.going_on = True
        self._numbers = iter(range(1_000_000))
        self._more = asyncio.Event()

    async def buy(self, count: int = 1_000_000) -> None:
        async with Caller(self.address) as caller:
            for _ in range(count):
                if not self.going_on:
                    return
                name = f"o{next(self._numbers)}"
                try:
                    self._note(name, await caller.ask("POST", "/orders", order(name)))
                except (OSError, asyncio.IncompleteReadError):
                    self.lost.add(name)
                    return

    def _note(self, name: str, answer: Answer) -> None:
        kind = "" if answer.status < 400 else answer.json["type"]
        self.answers[name] = (answer.status, kind)
        self._more.set()
        if kind == "overloaded":
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["content-type"] == "application/problem+json"

    async def have(self, count: int) -> None:
        """Wait until this many got a response."""
        while len(self.answers) < count:
            self._more.clear()
            await self._more.wait()

    def kinds(self) -> Counter[tuple[int, str]]:
        return Counter(self.answers.values())

    def names(self, *kinds: tuple[int, str]) -> set[str]:
        return {name for name, kind in self.answers.items() if kind in kinds}


async def placed_in(store: str) -> Counter[str]:
    """How often each order was placed, according to the log."""
    found: Counter[str] = Counter()
    async with shop.look(store) as running:
        after = BEGINNING
        while (page := await running.log.read(after, 1_000, frozenset({OrderPlaced.__name__}))).upto != after:
            found.update(entry.stream.removeprefix("order-") for entry in page.entries)
            after = page.upto
        assert {status.owner for status in await operate.status(running)} == {None}  # no worker left one to wait for
    return found


async def overloaded(server: Server, limit: int) -> Buyers:
    """Three times as many callers as the server accepts at once, while others read."""
    buyers, reading = Buyers(server.address), True

    async def read() -> Counter[int]:
        statuses: Counter[int] = Counter()
        async with Caller(server.address) as caller:
            while reading:
                statuses[(await caller.ask("GET", "/orders?limit=20")).status] += 1
        return statuses

    readers = [asyncio.create_task(read()) for _ in range(3)]
    await asyncio.gather(*(buyers.buy(20) for _ in range(3 * limit)))
    reading = False
    for statuses in await asyncio.gather(*readers):
        assert set(statuses) == {200}
    async with Caller(server.address) as caller:
        assert (await caller.ask("POST", "/orders", order("after"))).status == 202
    return buyers


def test_more_than_it_can_take(store: str, tmp_path: Path) -> None:
    with serving(store, tmp_path, "--max-commands", "8") as server:
        stocked(server.address)
        buyers = asyncio.run(overloaded(server, 8))
    assert set(buyers.kinds()) == {(202, ""), (503, "overloaded")}
    assert asyncio.run(placed_in(store)) == Counter(buyers.names((202, "")) | {"first", "after"})


async def stopped_under_load(server: Server, wanted: int, second: int | None) -> Buyers:
    """A signal to stop while many place orders, some uploads are slow, and one read waits for long."""
    buyers = Buyers(server.address)
    buying = [asyncio.create_task(buyers.buy()) for _ in range(32)]
    slow = []
    for begun in (b"", b"GET /ord", b"POST /orders HTTP/1.1\r\nHost: t\r\nContent-Length: 50\r\n\r\n{"):
        _, writer = await asyncio.open_connection(*server.address.removeprefix("http://").split(":"))
        writer.write(begun)
        slow.append(writer)
    await buyers.have(wanted)
    server.process.send_signal(signal.SIGTERM)
    if second is not None:
        server.process.send_signal(second)
    await asyncio.gather(*buying)
    assert await asyncio.to_thread(server.process.wait, 60) == 0
    for writer in slow:
        writer.close()
    return buyers


@pytest.mark.parametrize("second", [None, signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_the_middle_of_it(store: str, tmp_path: Path, second: int | None) -> None:
    with serving(store, tmp_path) as server:
        stocked(server.address)
        buyers = asyncio.run(stopped_under_load(server, 100, second))
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log, log
    told = {(202, ""), (503, "stopping"), (503, "outcome-unknown"), (503, "unavailable")}
    assert set(buyers.kinds()) <= told
    placed = asyncio.run(placed_in(store))
    assert set(placed.values()) == {1}
    assert buyers.names((202, "")) <= placed.keys()
    maybe = buyers.lost | buyers.names((503, "outcome-unknown"))
    assert placed.keys() <= buyers.names((202, "")) | maybe | {"first"}


async def cut_while_waiting(worker: Server, stopping: Server) -> Answer:
    """The process that holds the read models is paused; a read waiting elsewhere gets a response at shutdown."""
    async with Caller(stopping.address) as caller, Caller(stopping.address) as other:
        os.kill(worker.process.pid, signal.SIGSTOP)
        put = await caller.ask("PUT", "/customers/bob", {"name": "Bob", "email": "bob@example.com"})
        placed = await caller.ask("POST", "/orders", {**order("late"), "customerId": "bob"})
        assert (put.status, placed.status) == (200, 202)
        token = placed.headers["consistency-token"]
        waiting = asyncio.create_task(
            caller.ask("GET", "/orders/late", Consistency_Token=token, Prefer="wait=30"), name="a patient reader"
        )
        while b'running{kind="reads"} 1' not in (await other.ask("GET", "/metrics")).body and not waiting.done():
            pass
        stopping.process.send_signal(signal.SIGTERM)
        return await waiting


def test_a_patient_reader_gets_a_response(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    with serving(store, tmp_path) as worker:
        stocked(worker.address)
        with serving(store, tmp_path) as stopping:
            try:
                answer = asyncio.run(cut_while_waiting(worker, stopping))
                assert stopping.process.wait(60) == 0
            finally:
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGCONT)
    # On a slow machine the lease expires first, and the read succeeds.
    assert (answer.status, answer.json.get("type")) in ((503, "stopping"), (200, None))
