"""The status of an App, for an operator."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from twofold import App, operate
from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.feed.checkpoints import Checkpoint
from twofold.messages import Position
from twofold.read.projection import Table
from twofold.testing import virtual_time
from twofold.testing.conformance.bank import accounts, balances, deposited, sums
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


def test_each_follower_is_as_late_as_it_is_although_another_one_is_not() -> None:
    """The events are recorded in the future, by a clock that was wrong: only what was seen shows how old they are."""
    ahead = timedelta(days=365)

    async def main() -> None:
        clock = [datetime(2026, 1, 1, tzinfo=UTC) + ahead]
        ambient = Ambient(now=lambda: clock[0])
        log = MemoryLog(ambient)
        await deposited(log, "a", 1)
        clock[0] -= ahead
        app = App("bank", deciders=[accounts], projections=[balances, sums])
        async with app.open(log, read_store=MemoryReadStore(), ambient=ambient, work=False) as running:
            await caught_up(running)
            await operate.status(running)
            for waited in (10, 20):
                await asyncio.sleep(10)
                late = {one.name: one.lag_s for one in await operate.status(running)}
                assert late == {balances.name: 0, sums.name: waited}

    virtual_time.run(main())
