"""Waiting for followers: until everything is handled (`Running.settled`), and during an import (`Running.bulk`)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest

from twofold import operate
from twofold.app import Running
from twofold.backends.ports import LogStore, Rows
from twofold.errors import InvalidInput, NotSettled, Rejected
from twofold.feed.partitions import ancestors, partition_of, parts_of
from twofold.messages import BEGINNING, Receipt, Recorded
from twofold.react.reactor import To
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.bank import (
    CURSED,
    Account,
    Balance,
    Closed,
    Deposit,
    Deposited,
    accounts,
    balances,
    bank,
    eventually,
    forwarding,
    sums,
)
from twofold.write.bulk import Bulk, Call
from twofold.write.decider import Done

MANY = 1_500


class WaitingConformance(OnBackend):
    """See `Running.settled` and `Running.bulk`."""

    @pytest.fixture
    async def away(self, log: LogStore, store: Rows) -> AsyncIterator[Running]:
        """The bank in a process that does no work."""
        async with bank.open(log, read_store=store, work=False) as running:
            yield running

    @pytest.fixture
    async def worker(self, away: Running, other_log: LogStore, other_store: Rows) -> AsyncIterator[Running]:
        """The bank in a second process that works."""
        async with bank.open(other_log, read_store=other_store) as running:
            yield running

    # ---- settled

    async def test_settled_waits_for_what_reactions_cause(self, away: Running, worker: Running) -> None:
        """Also in a process without workers: money that was passed on has arrived and is in the rows."""
        for running in (away, worker):
            await running.execute(accounts, "a", Deposit(5, to="b"))
            await running.execute(accounts, "c", Deposit(7, to="b"))
            await running.settled(timeout_s=60)
            state, _ = await away.load(accounts, "b")
            assert await away.get(balances, "b") == Balance("b", state.balance, state.balance // 6)
        assert (await away.load(accounts, "b"))[0] == Account(24)

    async def test_settled_on_an_empty_log(self, worker: Running) -> None:
        """Returns at once."""
        await worker.settled(timeout_s=60)

    async def test_what_is_parked_for_good_is_settled(self, worker: Running) -> None:
        """A parked row, and a reaction that was refused."""
        await worker.execute(accounts, "a", Deposit(CURSED))
        await worker.execute(accounts, "b", Deposit(1, to="closed"))
        await worker.settled(timeout_s=60)
        await worker.execute(accounts, "a", Deposit(1))
        await worker.settled(timeout_s=60)
        waiting = Counter[str]()
        for one in await operate.status(worker):
            waiting[one.name] += one.parked
        assert waiting == {"balance": 1, "sum": 1, "forwarding": 0}

    async def test_who_does_not_settle_is_named(self, away: Running) -> None:
        """No worker runs: the error says how far each follower is behind."""
        await away.execute(accounts, "a", Deposit(5))
        named = [str(one.follower_id) for one in away.followers if one.feed.partition in concerned(away, "a")]
        with pytest.raises(NotSettled, match=f"{named[0]} is 1 events behind") as raised:
            await away.settled(timeout_s=0.1)
        assert raised.value.left == dict.fromkeys(named, (1, 0))
        assert len(named) == 3

    async def test_a_reaction_that_is_tried_again_is_not_settled(self, log: LogStore, store: Rows) -> None:
        """Its stream waits for the next try, which may cause more."""
        failing = replace(forwarding, react=_fails)
        async with replace(bank, reactors=[failing]).open(log, read_store=store) as running:
            await running.execute(accounts, "a", Deposit(5))
            [named] = [
                str(one.follower_id)
                for one in running.followers
                if one.follower_id.name == "forwarding" and one.feed.partition in concerned(running, "a")
            ]

            async def only_that_is_left() -> bool:
                with pytest.raises(NotSettled) as raised:
                    await running.settled(timeout_s=0)
                return raised.value.left == {named: (0, 1)}

            await eventually(only_that_is_left)

    # ---- bulk

    async def test_an_import_is_all_there_and_can_be_started_again(self, worker: Running, away: Running) -> None:
        """Commands and events; earlier imports are repetitions, and are reported as such."""
        calls: list[Call] = [
            *(partial(away.execute, accounts, f"{n % 7}", Deposit(n + 20), command_id=f"d{n}") for n in range(1, 100)),
            *(partial(away.append, f"account-e{n}", [Deposited(1)] * 3, command_id=f"e{n}") for n in range(50)),
        ]
        steps: list[tuple[str, int, int]] = []
        half = await away.bulk(calls[:60], progress=lambda *step: steps.append(step))
        assert (half, steps) == (Bulk(60, 0, 60), [("imported", done, 60) for done in range(1, 61)])
        whole = await away.bulk(calls, at_once=16)
        assert whole == Bulk(149, 60, 39 + 150)
        await away.settled(timeout_s=60)
        everything = await away.get(sums, "all")
        assert everything is not None
        assert everything.deposits == 99 + 150

    async def test_an_import_leaves_no_follower_further_behind(self, away: Running, worker: Running) -> None:
        """The other process's checkpoints are each read after the head, so the lag is not overestimated."""
        furthest = 0

        async def call(number: int) -> Receipt:
            nonlocal furthest
            if number % 20 == 0:
                for one in worker.followers:
                    head = await one.feed.head()
                    checkpoint = await one.checkpoints.read(one.follower_id)
                    if checkpoint is None:  # its partition has just split, or is a part of one that has
                        number = one.follower_id.partition
                        assert parts_of(worker.log, number) or ancestors(worker.log, number)
                        continue
                    furthest = max(furthest, await one.feed.distance(checkpoint.position, head))
            return await away.append(f"account-{number}", [Deposited(1)])

        await away.append("account-first", [Deposited(1)])
        await until_all_are_held(worker)
        imported = await away.bulk((partial(call, n) for n in range(MANY)), at_once=8, most_behind=60)
        assert imported.events == MANY
        assert 0 < furthest <= 60

    async def test_an_import_does_not_wait_for_a_follower_that_nobody_holds(self, away: Running) -> None:
        """It has no readers to slow down; it catches up when a worker starts."""
        calls = (partial(away.append, f"account-{n}", [Deposited(1)]) for n in range(100))
        assert (await away.bulk(calls, at_once=4, most_behind=10)).events == 100

    async def test_an_import_stops_at_the_first_error(self, away: Running) -> None:
        """The error is raised as it is; no further calls start, and running ones end."""
        begun: list[int] = []

        async def call(number: int) -> Done[Account, Deposited | Closed]:
            begun.append(number)
            return await away.execute(accounts, f"{number}", Deposit(-1 if number == 5 else 1), command_id=f"{number}")

        with pytest.raises(Rejected, match="a deposit of -1 is refused"):
            await away.bulk((partial(call, n) for n in range(1_000)), at_once=4)
        assert 5 in begun
        assert len(begun) < 1_000
        assert await away.log.behind(BEGINNING) == len(begun) - 1

    @pytest.mark.parametrize(("at_once", "most_behind"), [(0, 10), (10, 10), (-1, 5)])
    async def test_limits_of_an_import_that_make_no_sense(self, away: Running, at_once: int, most_behind: int) -> None:
        """Refused before the first call."""
        calls = [partial(away.append, "account-a", [Deposited(1)])]
        with pytest.raises(InvalidInput, match="at_once"):
            await away.bulk(calls, at_once=at_once, most_behind=most_behind)


def concerned(running: Running, id: str) -> set[int]:
    """The feeds that have the events of the streams with this id: of their partition, and of the log as a whole."""
    return {running.log.partition, partition_of(running.log, id)}


def _fails(event: Deposited, recorded: Recorded) -> list[To]:
    """Always."""
    raise OSError("not just now")


async def until_all_are_held(worker: Running) -> None:
    """An import waits for held followers only; one of a partition without events is settled before it is claimed."""
    async with asyncio.timeout(60):
        while any(one.state != "following" for one in worker.followers):
            await asyncio.sleep(0.005)
