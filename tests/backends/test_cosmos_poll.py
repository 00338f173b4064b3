"""Many wait for news of Cosmos DB, and one of them looks for all."""

import asyncio
import gc
from types import SimpleNamespace
from typing import Any, cast

import pytest

from twofold.backends.cosmos import places
from twofold.backends.cosmos.changes import EMPTY, Changes
from twofold.backends.cosmos.client import Container
from twofold.backends.cosmos.part import Part, Registry
from twofold.backends.cosmos.poll import Poll
from twofold.backends.cosmos.ranges import Numbered, Physical, Ranges
from twofold.errors import Unavailable
from twofold.messages import Position


async def test_those_who_wait_at_once_share_a_look_and_its_error() -> None:
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        raise Unavailable("the account is away")

    poll = Poll(look)
    found = await asyncio.gather(*(poll.once() for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in found] == [Unavailable] * 5
    await poll.once()
    assert looks == 1, "a moment later nobody looks again"


async def test_an_error_for_which_nobody_waits_any_more_is_not_reported_as_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    goes_on = asyncio.Event()

    async def look() -> None:
        await goes_on.wait()
        raise Unavailable("the account is away")

    poll = Poll(look)
    waiting = asyncio.create_task(poll.once())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    goes_on.set()
    [looking] = [task for task in asyncio.all_tasks() if task.get_name() == "twofold looks for news"]
    await asyncio.wait([looking])
    await asyncio.sleep(0)  # its callbacks
    del poll, waiting, looking
    gc.collect()
    assert caplog.text == ""


async def refreshed() -> None:
    """Nothing has changed."""


async def test_what_was_heard_while_the_head_was_read_or_before_is_not_waited_for() -> None:
    """The request may have reached a replica that lacks what this process has written."""

    class Behind:
        """A feed range that ends at LSN 4. Its partition hears of LSN 9 during a request."""

        async def changes(self, of: Physical, after: int, limit: int) -> Changes:
            part.heard(9)
            return Changes(EMPTY, 4, 4)

    registry, beside = (
        Registry(Ranges([Numbered(1, Physical("", "FF", "0"))]), refreshed),
        cast(Any, SimpleNamespace(limits=None)),
    )
    part = Part(1, cast(Container, Behind()), registry, beside, beside)
    for _ in range(2):
        assert await part.head() == Position(1, places.end(4))
        async with asyncio.timeout(5):
            await part.wait(Position(1, places.end(8)), 3_600)
