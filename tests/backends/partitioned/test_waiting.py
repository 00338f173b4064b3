"""Of several that are awaited at once, what one raises is raised, and none goes on."""

from __future__ import annotations

import asyncio

import pytest

from twofold.backends.partitioned.waiting import all_of, first_of
from twofold.errors import Unavailable


class Waiting:
    """Waits for ever, and counts itself as long as it does."""

    left = 0

    async def for_ever(self) -> None:
        self.left += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.left -= 1


async def fails() -> None:
    await asyncio.sleep(0)
    raise Unavailable("away")


@pytest.mark.parametrize("wait", [all_of, first_of])
async def test_the_error_of_one_is_raised_and_the_others_end(wait: object) -> None:
    waiting = Waiting()
    with pytest.raises(Unavailable, match="away"):
        await wait([waiting.for_ever(), fails(), waiting.for_ever()])  # type: ignore[operator]
    await asyncio.sleep(0)
    assert waiting.left == 0
