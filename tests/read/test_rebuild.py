"""A rebuild whose old table somebody still reads from. On memory and in virtual time."""

import asyncio
import math
from collections.abc import Sequence

import pytest

from twofold import operate
from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.errors import Contended
from twofold.feed.checkpoints import Claim, FollowerId
from twofold.messages import Position
from twofold.read.projection import Table
from twofold.read.rebuild import LOOK_S, PATIENCE_S
from twofold.testing import virtual_time
from twofold.testing.conformance.bank import Balance, balances, deposited
from twofold.testing.conformance.rebuild import caught_up, only


class InUse(MemoryReadStore):
    """A transaction reads from the old table until some time."""

    until = 0.0

    async def replace(self, table: Table, claims: Sequence[Claim], built: FollowerId, at: Sequence[Position]) -> bool:
        if asyncio.get_running_loop().time() < self.until:
            return False
        return await super().replace(table, claims, built, at)


@pytest.mark.parametrize("reads_for_s", [0.0, 1.0, PATIENCE_S - 1, math.inf])
def test_g8_a_rebuild_waits_a_minute_for_whoever_reads_from_the_old_table(reads_for_s: float) -> None:
    """What comes meanwhile is in the new table, too; after that minute the old one stays."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        log, store = MemoryLog(), InUse()
        async with only.open(log, read_store=store, work=False) as running:
            await deposited(log, "a", 1)
            await caught_up(running)
            began = clock()
            store.until = began + reads_for_s

            async def rebuilt() -> None:
                async with asyncio.timeout(3 * PATIENCE_S):
                    async for _ in operate.rebuild(running, balances, from_scratch=True):
                        pass

            rebuilding = asyncio.create_task(rebuilt())
            await asyncio.sleep(0.25)
            await deposited(log, "a", 2)
            if reads_for_s < PATIENCE_S:
                await rebuilding
                assert reads_for_s <= clock() - began <= reads_for_s + 2 * LOOK_S
            else:
                with pytest.raises(Contended, match="an open transaction reads from the old table: end it"):
                    await rebuilding
                assert PATIENCE_S <= clock() - began <= PATIENCE_S + 2 * LOOK_S
            assert [table.follows for table in await store.tables()] == [balances.follows]
            await caught_up(running)
            assert await running.get(balances, "a") == Balance("a", 3, 2)

    virtual_time.run(main())
