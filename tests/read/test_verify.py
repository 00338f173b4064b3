"""Read models changed with SQL, and the memory it takes to notice."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import apsw
import asyncpg
import pytest

from twofold import App, Decider, Projection, Receipt, Recorded, Running, operate
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.testing.conformance.bank import Deposit, accounts, balances
from twofold.testing.conformance.rebuild import caught_up, only, overwritten


@dataclass(frozen=True, slots=True)
class Sold:
    product: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Till:
    sales: int = 0


def decide(command: Sold, till: Till) -> list[Sold]:
    return [command]


def evolve(till: Till, event: Sold) -> Till:
    return Till(till.sales + 1)


@dataclass(frozen=True, slots=True)
class Sales:
    product: str
    total: Decimal = Decimal(0)
    last: str | None = None


def fold(row: Sales, event: Sold, recorded: Recorded) -> Sales:
    return replace(row, total=row.total + event.price, last=recorded.stream.id)


tills = Decider("till", Till(), decide, evolve)
sales = Projection("sales", Sales, fold, key=lambda event, recorded: event.product)
shop = App("shop", deciders=[tills], projections=[sales])

Sql = Callable[[str], Awaitable[None]]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shop.db"
    return str(request.getfixturevalue("new_database")())


@pytest.fixture
async def running(url: str) -> AsyncIterator[Running]:
    async with shop.open(url) as running:
        yield running


@pytest.fixture
def sql(url: str) -> Sql:
    """Run SQL behind the back of twofold; `{sales}` is the table."""

    async def say(statement: str) -> None:
        if url.startswith("sqlite"):
            db = apsw.Connection(url.removeprefix("sqlite:///").replace(".db", ".read.db"))
            db.set_busy_timeout(5_000)
            db.execute(statement.format(sales="twofold_sales_v1"))
            db.close()
        else:
            connection = await asyncpg.connect(url)
            await connection.execute(statement.format(sales="twofold.sales_v1"))
            await connection.close()

    return say


async def sold(running: Running, count: int, products: int = 10) -> Receipt:
    prices = [Sold(f"p{n % products:05}", Decimal(n) / 100) for n in range(1, count + 1)]
    for start in range(0, count, 1_000):
        receipt = await running.append("till-1", prices[start : start + 1_000])
    await running.get(sales, "p00001", after=receipt, wait_s=30)
    return receipt


async def test_g9_rows_that_were_changed_with_sql(running: Running, sql: Sql) -> None:
    await sold(running, 1_000)
    await sql("UPDATE {sales} SET total = '496.01' WHERE product = 'p00001'")  # a cent more
    await sql("DELETE FROM {sales} WHERE product = 'p00002'")
    await sql("UPDATE {sales} SET product = 'p00099' WHERE product = 'p00003'")
    await sql("UPDATE {sales} SET last = NULL WHERE product = 'p00004'")
    found = await operate.verify(running, sales)
    assert {one.key[0]: (one.kind, [c.column for c in one.cells]) for one in found.differences} == {
        "p00001": ("different", ["total"]),
        "p00002": ("missing", ["product", "total", "last"]),
        "p00003": ("missing", ["product", "total", "last"]),
        "p00004": ("different", ["last"]),
        "p00099": ("extra", ["product", "total", "last"]),
    }
    [total] = found.differences[0].cells
    assert (total.live, total.fold) == (Decimal("496.01"), Decimal("496"))


async def test_g9_a_wrong_row_is_found_while_the_projection_goes_on(
    running: Running, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twofold.read.proof.verify.PAGE_ROWS", 20)
    await sold(running, 500, products=100)
    stop = asyncio.Event()

    async def sell() -> int:
        count = 0
        while not stop.is_set():
            count += 1
            await running.execute(tills, f"{count % 7}", Sold(f"p{count % 50:05}", Decimal("0.01")))
        return count

    selling = asyncio.create_task(sell())
    try:
        assert (await operate.verify(running, sales)).equal
        await sql("UPDATE {sales} SET total = total + 0.01 WHERE product = 'p00077'")
        found = await operate.verify(running, sales)
    finally:
        stop.set()
        assert await selling > 0
    assert [one.key for one in found.differences] == [("p00077",)]


@pytest.mark.slow
async def test_g9_memory_does_not_grow_with_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times the rows and events, about the same memory."""
    monkeypatch.setattr("twofold.read.proof.verify.PAGE_ROWS", 200)
    monkeypatch.setattr("twofold.feed.feed.LARGEST_PAGE", 400)
    peaks = []
    async with shop.open(f"sqlite:///{tmp_path}/shop.db") as running:
        for count in (2_000, 18_000):
            await sold(running, count, products=20_000)
            tracemalloc.start()
            try:
                found = await operate.verify(running, sales)
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
            assert (found.equal, found.rows) == (True, count)
    assert peaks[1] < 2 * peaks[0]


async def test_g9_a_sample_of_more_rows_than_there_are_finds_all_that_are_missing() -> None:
    """No matter which of them are left: a row that is not there cannot count as one of them."""
    names = "abcdefgh"
    async with only.open(MemoryLog(), read_store=MemoryReadStore(), work=False) as running:
        for name in names:
            await running.execute(accounts, name, Deposit(1))
        await caught_up(running)
        for there in ("", "a", "d", "h", "be", "cf", "hg"):
            await overwritten(running, {(name,): (name, 1, 1) if name in there else None for name in names})
            report = await operate.verify(running, balances, sample=len(there) + 1)
            assert report.counts["missing"] == len(names) - len(there)
