"""Calls that wait are one statement; each gets its own result."""

import asyncio
from collections.abc import Sequence

import pytest

from twofold.backends.postgres.gathered import AT_ONCE, STATEMENTS, Gathered


class Work:
    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.go_on = asyncio.Event()

    async def __call__(self, asked: Sequence[int]) -> list[int]:
        self.runs.append(list(asked))
        await self.go_on.wait()
        if any(number < 0 for number in asked):
            raise ValueError("a negative number")
        return [2 * number for number in asked]


async def test_what_waits_is_run_together() -> None:
    work = Work()
    gathered = Gathered(work)
    first = [asyncio.create_task(gathered.run(number)) for number in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert work.runs == [[0, 1, 2]]
    others = [asyncio.create_task(gathered.run(number)) for number in range(3, 3 + 2 * AT_ONCE)]
    others[5].cancel()
    await asyncio.sleep(0)
    work.go_on.set()
    found = await asyncio.gather(*first, *others, return_exceptions=True)
    assert [one for one in found if isinstance(one, int)] == [2 * n for n in range(3 + 2 * AT_ONCE) if n != 8]
    assert len(work.runs) <= STATEMENTS + 3


async def test_no_more_statements_run_at_a_time_than_may() -> None:
    work = Work()
    gathered = Gathered(work, most=2)
    calls = []
    for number in range(4):
        calls.append(asyncio.create_task(gathered.run(number)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert work.runs == [[0], [1]]
    work.go_on.set()
    assert await asyncio.gather(*calls) == [0, 2, 4, 6]
    assert work.runs == [[0], [1], [2, 3]]


async def test_errors_go_to_those_who_ran_and_the_next_ones_run() -> None:
    work = Work()
    work.go_on.set()
    gathered = Gathered(work)
    assert [type(one) for one in await asyncio.gather(*(map(gathered.run, (1, -1))), return_exceptions=True)] == [
        ValueError,
        ValueError,
    ]
    assert await gathered.run(3) == 6
    with pytest.raises(ValueError, match="a negative number"):
        await gathered.run(-3)


async def test_who_calls_again_at_once_is_served() -> None:
    work = Work()
    work.go_on.set()
    gathered = Gathered(work, most=1)
    async with asyncio.timeout(5):
        assert [await gathered.run(number) for number in range(3)] == [0, 2, 4]
    assert work.runs == [[0], [1], [2]]


@pytest.mark.parametrize("last", [2, -2])
async def test_who_gives_up_takes_nothing_from_the_others_of_its_statement(last: int) -> None:
    """Neither their results nor their error, whether it gives up before the statement or while that runs."""
    work = Work()
    gathered = Gathered(work, most=1)
    running = [asyncio.create_task(gathered.run(number)) for number in (0, 1, last)]
    await asyncio.sleep(0.001)
    assert work.runs == [[0, 1, last]]
    waiting = [asyncio.create_task(gathered.run(number)) for number in (3, 4, 5)]
    await asyncio.sleep(0)
    running[0].cancel()
    waiting[0].cancel()
    await asyncio.sleep(0)
    work.go_on.set()
    async with asyncio.timeout(5):
        found = await asyncio.gather(*running, *waiting, return_exceptions=True)
    wanted = [2, 4] if last > 0 else [ValueError] * 2
    assert [one if isinstance(one, int) else type(one) for one in found] == [
        asyncio.CancelledError,
        *wanted,
        asyncio.CancelledError,
        *(8, 10),
    ]
