"""A read that waits for a token is not late: it misses nothing that arrives while it looks. In virtual time."""

import asyncio
from typing import Any

import pytest

from twofold import App
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.backends.partitioned import Partitioned
from twofold.errors import LogReplaced, ReadModelBehind
from twofold.feed.checkpoints import FollowerId
from twofold.messages import Position
from twofold.read.freshness import LOOK_EVERY_S
from twofold.read.projection import Table
from twofold.read.store import Changes, QueryResult
from twofold.testing import virtual_time
from twofold.testing.conformance.bank import Balance, Deposit, accounts, balances, deposited
from twofold.testing.conformance.checkpoints import claimed
from twofold.testing.conformance.material import at

app = App("bank", deciders=[accounts], projections=[balances])


class Slow(MemoryReadStore):
    """A store whose results are outdated when they arrive: `meanwhile` has run in between."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[Any] = []

    async def get(self, table: Table, key: Any) -> QueryResult:
        found = await super().get(table, key)
        if self.meanwhile:
            await self.meanwhile.pop(0)()
        return found


def test_g6_what_is_committed_while_it_looks_needs_no_further_news() -> None:
    async def main() -> None:
        log, rows = MemoryLog(), Slow()
        async with app.open(log, read_store=rows, work=False) as running:
            receipt = await deposited(log, "a", 5)
            claim = await claimed(rows.checkpoints, balances.follows)

            async def fold() -> None:
                changes = Changes({("a",): ("a", 5, 1)})
                await rows.commit(balances.table, claim, at(0), receipt.position, changes)

            rows.meanwhile.append(fold)
            began = asyncio.get_running_loop().time()
            assert await running.get(balances, "a", after=receipt, wait_s=5) == Balance("a", 5, 1)
            assert asyncio.get_running_loop().time() - began < 0.1

    virtual_time.run(main())


class Replaced(MemoryLog):
    """A log that notices by itself that it was replaced, as one in a file does."""

    replaced = False

    async def head(self) -> Position:
        await asyncio.sleep(0.01)
        if self.replaced:
            raise LogReplaced("another file")
        return await super().head()


def test_g11_every_read_of_a_log_that_was_replaced_is_refused() -> None:
    """Not only the first one that looks, nor only those that come while it looks."""

    async def main() -> None:
        log, rows = Replaced(), MemoryReadStore()
        async with app.open(log, read_store=rows, work=False) as running:
            receipt = await deposited(log, "a", 5)
            async for _ in running.catch_up(balances, until=[receipt]):
                pass
            assert await running.get(balances, "a") == Balance("a", 5, 1)
            log.replaced = True
            await asyncio.sleep(LOOK_EVERY_S)
            for _ in range(3):
                found = await asyncio.gather(*(running.get(balances, "a") for _ in range(3)), return_exceptions=True)
                assert [type(one) for one in found] == [LogReplaced] * 3
            log.replaced = False
            assert await running.get(balances, "a") == Balance("a", 5, 1)

    virtual_time.run(main())


def test_g6_news_that_is_not_what_it_waits_for_does_not_make_it_wait_longer() -> None:
    """Something else is folded every half second; after its timeout the read reports how far behind it is."""

    async def main() -> None:
        log, rows = MemoryLog(), MemoryReadStore()
        async with app.open(log, read_store=rows, work=False) as running:
            receipt = await deposited(log, "a", *[1] * 30)
            claim = await claimed(rows.checkpoints, balances.follows)

            async def fold() -> None:
                for offset in range(29):
                    await rows.commit(balances.table, claim, at(offset), at(offset + 1), Changes({}))
                    await asyncio.sleep(0.5)

            folding = asyncio.create_task(fold())
            began = asyncio.get_running_loop().time()
            with pytest.raises(ReadModelBehind):
                await running.get(balances, "a", after=receipt, wait_s=2)
            assert asyncio.get_running_loop().time() - began == pytest.approx(2, abs=0.01)
            folding.cancel()

    virtual_time.run(main())


def test_g6_who_is_woken_in_vain_waits_no_longer_than_it_may() -> None:
    """A store may wake it at any time, such as when its file or its connection has changed."""

    class Restless(MemoryReadStore):
        wakes_after_s = 0.0

        async def wait(self, follower: FollowerId, after: Position, timeout_s: float) -> None:
            await asyncio.sleep(min(timeout_s, self.wakes_after_s))

    async def main() -> None:
        log, rows = MemoryLog(), Restless()
        async with app.open(log, read_store=rows, work=False) as running:
            receipt = await deposited(log, "a", 1)
            for rows.wakes_after_s in (0.3, 1.9, 2, 5):
                began = asyncio.get_running_loop().time()
                with pytest.raises(ReadModelBehind):
                    await running.get(balances, "a", after=receipt, wait_s=2)
                assert asyncio.get_running_loop().time() - began == pytest.approx(2, abs=0.01)

    virtual_time.run(main())


class Late(MemoryLog):
    """A log whose head is as it was when it was asked for, and comes when it may."""

    may: asyncio.Event | None = None

    async def head(self) -> Position:
        may, found = self.may, await super().head()
        if may is not None:
            await may.wait()
        return found


def test_g11_what_another_read_learns_late_makes_no_older_log() -> None:
    """Of a partition it is older than the rows of a read that still waits for another partition."""

    async def main() -> None:
        cuts, rows = MemoryLog(), MemoryReadStore()
        one, two = parts = [Late(partition=n, log_id=cuts.log_id) for n in (1, 2)]
        log = Partitioned(parts, cuts)
        here, there = (next(f"{n}" for n in range(99) if log.partition_of(f"{n}") == part) for part in (1, 2))
        async with (
            app.open(Partitioned(parts, cuts), read_store=rows, work=False) as worker,
            app.look(log, read_store=rows) as reader,
        ):

            async def handled(*names: str) -> None:
                for name in names:
                    await worker.execute(accounts, name, Deposit(1))
                async for _ in worker.catch_up(balances):
                    pass

            assert await reader.count(balances) == 0
            await handled(here)
            first = one.may = asyncio.Event()
            early = asyncio.create_task(reader.count(balances))
            await asyncio.sleep(0.01)
            one.may = None
            await handled(here, there)
            second = two.may = asyncio.Event()
            late = asyncio.create_task(reader.count(balances))
            await asyncio.sleep(0.01)
            first.set()
            assert await early == 1
            second.set()
            assert await late == 2

    virtual_time.run(main())


def test_g11_the_ends_of_partitions_that_one_read_has_learned_need_no_look_of_the_next() -> None:
    class Counted(MemoryLog):
        asked = 0

        async def head(self) -> Position:
            self.asked += 1
            return await super().head()

    async def main() -> None:
        cuts, rows = MemoryLog(), MemoryReadStore()
        parts = [Counted(partition=n, log_id=cuts.log_id) for n in (1, 2)]
        log = Partitioned(parts, cuts)
        async with (
            app.open(Partitioned(parts, cuts), read_store=rows, work=False) as worker,
            app.look(log, read_store=rows) as reader,
        ):
            await reader.count(balances)  # it looks at all of them, once a second
            for part in (1, 2):
                await worker.execute(
                    accounts, next(f"{n}" for n in range(99) if log.partition_of(f"{n}") == part), Deposit(1)
                )
            async for _ in worker.catch_up(balances):
                pass
            asked = []
            for _ in range(3):
                before = sum(part.asked for part in parts)
                assert await reader.count(balances) == 2
                asked.append(sum(part.asked for part in parts) - before)
            assert asked == [2, 0, 0]

    virtual_time.run(main())
