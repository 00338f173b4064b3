"""Operators of simulated histories: which tables they may drop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from simulated.warehouse import IN_THE_WAREHOUSE
from twofold.testing.simulation.operators import Drop, Rebuild
from twofold.testing.simulation.world import World

FIRST, *_, LAST = IN_THE_WAREHOUSE.app.folded


@pytest.fixture
def world() -> Iterator[World]:
    """An App whose projections have different versions."""
    app = replace(IN_THE_WAREHOUSE.app, projections=[FIRST, replace(LAST, version=5)], reactors=[])
    made = World(replace(IN_THE_WAREHOUSE, app=app), "operators")
    yield made
    made.close()


def test_what_is_being_built_is_not_dropped(world: World) -> None:
    async def main() -> None:
        building = asyncio.ensure_future(Rebuild(LAST.name, 1, True, None).happen(world))
        await asyncio.sleep(0.001)
        assert world.versions(LAST.name) == {6}
        while not building.done():
            await Drop(LAST.name, 0.0).happen(world)
            await asyncio.sleep(0.002)
        assert (world.counts["rebuilds"], world.counts["tables dropped"]) == (1, 0)
        assert world.versions(LAST.name) == set()

    world.loop.run_until_complete(main())
    assert world.watcher.violations == []
