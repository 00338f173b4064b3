"""Following on demand (`Running.catch_up`), in processes that otherwise do no work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from twofold.app import Running
from twofold.backends.ports import LogStore, Rows
from twofold.errors import Contended, InvalidInput, InvalidToken
from twofold.feed.checkpoints import FollowerId
from twofold.feed.partitions import partition_of
from twofold.messages import Position, Receipt, Token
from twofold.read.freshness import After
from twofold.read.projection import Projection
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.bank import CURSED, Deposit, accounts, balances, bank, sums
from twofold.testing.conformance.checkpoints import claimed

MODELS = pytest.mark.parametrize("model", [balances, sums], ids=["spread", "merged"])


class CatchUpConformance(OnBackend):
    """See `Running.catch_up`: of a projection that follows the partitions, and of one that follows the merged feed."""

    @pytest.fixture
    async def called(self, log: LogStore, store: Rows) -> AsyncIterator[Running]:
        """A process that does no work."""
        async with bank.open(log, read_store=store, work=False) as running:
            yield running

    @pytest.fixture
    async def called_too(self, called: Running, other_log: LogStore, other_store: Rows) -> AsyncIterator[Running]:
        """Another one."""
        async with bank.open(other_log, read_store=other_store, work=False) as running:
            yield running

    @MODELS
    async def test_it_folds_what_is_named_and_says_what_it_folded(
        self, called: Running, model: Projection[Any]
    ) -> None:
        """Each event once, however often and in whatever order it is named."""
        receipts = [await deposit(called, f"a{n % 7}", 1) for n in range(20)]
        folded = await caught_up(called, model, reversed(receipts[:5]))
        assert set(folded) >= {event_of(receipt) for receipt in receipts[:5]}
        folded += await caught_up(called, model, receipts)
        assert sorted(folded) == sorted(map(event_of, receipts))
        for again in (receipts, receipts[:1], [], None):
            assert await caught_up(called, model, again) == []
        assert await total(called, model) == 20

    @MODELS
    async def test_it_folds_all_there_is_where_nothing_is_named(self, called: Running, model: Projection[Any]) -> None:
        """As a process does that is called by a clock. What it yields is in the rows by then."""
        receipts = [await deposit(called, f"a{n}", 1) for n in range(9)]
        folded = 0
        async for events in called.catch_up(model):
            folded += len(events)
            assert await total(called, model) >= folded
        assert folded == len(receipts)

    @MODELS
    async def test_it_folds_the_newest_of_what_is_named(self, called: Running, model: Projection[Any]) -> None:
        """Also where an older event of the same partition, which is folded already, is named after it."""
        older = await deposit(called, "a", 1)
        assert await caught_up(called, model, [older]) == [event_of(older)]
        for order in (1, -1):
            newer = await deposit(called, "a", 1)
            assert await caught_up(called, model, [older, newer][::order]) == [event_of(newer)]

    @MODELS
    async def test_g5_processes_that_are_called_at_once_fold_each_event_once(
        self, called: Running, called_too: Running, model: Projection[Any]
    ) -> None:
        """Whichever of them folds it says so, and no other."""
        receipts = [await deposit((called, called_too)[n % 2], f"a{n % 5}", 1) for n in range(30)]
        calls = [
            caught_up(running, model, receipts[n : n + 10]) for n in (20, 0, 10) for running in (called, called_too)
        ]
        folded = [event for events in await asyncio.gather(*calls) for event in events]
        assert sorted(folded) == sorted(map(event_of, receipts))
        assert await total(called, model) == 30

    async def test_g7_what_is_parked_is_left_out(self, called: Running) -> None:
        """It counts as passed, so the call ends."""
        first, bad, behind = (
            await deposit(called, "a", 1),
            await deposit(called, "b", CURSED),
            await deposit(called, "b", 1),
        )
        assert await caught_up(called, balances, [first, bad, behind]) == [event_of(first)]
        again = await deposit(called, "b", 1)
        assert await caught_up(called, balances, [again]) == []

    async def test_it_waits_for_the_holder_of_the_checkpoint(self, called: Running, called_too: Running) -> None:
        """If that one folds what is named there is nothing left to do; if it does not in time, the caller may retry."""
        receipt = await deposit(called, "a", 1)
        [following] = [each for each in called_too.followers if each.follower_id == followed(called, receipt)]
        async with following.held() as held:
            with pytest.raises(Contended, match=f"held by worker {called_too.owner}"):
                await caught_up(called, balances, [receipt], wait_s=0.01)
            waiting = asyncio.create_task(caught_up(called, balances, [receipt]))
            async for _ in held.catch_up(await following.feed.head()):
                pass
            assert await waiting == []
        assert await total(called, balances) == 1

    @pytest.mark.usefixtures("short_lease")
    async def test_g5_it_takes_over_from_a_dead_holder(self, called: Running, other_store: Rows) -> None:
        """As soon as its lease has run out."""
        receipt = await deposit(called, "a", 1)
        await claimed(other_store.checkpoints, followed(called, receipt), "dead")
        assert await caught_up(called, balances, [receipt]) == [event_of(receipt)]

    async def test_g10_what_cannot_be_reached_is_refused(self, called: Running) -> None:
        """At once, instead of waiting for it."""
        receipt = await deposit(called, "a", 1)
        beyond = Token(receipt.log_id, Position(receipt.position.partition, receipt.position.offset + 2**40))
        for wrong in ("f" * 16 + ":0:1", beyond, "nonsense"):
            for named in ([wrong], [wrong, receipt], [receipt, wrong]):  # others hide none of them
                async with asyncio.timeout(10):
                    with pytest.raises(InvalidToken):
                        await caught_up(called, balances, named)
        with pytest.raises(InvalidInput, match="has no projection"):
            await caught_up(called, Projection("nobody", balances.row, balances.evolve), None)


async def deposit(running: Running, id: str, amount: int) -> Receipt:
    """By a command."""
    return (await running.execute(accounts, id, Deposit(amount))).receipt


async def caught_up(
    running: Running, model: Projection[Any], until: Iterable[After] | None, wait_s: float = 60.0
) -> list[tuple[str, int]]:
    """The events that a call has folded."""
    named = None if until is None else list(until)
    pages = running.catch_up(model, until=named, wait_s=wait_s)
    return [(str(event.stream), event.version) async for events in pages for event in events]


async def total(running: Running, model: Projection[Any]) -> int:
    """What all deposits come to, by the rows."""
    if model is sums:
        row = await running.get(sums, "all")
        return 0 if row is None else row.total
    return sum(row.total for row in await running.find(balances, limit=500))


def event_of(receipt: Receipt) -> tuple[str, int]:
    """The event that a deposit has recorded."""
    return str(receipt.stream), receipt.version


def followed(running: Running, receipt: Receipt) -> FollowerId:
    """The follower of balances that folds an event."""
    return balances.follows.in_partition(partition_of(running.log, receipt.stream.id))
