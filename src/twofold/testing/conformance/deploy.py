"""A changed read model is deployed (G8): while commands go on, and with an end at the worst moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from dataclasses import replace

import pytest

from twofold.app import Running
from twofold.backends.connect import LogStore, Rows
from twofold.errors import Unavailable
from twofold.messages import Receipt, Recorded
from twofold.read.projection import Projection
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.bank import (
    Balance,
    Deposit,
    Deposited,
    accounts,
    balances,
    bank,
    deposited,
    eventually,
    fold_balance,
)

NAMES = ("a", "b", "c")
MOST = 500


def fold_double(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
    """The changed fold."""
    return fold_balance(row, replace(event, amount=2 * event.amount), recorded)


doubled = Projection("balance", Balance, fold_double, version=2, indexes=["total"])
deployed = replace(bank, projections=[doubled], reactors=[])


class DeployConformance(OnBackend):
    """Which version is shown, and what it holds."""

    async def test_g8_a_new_version_during_load(
        self, log: LogStore, store: Rows, other_log: LogStore, other_store: Rows
    ) -> None:
        """It is folded from the beginning and shown when it is there; meanwhile the old one answers, never behind."""
        for name in NAMES:
            await deposited(log, name, *[1, 2, 3] * 100)
        receipts = dict[str, Receipt]()
        made = Counter[str]()

        async with bank.open(log, read_store=store) as old, deployed.open(other_log, read_store=other_store) as new:

            async def newer_is_shown() -> bool:
                return await shown(store) == 2

            async def deposit(name: str) -> None:
                more = 10  # than those before the new one is shown
                while more > 0 and made[name] < MOST:
                    more -= await newer_is_shown()
                    made[name] += 1
                    receipts[name] = (await old.execute(accounts, name, Deposit(1))).receipt
                    assert await old.get(balances, name, after=receipts[name]) == Balance(
                        name, 600 + made[name], 300 + made[name]
                    )

            await asyncio.gather(*map(deposit, NAMES))
            await eventually(newer_is_shown)
            for name in NAMES:
                total, deposits = 600 + made[name], 300 + made[name]
                assert await new.get(doubled, name, after=receipts[name]) == Balance(name, 2 * total, deposits)
                assert await old.get(balances, name, after=receipts[name]) == Balance(name, total, deposits)

    async def test_g8_an_end_between_the_rows_and_the_swap(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The old version stays; whoever comes next has nothing to fold any more, and shows the new one."""
        async with bank.open(log, read_store=store) as old:
            receipt = await deposited(log, "a", 1, 2, 3)
            assert await old.get(balances, "a", after=receipt) == Balance("a", 6, 3)

        async def publish(*_: object) -> bool:
            raise Unavailable("it has ended here")

        with monkeypatch.context() as patched:
            patched.setattr(store, "publish", publish)
            async with deployed.look(log, read_store=store) as running:
                with pytest.raises(Unavailable, match="it has ended here"):
                    await caught_up(running)
        assert await shown(store) == 1
        assert (await store.get(doubled.table, ("a",))).rows == [("a", 12, 3)]
        async with deployed.look(log, read_store=store) as running:
            assert await caught_up(running) == 0
            assert await shown(store) == 2
            assert await running.get(doubled, "a", after=receipt) == Balance("a", 12, 3)


async def caught_up(running: Running) -> int:
    """As `twofold rebuild` does it; how many events were folded."""
    following = await running.prepared("balance")
    async with aclosing(following.catch_up()) as positions:
        async for _ in positions:
            pass
    return following.counts.events


async def shown(store: Rows) -> int:
    """The version that the public name shows."""
    stored = [table for table in await store.tables() if table.follows.name == "balance"]
    [version] = [table.follows.version for table in stored if table.live]
    return version
