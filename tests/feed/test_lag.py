"""Lag in seconds with wrong clocks: never computed from a time in the future."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog
from twofold.feed.lag import MOST_MARKS, Lag
from twofold.messages import BEGINNING
from twofold.testing.conformance.material import appended, at
from twofold.testing.virtual_time import run

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
YEARS = timedelta(days=70 * 365)


class Clock:
    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def log_of(clock: Clock, *ahead: timedelta) -> MemoryLog:
    """Append one event each, recorded this far ahead of noon."""
    log = MemoryLog(Ambient(now=clock.now))
    for one in ahead:
        clock.time = NOON + one
        await appended(log, "note-1", 0)
    clock.time = NOON
    return log


async def test_the_first_event_that_was_not_handled_counts(clock: Clock) -> None:
    lag = Lag(await log_of(clock, *(timedelta(seconds=n) for n in range(3))), clock.now)
    clock.time = NOON + timedelta(seconds=10)
    assert [await lag.seconds(position) for position in (None, BEGINNING, at(1), at(2), at(3))] == [10, 10, 9, 8, 0]


@pytest.mark.parametrize("wild", [1, 7, 300])
async def test_events_of_the_future_are_passed_over(clock: Clock, wild: int) -> None:
    lag = Lag(await log_of(clock, *[YEARS] * wild, timedelta(0)), clock.now)
    clock.time = NOON + timedelta(seconds=10)
    assert await lag.seconds(None) == 10


def test_where_all_lie_in_the_future_what_was_seen_counts(clock: Clock) -> None:

    async def seen() -> None:
        lag = Lag(await log_of(clock, timedelta(0), YEARS, YEARS), clock.now)
        lag.mark(at(1))
        lag.mark(at(2))
        await asyncio.sleep(5)
        lag.mark(at(3))
        await asyncio.sleep(3)
        assert [await lag.seconds(position) for position in (at(1), at(2))] == pytest.approx([8, 3])
        lag.forget(at(2))
        assert await lag.seconds(at(2)) == pytest.approx(3)
        lag.mark(at(1))  # a repeated command has its original position
        assert await lag.seconds(at(2)) == pytest.approx(3)

    run(seen())


def test_marks_are_bounded_and_never_say_too_much(clock: Clock) -> None:

    async def seen() -> None:
        log = await log_of(clock, *[YEARS] * 2_000)
        lag = Lag(log, clock.now)
        for n in range(1, 2_001):
            lag.mark(at(n))
            await asyncio.sleep(0.1)
        assert len(lag._heads) == len(lag._seen_at) <= MOST_MARKS
        found = [await lag.seconds(at(n)) for n in range(2_000)]
        true = [(2_000 - n) / 10 for n in range(2_000)]
        assert all(one <= most + 1e-6 for one, most in zip(found, true, strict=True))
        assert all(one >= most - 60 for one, most in zip(found, true, strict=True))

    run(seen())


def test_the_lag_of_a_follower_that_stands_still_never_falls(clock: Clock) -> None:
    """However many marks have been dropped since."""

    async def seen() -> None:
        log = await log_of(clock, YEARS)
        lag, before = Lag(log, clock.now), 0.0
        began = asyncio.get_running_loop().time()
        for n in range(1, 3 * MOST_MARKS):
            lag.mark(at(n))
            await asyncio.sleep(0.3)
            found = await lag.seconds(BEGINNING)
            assert found > before
            before = found
        assert before == pytest.approx(asyncio.get_running_loop().time() - began)

    run(seen())
