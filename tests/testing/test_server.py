"""What clients of a simulated process get that ends meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import pytest

from simulated.directory import IN_THE_DIRECTORY
from twofold.errors import Closed, ConfigurationError, OutcomeUnknown, Rejected, Unavailable
from twofold.testing.conformance.bank import eventually
from twofold.testing.simulation.world import World


@pytest.mark.parametrize(
    ("error", "running", "ended"),
    [
        (ConfigurationError("there is no table"), ConfigurationError, Unavailable),
        (Closed("the log"), Unavailable, Unavailable),
        (Rejected("no"), Rejected, Rejected),
        (OutcomeUnknown("id-1", "no response"), OutcomeUnknown, OutcomeUnknown),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else None,
)
def test_an_error_after_the_end_of_a_process(error: Exception, running: type, ended: type) -> None:
    """The tables that its code reads may be dropped by then. The outcome of a command is passed on unchanged."""
    world = World(IN_THE_DIRECTORY, "server")

    async def main() -> None:
        server = world.start(0, IN_THE_DIRECTORY.app)
        server.leaves = True
        await eventually(lambda: server.is_up)
        begun, gone = asyncio.Event(), asyncio.Event()

        async def fails(_: Any) -> Any:
            raise error

        async def fails_later(_: Any) -> Any:
            begun.set()
            await gone.wait()
            raise error

        assert type(await server.ask(fails)) is running
        asked = asyncio.ensure_future(server.ask(fails_later))
        await begun.wait()
        server.stop()
        await server.task
        gone.set()
        assert type(await asked) is ended

    with closing(world):
        world.loop.run_until_complete(main())
