"""The time of recording: never before that of the newest event, unless that came from a wrong clock."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devservers.postgres import execute
from twofold.ambient import Ambient
from twofold.backends.connect import connect
from twofold.backends.ports import LogStore
from twofold.messages import BEGINNING, Stream
from twofold.testing.conformance.material import append, appended, commit, event
from twofold.write.clock import goes_back, recorded_at
from twofold.write.group_commit import GroupCommit

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND, MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("ahead", "kept"),
    [
        (timedelta(0), True),
        (MICROSECOND, True),
        (SECOND, True),
        (SECOND + MICROSECOND, False),
        (timedelta(days=25_000), False),
    ],
)
def test_the_rule(ahead: timedelta, kept: bool) -> None:
    newest = NOON + ahead
    assert recorded_at(NOON, newest) == (newest if kept else NOON)
    assert goes_back(NOON, newest) is not kept


@pytest.mark.parametrize("newest", [None, NOON - MICROSECOND, NOON - timedelta(days=25_000)])
def test_the_clock_counts_where_nothing_is_ahead_of_it(newest: datetime | None) -> None:
    assert recorded_at(NOON, newest) == NOON


class Clock:
    """The store's clock."""

    def __init__(self, url: str, set_: Callable[[datetime], None] | None = None) -> None:
        self.url, self.time, self._set = url, NOON, set_

    def now(self) -> datetime:
        return self.time

    def set(self, time: datetime) -> None:
        self.time = time
        if self._set is not None:
            self._set(time)


@pytest.fixture(params=["memory", "sqlite", "postgres", "pooler"])
def clock(request: pytest.FixtureRequest, tmp_path: Path) -> Clock:
    if request.param in ("memory", "sqlite"):
        return Clock("memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/log.db")
    url = request.getfixturevalue("new_database")()
    name = url.partition("?")[0].rpartition("/")[2]
    execute(  # our function takes precedence over the server's
        url,
        "CREATE SCHEMA fake",
        f"CREATE TABLE fake.clock AS SELECT '{NOON.isoformat()}'::timestamptz AS time",
        "CREATE FUNCTION fake.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT time FROM fake.clock'",
        f'ALTER DATABASE "{name}" SET search_path = fake, pg_catalog, public',
    )
    pooler = f"{'&' if '?' in url else '?'}pooler=transaction" if request.param == "pooler" else ""
    return Clock(url + pooler, lambda time: execute(url, f"UPDATE fake.clock SET time = '{time.isoformat()}'"))


@pytest.fixture
async def log(clock: Clock):  # type: ignore[no-untyped-def]
    log = await connect(clock.url, Ambient(now=clock.now))
    yield log
    await log.close()


async def times(log: LogStore) -> list[timedelta]:
    return [entry.recorded_at - NOON for entry in (await log.read(BEGINNING, 100)).entries]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("events", [1, 3])
async def test_exactly_a_second_is_kept_and_a_microsecond_more_is_not(
    clock: Clock, log: LogStore, caplog: pytest.LogCaptureFixture, events: int
) -> None:
    """On every store, for a single event and a batch; logged once, with both times."""
    clock.set(NOON + SECOND)
    await appended(log, "note-1", "ahead")
    clock.set(NOON)
    await appended(log, "note-1", *range(events))
    assert await times(log) == [SECOND] * (1 + events)
    assert warnings(caplog) == []

    clock.set(NOON - MICROSECOND)
    await appended(log, "note-1", *range(events))
    await appended(log, "note-2", *range(events))
    assert (await times(log))[1 + events :] == [-MICROSECOND] * (2 * events)
    [said] = warnings(caplog)
    for moment in ("2026-01-01?12:00:01", "2026-01-01?11:59:59.999999"):
        date, time = moment.split("?")
        assert date in said
        assert time in said


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_of_two_appends_in_flight_none_is_recorded_before_the_one_it_follows(store: str, tmp_path: Path) -> None:
    """The clock goes back after the first of them has looked at it."""
    moments: list[datetime] = []
    url = "memory:" if store == "memory" else f"sqlite:///{tmp_path}/log.db"
    log = await connect(url, Ambient(now=lambda: moments.pop(0) if moments else NOON))
    moments += [NOON + SECOND, NOON]
    await asyncio.gather(*(commit(log, append(f"note-{n}", event(n))) for n in range(2)))
    assert await times(log) == [SECOND, SECOND]
    await log.close()


async def test_one_wild_clock_does_not_make_all_later_times_wild(
    clock: Clock, log: LogStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Operations without events do not change the time either: repeats, conflicts, empty decisions."""
    years = timedelta(days=70 * 365)
    clock.set(NOON + years)
    await appended(log, "note-1", "wild", command_id="once")
    clock.set(NOON)
    await commit(log, append("note-1", event("wild"), command_id="once"))
    await commit(log, append("note-1", event("stale"), expected=0))
    await appended(log, "note-1", command_id="empty")
    assert warnings(caplog) == []
    group = GroupCommit(log)
    for n in range(3):
        await group.append(append(f"note-{n}", event("a"), event("b")))
    await group.close()
    assert await times(log) == [years, *[timedelta(0)] * 6]
    assert [e.recorded_at for e in await log.read_stream(Stream("note", "0"), 1, 10)] == [NOON, NOON]
    assert len(warnings(caplog)) == 1


async def test_a_clock_that_goes_back_a_little_is_waited_for(clock: Clock, log: LogStore) -> None:
    """Times never decrease, and all events of one commit have the same."""
    for ms in (0, 500, 200, -400, 499, 501, 100):
        clock.set(NOON + timedelta(milliseconds=ms))
        await commit(log, append("note-1", event(ms)), append("note-2", event(ms), event(ms)))
    steps = [int(time / timedelta(milliseconds=1)) for time in await times(log)]
    assert steps == [step for step in (0, 500, 500, 500, 500, 501, 501) for _ in range(3)]
