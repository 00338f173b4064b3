"""A changed read model is deployed (G8): during commands, and with a stop at the worst moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from dataclasses import replace

import msgspec
import pytest

from twofold import operate
from twofold.app import Running
from twofold.backends.ports import LogStore, Rows
from twofold.errors import Unavailable
from twofold.feed.checkpoints import Claim
from twofold.feed.follow import Following
from twofold.messages import Position, Receipt, Recorded
from twofold.read.projection import Projection, Table
from twofold.read.store import Changes
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
from twofold.testing.conformance.material import at
from twofold.testing.conformance.rows import live, spread, tally

NAMES = ("a", "b", "c")
MOST = 500


def fold_double(row: Balance, event: Deposited, recorded: Recorded) -> Balance:
    """The changed fold."""
    return fold_balance(row, replace(event, amount=2 * event.amount), recorded)


doubled = Projection("balance", Balance, fold_double, version=2, indexes=["total"])
deployed = replace(bank, projections=[doubled], reactors=[])


class DeployConformance(OnBackend):
    """The version that is shown, and its rows."""

    async def test_g8_a_new_version_during_load(
        self, log: LogStore, store: Rows, other_log: LogStore, other_store: Rows
    ) -> None:
        """Folded from the beginning and shown once it has caught up; until then the old one is read, never behind."""
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
        """The old version stays; the next process has nothing left to fold and shows the new one."""
        async with bank.open(log, read_store=store) as old:
            receipt = await deposited(log, "a", 1, 2, 3)
            assert await old.get(balances, "a", after=receipt) == Balance("a", 6, 3)

        async def publish(*_: object) -> bool:
            raise Unavailable("it has ended here")

        with monkeypatch.context() as patched:
            patched.setattr(store, "publish", publish)
            async with deployed.look(log, read_store=store) as running:
                for following in await operate.prepared(running, doubled):
                    with pytest.raises(Unavailable, match="it has ended here"):
                        await to_the_end(following)
        assert await shown(store) == 1
        assert (await store.get(doubled.table, ("a",))).rows == [("a", 12, 3)]
        async with deployed.look(log, read_store=store) as running:
            assert await caught_up(running) == 0
            assert await shown(store) == 2
            assert await running.get(doubled, "a", after=receipt) == Balance("a", 12, 3)

    # ---- several partitions: the store alone

    @pytest.mark.parametrize(
        ("its", "mine", "short_of_it", "covers_it"),
        [
            pytest.param(
                [at(5, 1), at(7, 2)],
                [at(9)],
                [
                    [at(9), at(4, 1), at(7, 2)],
                    [at(9), at(5, 1), at(6, 2)],
                    [at(9), at(5, 1)],
                    [at(5, 1), at(7, 2)],
                    [at(10), at(5, 1), at(7, 2)],
                    [],
                ],
                [at(9), at(5, 1), at(7, 2)],
                id="merged after spread",
            ),
            pytest.param(
                [at(9)],
                [at(5, 1), at(7, 2)],
                [
                    [at(8), at(5, 1), at(7, 2)],
                    [at(5, 1), at(7, 2)],
                    [at(9), at(5, 1)],
                    [at(9), at(6, 1), at(7, 2)],
                    [at(9), at(5, 1), at(8, 2)],
                ],
                [at(9), at(5, 1), at(7, 2)],
                id="spread after merged",
            ),
            pytest.param(
                [at(5, 1), at(3, 2)],
                [at(5, 1), at(4, 2)],
                [[at(4, 1), at(4, 2)], [at(5, 1), at(2, 2)], [at(5, 1)], [at(5, 1), at(5, 2)]],
                [at(5, 1), at(4, 2)],
                id="spread after spread",
            ),
        ],
    )
    async def test_g8_every_partition_is_compared(
        self,
        store: Rows,
        other_store: Rows,
        its: list[Position],
        mine: list[Position],
        short_of_it: list[list[Position]],
        covers_it: list[Position],
    ) -> None:
        """Shown if all checkpoints of the live version are covered by its own actual ones."""
        await standing(store, tally(1), *its)
        await standing(store, tally(2), *mine)
        for covered in short_of_it:
            assert await other_store.publish(tally(2), covered) is False, covered
        assert await live(store) == [1]
        assert await other_store.publish(tally(2), covers_it) is True
        assert await live(store) == [2]
        assert await other_store.publish(tally(1), []) is True

    async def test_g8_a_partition_that_has_moved_on_since_is_compared_again(self, store: Rows) -> None:
        """The positions were covered when the engine looked, but no longer are."""
        _, second = await standing(store, tally(1), at(5, 1), at(7, 2))
        await standing(store, tally(2), at(9))
        await store.commit(tally(1), second, at(7, 2), at(8, 2), Changes({}))
        assert await store.publish(tally(2), [at(9), at(5, 1), at(7, 2)]) is False
        assert await store.publish(tally(2), [at(9), at(5, 1), at(8, 2)]) is True

    async def test_g8_a_lost_partition_does_not_count(self, store: Rows) -> None:
        """Only the table that was found to be lost, as long as it has not moved."""
        await standing(store, tally(1), at(5, 1), at(5, 2))
        await standing(store, tally(2), at(9))
        first, second = await store.checkpoints.all_partitions(tally(1).follows)
        covered = [at(9), at(5, 2)]
        for not_it in (
            [],
            [second],
            [msgspec.structs.replace(first, position=at(4, 1))],
            [msgspec.structs.replace(first, log_id="f" * 16)],
        ):
            assert await store.publish(tally(2), covered, not_it) is False
        assert await live(store) == [1]
        assert await store.publish(tally(2), covered, [first]) is True
        assert await live(store) == [2]


async def standing(store: Rows, table: Table, *places: Position) -> list[Claim]:
    """Create the table with checkpoints at these positions, held by us."""
    claims = await spread(store, table, *(place.partition for place in places))
    for claim, place in zip(claims, places, strict=True):
        await store.commit(table, claim, at(0, place.partition), place, Changes({}))
    return claims


async def caught_up(running: Running) -> int:
    """Rebuild as `twofold rebuild` does; returns how many events were folded."""
    followings = await operate.prepared(running, running.app.projection("balance"))
    for following in followings:
        await to_the_end(following)
    return sum(following.counts.events for following in followings)


async def to_the_end(following: Following) -> None:
    """Fold to the end of the feed."""
    async with aclosing(following.catch_up()) as positions:
        async for _ in positions:
            pass


async def shown(store: Rows) -> int:
    """The version that the public name shows."""
    stored = [table for table in await store.tables() if table.follows.name == "balance"]
    [version] = [table.follows.version for table in stored if table.live]
    return version
