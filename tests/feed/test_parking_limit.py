"""The limit of parked keys per minute, at exactly its size, on a clock that cannot be set back."""

import asyncio
from datetime import UTC, datetime

import pytest

from twofold.feed.checkpoints import Parked
from twofold.feed.parking_limit import MOST_PARKED, WITHIN_S, ParkingLimit
from twofold.testing import virtual_time
from twofold.testing.conformance.material import at


def parked(*offsets: int) -> list[Parked]:
    return [Parked("row", f'["{n}"]', at(n), "no", datetime(2026, 1, 1, tzinfo=UTC)) for n in offsets]


def test_exactly_so_many_may_be_parked_at_once_or_one_after_the_other() -> None:
    async def main() -> None:
        limit = ParkingLimit()
        assert limit.first_too_many(parked(*range(MOST_PARKED))) is None
        assert limit.first_too_many(parked(*range(MOST_PARKED + 1))) == parked(MOST_PARKED)[0]
        limit.count(parked(*range(MOST_PARKED - 1)))
        assert limit.first_too_many(parked(1)) is None
        assert limit.first_too_many(parked(1, 2)) == parked(2)[0]
        limit.count(parked(1))
        assert limit.first_too_many([]) is None
        assert limit.first_too_many(parked(7)) == parked(7)[0]

    virtual_time.run(main())


def test_the_first_that_is_too_many_is_the_first_of_the_feed() -> None:
    """In whatever order they are reported, and for every kind and key."""

    async def main() -> None:
        limit = ParkingLimit()
        limit.count(parked(*range(MOST_PARKED - 2)))
        stream = Parked("stream", "note-0", at(3), "no", datetime(2026, 1, 1, tzinfo=UTC))
        assert limit.first_too_many([*parked(9, 1), stream, *parked(5)]) == parked(5)[0]

    virtual_time.run(main())


def test_after_a_minute_there_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after another, each a minute after it was parked; the wall clock does not matter."""
    wall = [1e9]
    monkeypatch.setattr("time.time", lambda: wall[0])

    async def main() -> None:
        limit = ParkingLimit()
        limit.count(parked(*range(MOST_PARKED - 1)))
        await asyncio.sleep(1)
        limit.count(parked(1))
        for jump in (-86_400.0, 2 * 86_400.0):
            wall[0] += jump
            assert limit.first_too_many(parked(2)) == parked(2)[0]
        await asyncio.sleep(WITHIN_S - 1 - 0.001)
        assert limit.first_too_many(parked(2)) is not None
        await asyncio.sleep(0.001)
        assert limit.first_too_many(parked(*range(MOST_PARKED - 1))) is None, "a minute has passed for all but one"
        assert limit.first_too_many(parked(*range(MOST_PARKED))) is not None

    virtual_time.run(main())
