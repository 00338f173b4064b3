"""Many wait for news of Cosmos DB, and one of them looks for all."""

import asyncio
import gc

import pytest

from twofold.backends.cosmos.poll import Poll
from twofold.errors import Unavailable


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
