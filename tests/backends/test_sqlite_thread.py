"""The thread beside the event loop: in order, to the end, and what is taken back in time is not done."""

import asyncio
import threading
from pathlib import Path

import pytest

from twofold.backends.connect import connect_read
from twofold.backends.sqlite.thread import Thread
from twofold.feed.checkpoints import FollowerId
from twofold.messages import Position
from twofold.testing.conformance.bank import eventually


async def test_calls_run_elsewhere_in_the_order_they_were_made() -> None:
    thread, done = Thread("one"), list[tuple[int, str]]()

    def work(number: int) -> int:
        done.append((number, threading.current_thread().name))
        return number

    answers = await asyncio.gather(*(thread.run(lambda n=n: work(n)) for n in range(20)))  # type: ignore[misc]
    assert answers == list(range(20))
    assert done == [(n, "one") for n in range(20)]
    thread.end()
    assert "one" not in {other.name for other in threading.enumerate()}


async def test_what_is_raised_is_raised_to_the_caller_and_the_thread_goes_on() -> None:
    thread = Thread("one")
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    with pytest.raises(SystemExit):
        await thread.run(lambda: (_ for _ in ()).throw(SystemExit(3)))
    assert await thread.run(lambda: "here") == "here"
    thread.end()


async def test_who_is_cancelled_in_time_takes_the_call_back() -> None:
    """Before it has begun. What has begun is done to the end, and the next one after it."""
    thread, begun, go_on, done = Thread("one"), threading.Event(), threading.Event(), list[str]()

    def first() -> None:
        begun.set()
        go_on.wait()
        done.append("first")

    callers = [asyncio.create_task(thread.run(work)) for work in (first, lambda: done.append("second"))]
    await asyncio.to_thread(begun.wait)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    go_on.set()
    await thread.run(lambda: done.append("third"))
    assert done == ["first", "third"]
    thread.end()


@pytest.mark.parametrize("through", ["sqlite", "sqlalchemy+sqlite+aiosqlite"])
@pytest.mark.parametrize("steps", [1, 2, 4, 8])
async def test_a_store_that_is_cancelled_while_it_closes_ends_its_threads(
    tmp_path: Path, through: str, steps: int
) -> None:
    before = set(threading.enumerate())
    store = await connect_read(f"{through}:///{tmp_path / 'rows.db'}")
    await asyncio.gather(*(store.tables() for _ in range(3)), store.wait(FollowerId("one"), Position(0, 1), 0.05))
    closing = asyncio.create_task(store.close())
    for _ in range(steps):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    await eventually(lambda: set(threading.enumerate()) <= before)
