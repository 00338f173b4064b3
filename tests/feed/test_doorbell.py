"""The doorbell: who is woken by a ring."""

import asyncio

import pytest

from twofold.feed.doorbell import Doorbell
from twofold.testing import virtual_time


def test_a_ring_wakes_those_who_wait_and_nobody_later() -> None:
    """Any number of them, also if one of them has given up; the next ring wakes those who have come since."""

    async def main() -> None:
        bell, clock = Doorbell(), asyncio.get_running_loop().time
        for _ in range(3):
            began = clock()
            assert not await bell.wait(5)
            assert clock() - began == pytest.approx(5)
            waiting = [asyncio.create_task(bell.wait(timeout_s)) for timeout_s in (1, 9, 9, 9)]
            await asyncio.sleep(2)
            waiting[1].cancel()
            await asyncio.sleep(0)
            assert bell.awaited
            bell.ring()
            bell.ring()
            assert not bell.awaited
            assert await asyncio.gather(*waiting[2:]) == [True, True]
            assert clock() - began == pytest.approx(7)
            assert await waiting[0] is False

    virtual_time.run(main())
