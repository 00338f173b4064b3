"""Calls that wait are run together; a long one does not delay the others; each gets its own result."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from twofold.backends.sqlite.connection import File
from twofold.backends.sqlite.gathered import AT_ONCE, Gathered
from twofold.errors import Closed


class Work:
    """Doubles numbers; 0 waits until it may go on, and a negative one cannot be doubled."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, db: apsw.Connection, asked: Iterator[int]) -> list[int]:
        self.runs.append([])
        results = []
        for number in asked:
            self.runs[-1].append(number)
            if number == 0:
                self.begun.set()
                assert self.go_on.wait(10)
            if number < 0:
                raise ValueError(f"{number} is negative")
            results.append(2 * number)
        return results


@pytest.fixture
def work() -> Work:
    return Work()


async def test_what_waits_is_run_together(tmp_path: Path, work: Work) -> None:
    file = File(tmp_path / "some.db", "NORMAL", 1)
    gathered = Gathered(file.readers, work)
    first = asyncio.create_task(gathered.run(0))
    await asyncio.to_thread(work.begun.wait)
    others = [asyncio.create_task(gathered.run(number)) for number in range(1, 2 * AT_ONCE)]
    others[3].cancel()
    await asyncio.sleep(0)
    work.go_on.set()
    found = await asyncio.gather(first, *others, return_exceptions=True)
    assert [one for one in found if not isinstance(one, asyncio.CancelledError)] == [
        2 * number for number in range(2 * AT_ONCE) if number != 4
    ]
    assert len(work.runs) < 2 * AT_ONCE
    assert max(map(len, work.runs)) > 1
    await file.close()


async def test_a_long_one_does_not_delay_the_others(tmp_path: Path, work: Work) -> None:
    file = File(tmp_path / "some.db", "NORMAL", 2)
    gathered = Gathered(file.readers, work)
    for _ in range(3):  # nor a later one
        work.begun.clear()
        work.go_on.clear()
        long = asyncio.create_task(gathered.run(0))
        await asyncio.to_thread(work.begun.wait)
        async with asyncio.timeout(10):
            others = await asyncio.gather(*(gathered.run(number) for number in range(1, 9)))
        assert others == [2 * number for number in range(1, 9)]
        assert not long.done()
        work.go_on.set()
        assert await long == 0
    await file.close()


async def test_an_error_is_raised_to_the_one_at_fault(tmp_path: Path, work: Work) -> None:
    file = File(tmp_path / "some.db", "NORMAL", 2)
    gathered = Gathered(file.readers, work)
    with pytest.raises(ValueError, match="-1 is negative"):
        await gathered.run(-1)
    work.go_on.set()
    found = await asyncio.gather(*map(gathered.run, (0, 1, -2, 3, -4, 5)), return_exceptions=True)
    assert [str(one) for one in found] == ["0", "2", "-2 is negative", "6", "-4 is negative", "10"]
    assert max(map(len, work.runs)) > 1
    await file.close()
    with pytest.raises(Closed):
        await gathered.run(3)


async def test_nobody_waits_for_ever_when_the_last_ones_fail_together(tmp_path: Path, work: Work) -> None:
    file = File(tmp_path / "some.db", "NORMAL", 1)
    gathered = Gathered(file.readers, work)
    first = asyncio.create_task(gathered.run(0))
    await asyncio.to_thread(work.begun.wait)
    last = [asyncio.create_task(gathered.run(number)) for number in (1, 2, -1)]
    await asyncio.sleep(0)
    work.go_on.set()
    async with asyncio.timeout(10):
        found = await asyncio.gather(first, *last, return_exceptions=True)
    assert [str(one) for one in found] == ["0", "2", "4", "-1 is negative"]
    await file.close()


async def test_nobody_waits_for_ever_when_it_is_closed_before_they_could_run_alone(tmp_path: Path) -> None:
    """A batch fails while the file is being closed: none of its calls gets a connection of its own any more."""
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def failing(db: apsw.Connection, asked: Iterator[int]) -> list[int]:
        numbers = list(asked)
        begun.release()
        assert go_on.acquire(timeout=10)
        raise ValueError(f"one of {numbers}")

    file = File(tmp_path / "some.db", "NORMAL", 1)
    gathered = Gathered(file.readers, failing)
    first = asyncio.create_task(gathered.run(0))
    await asyncio.to_thread(begun.acquire)
    others = [asyncio.create_task(gathered.run(number)) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    go_on.release()
    await asyncio.to_thread(begun.acquire)
    closing = asyncio.create_task(file.close())
    await asyncio.sleep(0)
    go_on.release()
    async with asyncio.timeout(10):
        await asyncio.wait([first])
        found = await asyncio.gather(*others, return_exceptions=True)
        await closing
    assert [type(one) for one in found] == [Closed, Closed, Closed]


async def test_who_gives_up_takes_nothing_from_the_others_of_its_statement(tmp_path: Path, work: Work) -> None:
    """Whether it gives up before the statement or while that runs."""
    file = File(tmp_path / "some.db", "NORMAL", 1)
    gathered = Gathered(file.readers, work)
    calls = [asyncio.create_task(gathered.run(number)) for number in range(5)]
    await asyncio.to_thread(work.begun.wait)
    calls[0].cancel()
    calls[2].cancel()
    await asyncio.sleep(0)
    work.go_on.set()
    async with asyncio.timeout(10):
        found = await asyncio.gather(*calls, return_exceptions=True)
    assert [one if isinstance(one, int) else type(one) for one in found] == [
        asyncio.CancelledError,
        2,
        asyncio.CancelledError,
        *(6, 8),
    ]
    await file.close()
