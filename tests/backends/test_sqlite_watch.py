"""A file that others write to: a waiting caller notices, whenever it started to wait."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from twofold.backends.sqlite.connection import open_file
from twofold.backends.sqlite.log import SqliteLog
from twofold.backends.sqlite.watch import LONGEST_PAUSE_S, Watch
from twofold.feed.doorbell import Doorbell
from twofold.feed.feed import FeedPage
from twofold.testing.conformance.material import append, appended, event, value

FOREVER_S = 3_600.0


class Rings(Doorbell):
    """A bell that counts."""

    count = 0

    def ring(self) -> None:
        self.count += 1
        super().ring()


@pytest.fixture
def other(tmp_path: Path) -> apsw.Connection:
    db = open_file(tmp_path / "a.db", "NORMAL")
    db.execute("CREATE TABLE t (n)")
    return db


@pytest.fixture
async def bell() -> Rings:
    return Rings()


@pytest.fixture
async def watch(tmp_path: Path, other: apsw.Connection, bell: Rings) -> AsyncIterator[Watch]:
    made = Watch(tmp_path / "a.db", bell, lambda: open_file(tmp_path / "a.db", "NORMAL"))
    yield made
    await made.close()


async def test_it_rings_once_when_it_begins(watch: Watch, bell: Rings) -> None:
    """Nobody looked between what the waiting one has read and now."""
    await watch.wait(FOREVER_S)
    assert bell.count == 1
    await watch.wait(0.2)
    assert bell.count == 1


async def test_what_another_connection_writes_is_heard_again_and_again(watch: Watch, other: apsw.Connection) -> None:
    await watch.wait(FOREVER_S)
    for n in range(5):
        waiting = asyncio.create_task(watch.wait(FOREVER_S))
        await asyncio.sleep(0)
        other.execute("INSERT INTO t VALUES (?)", (n,))
        await waiting


async def test_what_was_written_while_nobody_waited_is_heard_by_the_next(watch: Watch, other: apsw.Connection) -> None:
    await watch.wait(FOREVER_S)
    other.execute("INSERT INTO t VALUES (1)")
    await watch.wait(FOREVER_S)


async def test_who_leaves_stops_it_for_nobody_else(watch: Watch, other: apsw.Connection) -> None:
    await watch.wait(FOREVER_S)
    leaves, stays = (asyncio.create_task(watch.wait(FOREVER_S)) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.gather(leaves, return_exceptions=True)
    await asyncio.sleep(3 * LONGEST_PAUSE_S)  # the thread looks once more, and would then sleep until somebody waits
    other.execute("INSERT INTO t VALUES (1)")
    async with asyncio.timeout(30):
        await stays


async def test_it_can_be_closed_while_somebody_waits(watch: Watch) -> None:
    await watch.wait(FOREVER_S)
    waiting = [asyncio.create_task(watch.wait(FOREVER_S)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await watch.close()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await watch.close()
    await watch.wait(0.01)


async def test_who_waits_after_it_was_closed_starts_nothing(watch: Watch) -> None:
    await watch.wait(FOREVER_S)
    await watch.close()
    await watch.wait(0.01)
    assert [one.name for one in threading.enumerate() if one.name == "twofold watches a.db"] == []


async def test_who_still_waits_hears_of_changes_after_another_one_has_left(
    watch: Watch, other: apsw.Connection
) -> None:
    await watch.wait(FOREVER_S)
    waiting = asyncio.create_task(watch.wait(FOREVER_S))
    await watch.wait(0.01)
    other.execute("INSERT INTO t VALUES (1)")
    async with asyncio.timeout(20):
        await waiting


async def test_nothing_is_polled_while_nobody_waits(watch: Watch, other: apsw.Connection, bell: Rings) -> None:
    await watch.wait(FOREVER_S)
    await watch.wait(0.01)
    assert not watch._wanted.is_set()


async def test_an_append_that_comes_while_an_empty_page_is_read_ends_the_next_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where somebody else who waited has heard all bells meanwhile: the reader must not wait for the next one."""
    log = SqliteLog(tmp_path / "log.db")
    await log.open()
    after = (await appended(log, "note-1", "a")).position
    page, looked, go_on = log._page, threading.Event(), threading.Event()

    def slow(*arguments: Any) -> FeedPage:
        found = page(*arguments)
        looked.set()
        assert go_on.wait(30)
        return found

    monkeypatch.setattr(log, "_page", slow)
    await log._file.wait(FOREVER_S)  # the watch has begun
    reading = asyncio.create_task(log.read(after, 10))
    await asyncio.to_thread(looked.wait)
    waiting = asyncio.create_task(log._file.wait(FOREVER_S))
    await asyncio.sleep(0)
    await appended(log, "note-1", "b")
    await waiting
    await log._file.wait(1)  # the watch has seen the append, too
    go_on.set()
    assert (await reading).upto == after
    async with asyncio.timeout(20):
        await log.wait(after, FOREVER_S)
    assert [value(entry) for entry in (await log.read(after, 10)).entries] == ["b"]
    await log.close()


@pytest.mark.parametrize("meanwhile", ["a repeated command", "a read that ends where it begins", "an older append"])
async def test_where_there_is_news_nobody_waits_whatever_came_after_it(tmp_path: Path, meanwhile: str) -> None:
    """Also where somebody else who waited has heard all bells of it."""
    log, other = SqliteLog(tmp_path / "log.db"), SqliteLog(tmp_path / "log.db")
    for store in (log, other):
        await store.open()
    after = (await appended(log, "note-1", "a", command_id="a")).position
    await log._file.wait(FOREVER_S)  # the watch has begun
    known, new = append("note-1", event("a"), command_id="a"), append("note-1", event("b"))
    if meanwhile == "an older append":
        await appended(other, "note-2", "by another process")
        await log.commit([new])
        await log.commit([known])
    else:
        await log.commit([new, known] if meanwhile == "a repeated command" else [new])
        assert (await log.read(after, 10, None, after)).upto == after
    await log._file.wait(1)  # the watch has seen the append, too
    async with asyncio.timeout(10):
        await log.wait(after, FOREVER_S)
    for store in (log, other):
        await store.close()


async def test_after_a_failure_the_next_wait_looks_again(
    tmp_path: Path, other: apsw.Connection, bell: Rings, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that could not be opened for a moment, as where too many are open."""
    failing = [True, False]

    def connect() -> apsw.Connection:
        if failing.pop(0):
            raise apsw.CantOpenError("too many open files")
        return open_file(tmp_path / "a.db", "NORMAL")

    made = Watch(tmp_path / "a.db", bell, connect)
    await made.wait(0.01)
    await made._watching  # type: ignore[misc]
    assert "changes by other processes are not seen at once: too many open files" in caplog.text
    async with asyncio.timeout(10):
        await made.wait(FOREVER_S)
    await made.close()
