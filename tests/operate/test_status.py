"""The status of an App, for an operator."""

from collections.abc import Sequence
from dataclasses import replace

from twofold import operate
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.feed.checkpoints import Checkpoint
from twofold.messages import Position
from twofold.read.projection import Table
from twofold.testing.conformance.bank import balances, deposited
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
