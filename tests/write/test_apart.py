"""Appends that are not grouped: each has its own outcome, a cancelled one is still stored, and closing waits."""

import asyncio
from collections.abc import Sequence

import pytest

from twofold.backends.memory import MemoryLog
from twofold.errors import Closed, TwofoldError, VersionConflict
from twofold.messages import Append, Position, Receipt
from twofold.testing.conformance.material import all_of, append, event, value, values
from twofold.write import apart as apart_module
from twofold.write.apart import Apart
from twofold.write.commits import Commits


class Slow(MemoryLog):
    """A log whose commits wait until they may go on."""

    apart = True

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.sizes: list[int] = []

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """See `Log.commit`."""
        self.sizes.append(len(batch))
        await self.go_on.wait()
        return await super().commit(batch)


async def test_each_append_is_a_commit_with_an_outcome_of_its_own() -> None:
    log, marks = Slow(), list[Position]()
    commits = Commits(log, marks.append)
    log.go_on.set()
    outcomes = await asyncio.gather(
        *(commits.append(append("note-1", event(n), expected=0)) for n in range(2)),
        commits.append(append("note-2", event(2))),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Receipt, VersionConflict, Receipt]
    assert log.sizes == [1, 1, 1]
    assert [mark.offset for mark in marks] == [1, 2]
    counts = commits.counts
    assert (counts.batches, counts.appends, counts.events, counts.conflicts, counts.largest_batch) == (3, 2, 2, 1, 1)
    await commits.close()


async def test_what_is_under_way_stays_so_when_a_partition_splits() -> None:
    """The new partitions come beside those that were there, with their queues and counts."""
    log = Slow()
    commits = Commits(log)
    waiting = asyncio.ensure_future(commits.append(append("note-1", event("a"))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    commits.follow_splits()
    assert commits.queued == 1
    closing = asyncio.create_task(commits.close())
    await asyncio.sleep(0)
    assert not closing.done()
    log.go_on.set()
    await closing
    assert (await waiting).events == 1
    assert commits.counts.appends == 1


async def test_what_is_under_way_is_stored_before_it_is_closed() -> None:
    log = Slow()
    apart = Apart(log)
    waiting = asyncio.create_task(apart.append(append("note-1", event("a"))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert apart.queued == 1
    waiting.cancel()
    closing = asyncio.create_task(apart.close())
    await asyncio.sleep(0)
    assert not closing.done()
    log.go_on.set()
    await closing
    assert waiting.cancelled()
    assert await values(log) == ["a"]
    with pytest.raises(Closed):
        await apart.append(append("note-1", event("b")))


async def test_who_waits_for_room_when_it_is_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way is stored; what only waits is not begun any more."""
    monkeypatch.setattr(apart_module, "MAX_QUEUED", 1)
    log = Slow()
    apart = Apart(log)
    under_way, *waiting = [asyncio.create_task(apart.append(append("note-1", event(name)))) for name in "abc"]
    await asyncio.sleep(0.001)
    assert log.sizes == [1]
    closing = asyncio.create_task(apart.close())
    await asyncio.sleep(0)
    log.go_on.set()
    assert (await under_way).events == 1
    async with asyncio.timeout(20):
        for one in waiting:
            with pytest.raises(Closed):
                await one
    await closing
    assert await values(log) == ["a"]


async def test_a_cancelled_caller_leaves_no_room_before_its_append_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart_module, "MAX_QUEUED", 2)
    log = Slow()
    apart = Apart(log)
    callers = [asyncio.create_task(apart.append(append(f"note-{n}", event(n)))) for n in range(4)]
    await asyncio.sleep(0.001)
    for caller in callers[:3]:  # the third one only waits
        caller.cancel()
    await asyncio.sleep(0.001)
    assert (len(log.sizes), apart.queued) == (2, 2)
    log.go_on.set()
    assert (await callers[3]).version == 1
    await apart.close()
    assert sorted(map(value, await all_of(log))) == [0, 1, 3]


async def test_what_is_refused_leaves_its_room_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart_module, "MAX_QUEUED", 2)
    log = Slow()
    log.go_on.set()
    apart = Apart(log)
    async with asyncio.timeout(20):
        for _ in range(3):
            with pytest.raises(VersionConflict):
                await apart.append(append("note-1", event("a"), expected=7))
        assert (await apart.append(append("note-1", event("b")))).version == 1
