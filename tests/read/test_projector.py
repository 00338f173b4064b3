"""The projector, where the store goes away at the wrong moment. On memory and in virtual time."""

from contextlib import aclosing
from dataclasses import replace

import pytest

from twofold.backends.memory import MemoryLog, MemoryReadStore
from twofold.errors import Unavailable
from twofold.feed.checkpoints import Checkpoint
from twofold.read.projection import Table
from twofold.testing import virtual_time
from twofold.testing.conformance.bank import balances, bank, deposited, eventually

newer = replace(balances, version=2)
deployed = replace(bank, projections=[newer], reactors=[])


class GoesAway(MemoryReadStore):
    """Just when the newer version is to be shown for the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.away = 1

    async def publish(self, table: Table, lost: Checkpoint | None = None) -> bool:
        if table == newer.table and self.away:
            self.away -= 1
            raise Unavailable("down")
        return await super().publish(table, lost)

    async def shown(self) -> int:
        return next(table.follows.version for table in await self.tables() if table.live)


async def _with_an_old_version() -> tuple[MemoryLog, GoesAway]:
    log, rows = MemoryLog(), GoesAway()
    receipt = await deposited(log, "a", 5)
    async with replace(bank, projections=[balances], reactors=[]).open(log, read_store=rows) as running:
        await running.get(balances, "a", after=receipt)
    assert await rows.shown() == 1
    return log, rows


def test_g8_a_version_that_has_caught_up_is_shown_although_no_event_comes_any_more() -> None:
    async def main() -> None:
        log, rows = await _with_an_old_version()

        async def newer_is_shown() -> bool:
            return await rows.shown() == 2

        async with deployed.open(log, read_store=rows):
            await eventually(newer_is_shown)
        assert rows.away == 0

    virtual_time.run(main())


def test_g8_a_rebuild_that_was_stopped_before_the_end_shows_it_the_next_time() -> None:
    async def main() -> None:
        log, rows = await _with_an_old_version()

        async def rebuild() -> None:
            async with deployed.look(log, read_store=rows) as running:
                following = await running.prepared("balance")
                async with aclosing(following.catch_up()) as reached:
                    async for _ in reached:
                        pass

        with pytest.raises(Unavailable):
            await rebuild()
        assert await rows.shown() == 1
        await rebuild()
        assert await rows.shown() == 2

    virtual_time.run(main())
