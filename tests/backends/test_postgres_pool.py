"""The pool of connections when connecting fails, and when closing is cancelled."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from tests.backends.postgres_session import session
from twofold.ambient import Ambient
from twofold.backends.connect import connect, connect_read
from twofold.backends.postgres import pool
from twofold.backends.postgres.pool import Pool
from twofold.testing.conformance.bank import eventually
from twofold.testing.conformance.material import appended


@pytest.mark.parametrize("error", [OSError("refused"), TimeoutError("no answer"), asyncio.CancelledError()])
async def test_a_connection_that_cannot_be_made_leaves_its_place_free(error: BaseException) -> None:
    """However often: the server may be away for long, and callers give up."""
    begun = 0

    async def connect() -> Any:
        nonlocal begun
        begun += 1
        raise error

    pool = Pool(2, connect)
    for _ in range(5):
        with pytest.raises(type(error), match=str(error) or None):
            await pool.take(0.01)
    assert begun == 5
    await pool.close()


async def test_a_close_that_is_cancelled_leaves_no_connection_open(new_database: Callable[[], str]) -> None:
    """Neither idle ones nor one in use."""
    url = new_database()
    pool = Pool(3, lambda: asyncpg.connect(url))
    connections = [await pool.take(1.0) for _ in range(3)]
    for connection in connections[:2]:
        pool.give_back(connection, sound=True)
    await cancelled(asyncio.create_task(pool.close()), 1)
    assert [connection.is_closed() for connection in connections] == [True, True, True]


@pytest.mark.parametrize("steps", [1, 3, 6, 10])
async def test_a_store_that_is_cancelled_while_it_closes_leaves_no_session_behind(
    new_database: Callable[[], str], steps: int
) -> None:
    """Each of its pools is closed."""
    url = new_database()
    log, rows = await connect(url, Ambient()), await connect_read(url)
    await appended(log, "note-1", "a")
    await rows.rollups()
    await rows.tables()
    async with session(url) as user:
        for store in (log, rows):
            await cancelled(asyncio.create_task(store.close()), steps)

        async def all_have_gone() -> bool:
            left = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return not await user.fetchval(left)

        await eventually(all_have_gone)


async def cancelled(task: asyncio.Task[None], steps: int) -> None:
    """Cancel it after some of its steps, unless it has ended by then."""
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


class Broken:
    """A connection whose server no longer answers."""

    def __init__(self, error: Exception) -> None:
        self.error, self.terminated = error, False

    def is_closed(self) -> bool:
        return False

    async def close(self, timeout: float) -> None:
        raise self.error

    def terminate(self) -> None:
        self.terminated = True


@pytest.mark.parametrize("error", [OSError("cut"), TimeoutError("no answer"), asyncpg.InterfaceError("busy")])
async def test_a_connection_that_cannot_be_closed_is_cut_and_leaves_its_place_free(error: Exception) -> None:
    async def connect() -> Any:
        return Broken(error)

    pool = Pool(1, connect)
    broken = await pool.take(1)
    pool.give_back(broken, sound=False)
    await pool.take(1)
    assert broken.terminated


class Idle:
    """A connection that the server can close at any time."""

    def __init__(self) -> None:
        self.closed, self.terminated = False, False

    def is_closed(self) -> bool:
        return self.closed

    def is_in_transaction(self) -> bool:
        return False

    def terminate(self) -> None:
        self.closed = self.terminated = True


@pytest.mark.parametrize("cut", [{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 1, 2}])
async def test_a_connection_that_was_cut_while_it_was_idle_is_given_to_nobody(cut: set[int]) -> None:
    """A page of rows is sent once, and would fail on it although nothing was sent."""

    async def connect() -> Any:
        return Idle()

    those = Pool(3, connect)
    connections = [await those.take(1) for _ in range(3)]
    for connection in connections:
        those.give_back(connection, sound=True)
    for number in cut:
        connections[number].closed = True
    taken = [await those.take(1) for _ in range(3)]
    assert not any(connection.is_closed() for connection in taken)
    assert sum(connection in connections for connection in taken) == 3 - len(cut)


async def test_a_connection_that_was_idle_for_long_is_given_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something between here and the server may have dropped it without notice."""
    now = 0.0
    monkeypatch.setattr(pool, "_now", lambda: now)

    async def connect() -> Any:
        return Idle()

    those = Pool(2, connect)
    older, newer = await those.take(1), await those.take(1)
    those.give_back(older, sound=True)
    now = 1.0
    those.give_back(newer, sound=True)
    now = pool.IDLE_S + 1
    assert await those.take(1) is newer
    assert await those.take(1) not in (older, newer)
    assert (older.terminated, newer.terminated) == (True, False)
    those.give_back(newer, sound=True)
    now = 2 * pool.IDLE_S + 1.5
    assert await those.take(1) is not newer
    assert newer.terminated


async def test_closing_waits_for_what_is_in_use_and_closes_it_then() -> None:
    """What is being written is not cut. Closing again does nothing."""

    async def connect() -> Any:
        return Idle()

    those = Pool(2, connect)
    connections = [await those.take(1) for _ in range(2)]
    closing = asyncio.create_task(those.close())
    for connection in connections:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not closing.done()
        assert not connection.terminated
        those.give_back(connection, sound=True)
        assert connection.terminated
    await closing
    await those.close()
