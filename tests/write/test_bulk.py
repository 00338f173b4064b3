"""Many calls: in order, several at once, none after an error, and none that waits for the readers meanwhile."""

import asyncio
from functools import partial

import pytest

from twofold.errors import Unavailable
from twofold.feed.standing import Pace
from twofold.messages import BEGINNING, Receipt, Stream
from twofold.write.bulk import bulk


class Slowed(Pace):
    """Readers that are behind: of the callers that ask, the first may go on, and others wait until they have read."""

    def __init__(self, callers: int) -> None:
        super().__init__([], 10, 1)
        self.callers = callers
        self.asked = 0
        self.all_ask, self.have_read = asyncio.Event(), asyncio.Event()

    async def keep(self) -> None:
        """See `Pace.keep`."""
        self.asked += 1
        if self.asked == self.callers:
            self.all_ask.set()
        if self.asked > 1:
            await self.have_read.wait()


@pytest.mark.parametrize("at_once", [2, 5])
async def test_a_call_that_waits_for_the_readers_is_not_made_after_an_error(at_once: int) -> None:
    """The readers catch up only after the first call has failed: the calls that waited for them stay out."""
    pace, made = Slowed(at_once), list[int]()

    async def call(number: int) -> Receipt:
        made.append(number)
        if number == 0:
            await pace.all_ask.wait()  # the others wait for the readers
            asyncio.get_running_loop().call_soon(pace.have_read.set)
            raise Unavailable("the first of them")
        return Receipt(Stream("note", f"{number}"), 1, 1, BEGINNING, f"{number}", "log")

    with pytest.raises(Unavailable, match="the first of them"):
        await bulk([partial(call, number) for number in range(10)], pace, at_once, lambda *step: None)
    assert made == [0]


async def test_of_several_calls_that_fail_the_first_one_is_raised() -> None:
    """Those in progress end before that, and may fail as well; no further ones are made."""
    fails, made = [asyncio.Event() for _ in range(3)], list[int]()

    async def call(number: int) -> Receipt:
        made.append(number)
        if len(made) == 3:
            fails[1].set()
        await fails[number].wait()
        fails[(number + 1) % 3].set()
        raise Unavailable(f"number {number}")

    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="number 1"):
            await bulk([partial(call, number) for number in range(9)], Pace([], 10, 1), 3, lambda *step: None)
    assert made == [0, 1, 2]
