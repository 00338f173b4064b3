"""Rows that the store itself refuses: a check, a trigger, an index that cannot hold them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import apsw
import asyncpg
import pytest

from twofold import App, Projection, Recorded, RowParked, Running, operate
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.feed import parking_limit
from twofold.read.columns import Values
from twofold.read.projection import Table
from twofold.read.rollup import Rollup, count, total
from twofold.testing.conformance.bank import Balance, Deposited, accounts, balances, deposited

MOST = 100
bank = App("bank", deciders=[accounts], projections=[balances])

Store = tuple[str, str | None, Callable[[bool], Awaitable[None]]]


@pytest.fixture(params=["sqlite", "postgresql", "sqlalchemy on sqlite", "sqlalchemy on postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Log, read store, and how the table of balances starts and stops refusing amounts above `MOST`."""
    log = f"sqlite:///{tmp_path}/bank.db"
    if request.param.endswith("postgresql"):
        url = str(request.getfixturevalue("new_database")())
        if request.param == "postgresql":
            return url, None, lambda on: on_postgres(url, "twofold.balance_v1", on)
        engine = "sqlalchemy+" + url.replace("postgresql://", "postgresql+asyncpg://", 1)
        return log, engine, lambda on: on_postgres(url, "public.twofold_balance_v1", on)
    file = tmp_path / "bank.read.db"
    if request.param == "sqlite":
        return log, None, lambda on: on_sqlite(file, on)
    return log, f"sqlalchemy+sqlite+aiosqlite:///{file}", lambda on: on_sqlite(file, on)


async def on_postgres(url: str, table: str, on: bool) -> None:
    connection = await asyncpg.connect(url)
    add = f"ADD CONSTRAINT most CHECK (total <= {MOST})"
    await connection.execute(f"ALTER TABLE {table} {add if on else 'DROP CONSTRAINT most'}")
    await connection.close()


async def on_sqlite(file: Path, on: bool) -> None:
    db = apsw.Connection(str(file))
    db.set_busy_timeout(5_000)
    for when in ("INSERT", "UPDATE"):
        body = f"BEFORE {when} ON twofold_balance_v1 WHEN new.total > {MOST} BEGIN SELECT RAISE(ABORT, 'too much'); END"
        db.execute(f"CREATE TRIGGER most_{when} {body}" if on else f"DROP TRIGGER most_{when}")
    db.close()


async def folded(running: Running) -> None:
    async for _ in (await operate.prepared(running, running.app.projection("balance")))[0].catch_up():
        pass


async def test_g7_a_row_that_the_store_refuses_is_parked_alone(store: Store) -> None:
    log, read_store, refuse = store
    async with bank.open(log, read_store=read_store, work=False) as running:
        await refuse(True)
        for n in range(30):
            await deposited(running.log, f"s{n}", 1, *([60, 60, 1] if n == 11 else []))
        await folded(running)
        [waits] = await running.parking.list()
        assert (waits.parked.key, waits.event and waits.event.version) == ('["s11"]', 3)
        assert "the store cannot keep the row" in waits.parked.error
        with pytest.raises(RowParked):
            await running.get(balances, "s11")
        page = await running.find(balances, limit=500)
        assert (len(page), [row for row in page if row.id == "s11"]) == (30, [Balance("s11", 61, 2)])

        await refuse(False)
        found = await running.parking.retry("balance", "s11")
        assert (len(found.done), found.events) == (1, 2)
        assert await running.get(balances, "s11") == Balance("s11", 122, 4)
        assert (await operate.verify(running, balances)).equal


async def test_g7_a_row_that_is_refused_at_an_earlier_event_waits_from_there(store: Store) -> None:
    """It was parked at a later one when a stream that waited for something else was retried."""
    log, read_store, refuse = store
    broken = True

    def all_of_them(event: Deposited, recorded: Recorded) -> str:
        if broken and recorded.stream.id == "s1":
            raise LookupError("no key")
        return "all"

    def add(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
        return Balance(row.id, row.total + event.amount, row.deposits + 1)

    together = Projection("balance", Balance, add, key=all_of_them)
    async with App("bank", deciders=[accounts], projections=[together]).open(
        log, read_store=read_store, work=False
    ) as running:
        await refuse(True)
        for number, amount in enumerate((60, 70, 50)):
            await deposited(running.log, f"s{number}", amount)
        await folded(running)
        assert {one.parked.key for one in await running.parking.list()} == {"account-s1", '["all"]'}
        broken = False
        assert (await running.parking.retry("balance", "account-s1")).events == 1
        [waits] = await running.parking.list()
        assert (waits.parked.key, waits.event and waits.event.stream) == ('["all"]', "account-s1")
        assert (await operate.verify(running, together)).equal
        await refuse(False)
        assert (await running.parking.retry("balance")).events == 2
        assert await running.get(together, "all") == Balance("all", 180, 3)
        assert (await operate.verify(running, together)).equal


@dataclass(frozen=True)
class OfDeposits:
    """The balances with so many deposits."""

    deposits: int
    rows: int
    total: int


of_deposits = Rollup("of_deposits", OfDeposits, of=balances, by="deposits", rows=count(), total=total("total"))


async def test_g5_a_row_that_the_store_refuses_counts_in_no_rollup(store: Store) -> None:
    """Others of its page count once, although the page is stored at the second try."""
    log, read_store, refuse = store
    rolled = App("bank", deciders=[accounts], projections=[balances, of_deposits])

    async def is_level(running: Running) -> None:
        rows = (await running.find(balances, limit=500)).rows
        groups = {row.deposits: [one.total for one in rows if one.deposits == row.deposits] for row in rows}
        found = {row.deposits: (row.rows, row.total) for row in await running.find(of_deposits, limit=500)}
        assert found == {deposits: (len(totals), sum(totals)) for deposits, totals in groups.items()}

    async with rolled.open(log, read_store=read_store, work=False) as running:
        await refuse(True)
        for n in range(20):
            await deposited(running.log, f"s{n}", 1, *([60, 60] if n == 11 else []))
        await folded(running)
        await is_level(running)
        for n in range(10):
            await deposited(running.log, f"s{n}", 2)
        await folded(running)
        await is_level(running)
        await refuse(False)
        await running.parking.retry("balance", "s11")
        await is_level(running)
        assert (await operate.verify(running, balances)).equal


def emptied(row: Balance, event: Deposited, recorded: Recorded) -> Balance | None:
    """An amount of 0 deletes the row."""
    return Balance(row.id, row.total + event.amount, row.deposits + 1) if event.amount else None


def too_much(table: Table, values: Values) -> str | None:
    return "too much" if values[1] > MOST else None


async def test_g7_a_row_that_is_refused_waits_at_an_event_that_made_it_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever became of it before in the same page: it may have been refused already, or deleted and begun again."""
    monkeypatch.setattr(parking_limit, "MOST_PARKED", 1_000)
    balance = Projection("balance", Balance, emptied)
    app = App("bank", deciders=[accounts], projections=[balance])
    histories = [amounts for length in range(1, 5) for amounts in product((60, 0, 101), repeat=length)]
    log, store = MemoryLog(), MemoryReadStore()
    store.refuses = too_much
    async with app.open(log, read_store=store, work=False) as running:
        for number, amounts in enumerate(histories):
            await deposited(log, f"s{number}", *amounts)
        await folded(running)
        waiting = {one.parked.key: one.event for one in await running.parking.list()}
        for number, amounts in enumerate(histories):
            states: list[int | None] = [None]
            for amount in amounts:
                states.append((states[-1] or 0) + amount if amount else None)
            event, row = waiting.get(f'["s{number}"]'), (await store.rows(balance.table, [(f"s{number}",)])).values()
            assert (event is not None) == ((states[-1] or 0) > MOST)
            kept = len(amounts) if event is None else event.version - 1
            assert [values[1] for values in row] == [total for total in states[kept : kept + 1] if total is not None]
            assert event is None or (states[event.version] or 0) > MOST
        store.refuses = lambda table, values: None
        assert len((await running.parking.retry("balance")).done) == len(waiting)
        assert (await operate.verify(running, balance)).equal
