"""The status of an App, for an operator."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from twofold import operate
from twofold.ambient import Ambient
from twofold.app import Running
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.feed.checkpoints import Checkpoint
from twofold.messages import Position
from twofold.read.projection import Table
from twofold.rollup import Rollup, count
from twofold.testing import virtual_time
from twofold.testing.conformance.bank import balances, bank, deposited, sums
from twofold.testing.conformance.rebuild import caught_up, only, upgraded


class Holds(MemoryReadStore):
    """The public name cannot move yet."""

    async def publish(self, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint] = ()) -> bool:
        return table.follows.version == 1


async def test_who_only_looks_is_told_that_a_version_has_come_as_far_as_the_one_that_is_shown() -> None:
    """Also by a process that does not fold it."""
    log, rows = MemoryLog(), Holds()
    await deposited(log, "a", 1, 2)
    async with only.open(log, read_store=rows, work=False) as old, upgraded.open(log, read_store=rows) as new:
        await caught_up(old)
        [newer] = upgraded.projections
        await new.get(newer, "a", after=await deposited(log, "a", 3))
        await caught_up(old)
        async with replace(upgraded, projections=[newer]).look(log, read_store=rows) as looking:
            [told] = await operate.status(looking)
            assert told.note == f"it has caught up with {balances.follows}, which the name balance still shows"
        [told] = await operate.status(old)
        assert told.note is None


def test_the_lag_of_one_follower_is_not_that_of_a_faster_one() -> None:
    """Where events lie in the future, so that only what this process has seen says since when they wait."""

    async def main() -> None:
        ahead = MemoryLog(Ambient(now=lambda: datetime.now(UTC) + timedelta(days=365)))
        both = replace(bank, projections=[balances, sums], reactors=[])
        async with both.open(ahead, read_store=MemoryReadStore(), work=False) as running:
            await deposited(ahead, "a", 1)
            await caught_up(running, sums)
            for waited_s in (0, 10, 20):
                lags = {one.name: round(one.lag_s) for one in await operate.status(running)}
                assert lags == {"balance": waited_s, "sum": 0}
                await asyncio.sleep(10)

    virtual_time.run(main())


async def test_who_only_looks_is_told_that_the_log_is_another_one() -> None:
    """Also where that one has come further than the rows."""
    rows, log, other = MemoryReadStore(), MemoryLog(), MemoryLog()
    await deposited(log, "a", 1)
    await deposited(other, "a", 1, 2)
    async with only.open(log, read_store=rows, work=False) as running:
        await caught_up(running)
        assert [one.error for one in await operate.status(running)] == [None]
    async with only.look(other, read_store=rows) as looking:
        [told] = await operate.status(looking)
        assert told.error is not None
        assert log.log_id in told.error


class GoesOn(MemoryLog):
    """After its end has been read, an event is appended and folded before anything else happens."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def head(self) -> Position:
        found = await super().head()
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return found


@pytest.mark.parametrize("look", [operate.status, operate.check])
async def test_what_is_folded_meanwhile_is_no_sign_of_another_log(look: Callable[[Running], Awaitable[Any]]) -> None:
    """A checkpoint may be beyond the end that the log had a moment ago."""
    log = GoesOn()
    async with only.open(log, read_store=MemoryReadStore()) as running:

        async def goes_on() -> None:
            await running.get(balances, "a", after=await deposited(log, "a", 1))

        for _ in range(2):
            log.meanwhile = goes_on
            found = await look(running)
            assert log.meanwhile is None
            for one in found or ():
                assert one.error is None
        assert await running.get(balances, "a") is not None


@dataclass(frozen=True)
class Accounts:
    """The number of accounts with this number of deposits."""

    deposits: int
    accounts: int


async def test_a_rollup_is_as_far_as_it_is_filled() -> None:
    """One that is new is behind, although its source is at the end."""
    log, rows = MemoryLog(), MemoryReadStore()
    await deposited(log, "a", 1, 2, 3)
    async with only.open(log, read_store=rows, work=False) as running:
        await caught_up(running)
    by_deposits = Rollup("by_deposits", Accounts, of=balances, by="deposits", accounts=count())
    both = replace(only, projections=[balances, by_deposits])
    async with both.look(log, read_store=rows) as looking:
        found = {one.name: (one.position, one.lag_events, one.lag_s > 0) for one in await operate.status(looking)}
        head = await log.head()
        assert found == {"balance": (head, 0, False), "by_deposits": (None, 3, True)}
    async with both.open(log, read_store=rows, work=False) as running:
        await operate.prepared(running, by_deposits)
        found = {one.name: (one.position, one.lag_events, one.lag_s > 0) for one in await operate.status(running)}
        assert found == {"balance": (head, 0, False), "by_deposits": (head, 0, False)}
