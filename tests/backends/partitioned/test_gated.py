"""What reactors read: up to the newest cut, once there is one."""

import asyncio

import pytest

from twofold.backends.memory import MemoryLog
from twofold.backends.partitioned import Partitioned
from twofold.backends.partitioned.order import place
from twofold.errors import LogReplaced, Unavailable
from twofold.feed.feed import Feed, pages
from twofold.feed.partitions import Parts, feeds, reacting
from twofold.messages import BEGINNING, Append, Entry, Position, Receipt
from twofold.testing import virtual_time
from twofold.testing.conformance.material import append, event

LOG_ID = "0123456789abcdef"


class Part(MemoryLog):
    """A log that can be out of reach, or never respond."""

    fails = hangs = False

    async def read(self, *args, **options):  # type: ignore[no-untyped-def]
        if self.hangs:
            await asyncio.sleep(3_600)
        if self.fails:
            raise Unavailable("no leader")
        return await super().read(*args, **options)


def composed() -> tuple[Partitioned, dict[int, str]]:
    """Three parts, and an id in each."""
    log = Partitioned([Part(partition=n, log_id=LOG_ID) for n in (1, 2, 3)], MemoryLog(log_id=LOG_ID))
    return log, {log.partition_of(str(n)): str(n) for n in range(20)}


def noted(id: str, events: int = 1) -> Append:
    return append(f"note-{id}", *(event(n) for n in range(events)))


async def written(log: Partitioned, id: str, events: int = 1) -> Receipt:
    [outcome] = await log.commit([noted(id, events)])
    assert isinstance(outcome, Receipt)
    return outcome


async def offsets(feed: Feed, after: Position) -> list[int]:
    return [entry.position.offset for entry in (await feed.read(after, 1_000)).entries]


async def cuts(log: Partitioned) -> int:
    return (await log.cuts.learn()).number


def test_the_feeds_of_a_log() -> None:
    log, _ = composed()
    assert isinstance(log, Parts)
    assert {number: feed.partition for number, feed in feeds(log).items()} == {1: 1, 2: 2, 3: 3}
    assert {number: feed.partition for number, feed in reacting(log).items()} == {1: 1, 2: 2, 3: 3}
    assert {feed.log_id for feed in (log, *reacting(log).values())} == {LOG_ID}
    ordinary = MemoryLog()
    assert feeds(ordinary) == reacting(ordinary) == {0: ordinary}


def test_without_a_cut_it_is_the_parts_own_feed() -> None:
    """And no read makes one."""

    async def main() -> None:
        log, ids = composed()
        await written(log, ids[2], 5)
        gated, own = log.gated[2], log.parts[2]
        for after in range(6):
            for until in (None, Position(2, 3)):
                at = Position(2, after)
                assert await gated.read(at, 2, None, until) == await own.read(at, 2, None, until)
        assert await gated.head() == await own.head() == Position(2, 5)
        assert await gated.behind(Position(2, 1)) == 4
        assert await gated.distance(Position(2, 1), Position(2, 3)) == 2
        assert await gated.covering(Position(2, 3)) == Position(2, 3)
        assert gated.before(Position(2, 3)) == Position(2, 2)
        assert await cuts(log) == 0

    virtual_time.run(main())


def test_with_cuts_neither_beyond_the_newest_nor_beyond_what_was_asked_for() -> None:
    """A retry reads up to where its stream was parked; the events behind that are for the follower itself."""

    async def main() -> None:
        log, ids = composed()
        await written(log, ids[2], 5)
        await log.read(BEGINNING, 10)
        await written(log, ids[2], 3)
        for after in range(5):
            for until in range(after, 9):
                page = await log.gated[2].read(Position(2, after), 100, None, Position(2, until))
                assert page.upto == Position(2, min(until, 5))
                assert [entry.position.offset for entry in page.entries] == list(range(after + 1, min(until, 5) + 1))
        assert await cuts(log) == 1

    virtual_time.run(main())


def test_with_cuts_never_beyond_the_newest() -> None:
    """Who stands before the gate reads up to it; who stands at it and sees news moves it."""

    async def main() -> None:
        log, ids = composed()
        await written(log, ids[2], 3)
        await log.read(BEGINNING, 10)
        await written(log, ids[2], 4)
        gated = log.gated[2]
        page = await gated.read(Position(2, 1), 100)
        assert ([entry.position.offset for entry in page.entries], page.upto, page.more) == (
            [2, 3],
            Position(2, 3),
            True,
        )
        assert not (await gated.read(Position(2, 1), 100, None, Position(2, 3))).more
        assert await cuts(log) == 1
        page = await gated.read(Position(2, 3), 100)
        assert ([entry.position.offset for entry in page.entries], page.more) == ([4, 5, 6, 7], False)
        assert await cuts(log) == 2
        page = await gated.read(Position(2, 7), 100)
        assert (list(page.entries), page.upto, page.more) == ([], Position(2, 7), False)
        await written(log, ids[1])
        assert await offsets(gated, Position(2, 7)) == []
        assert await cuts(log) == 2, "news of another part is not its own"

    virtual_time.run(main())


class Reacting:
    """A reactor on each partition: every event is followed by another one elsewhere, until there are enough."""

    def __init__(self, log: Partitioned, ids: dict[int, str], most: int) -> None:
        self._log, self._ids, self._most = log, ids, most
        self.causes: dict[tuple[str, int], tuple[str, int]] = {}
        self.enough = asyncio.Event()

    async def follow(self, number: int) -> None:
        at, gated = Position(number, 0), self._log.gated[number]
        while True:
            page = await gated.read(at, 5)
            for entry in page.entries:
                await self._react(entry)
            if page.upto == at and not page.more:
                await gated.wait(at, 1)
            at = page.upto

    async def _react(self, entry: Entry) -> None:
        if len(self.causes) == self._most:
            self.enough.set()
            return
        receipt = await written(self._log, self._ids[len(self.causes) % 3 + 1])
        self.causes[str(receipt.stream), receipt.version] = (entry.stream, entry.version)


async def read_on(feed: Feed) -> None:
    """A merged reader, which makes cuts all the time."""
    at = BEGINNING
    while True:
        page = await feed.read(at, 10)
        if page.upto == at:
            await feed.wait(at, 1)
        at = page.upto


async def cut_of_each(feed: Feed) -> dict[tuple[str, int], int]:
    found: dict[tuple[str, int], int] = {}
    at = BEGINNING
    while (page := await feed.read(at, 1_000)).upto != at:
        at = page.upto
        found |= {(entry.stream, entry.version): place(entry.position)[0] for entry in page.entries}
    return found


def test_what_follows_from_a_reaction_lies_in_a_later_cut() -> None:
    """Also where another process makes the cuts at the same time."""

    async def main() -> None:
        log, ids = composed()
        other = Partitioned(list(log.parts.values()), log._cut_log)
        reacting = Reacting(log, ids, 150)
        await written(log, ids[1])
        await other.read(BEGINNING, 1)
        tasks = [asyncio.create_task(one) for one in (*map(reacting.follow, (1, 2, 3)), read_on(other))]
        await reacting.enough.wait()
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        cut_of = await cut_of_each(log)
        assert all(cut_of[caused] > cut_of[cause] for caused, cause in reacting.causes.items())
        assert len(cut_of) >= 150

    virtual_time.run(main())


def test_a_reactor_that_was_ahead_of_the_first_cuts_drives_them_on() -> None:
    """It has read a year of history before the first merged reader came, and gets its news all the same."""

    async def main() -> None:
        log, ids = composed()
        await written(log, ids[1], 3_000)
        await written(log, ids[2], 5)
        await log.read(BEGINNING, 1)
        gated, at = log.gated[1], Position(1, 3_000)
        assert await cuts(log) == 1
        began = asyncio.get_running_loop().time()
        await gated.wait(at, 60)
        assert asyncio.get_running_loop().time() - began >= 60, "nothing new, and no busy waiting"
        await written(log, ids[1])
        while not (page := await gated.read(at, 10)).entries:
            assert page.upto == at
            assert page.more
        assert [entry.position for entry in page.entries] == [Position(1, 3_001)]
        assert asyncio.get_running_loop().time() - began < 62

    virtual_time.run(main())


def test_what_was_read_before_the_first_cuts_is_retried_once_it_is_in_one() -> None:
    """Not before, or what follows from it could be in an earlier cut; and the log has not become shorter."""

    async def main() -> None:
        log, ids = composed()
        await written(log, ids[1], 3_000)
        await log.read(BEGINNING, 1)

        async def retried(after: int, upto: int) -> list[int]:
            between = pages(log.gated[1], Position(1, after), Position(1, upto), None)
            return [entry.position.offset async for page in between for entry in page.entries]

        with pytest.raises(Unavailable, match="between 1:2989 and 1:3000 are not in a cut yet"):
            await retried(2_989, 3_000)
        assert (await log.cuts.learn()).vector[0] < 2_989
        assert await retried(2_989, 3_000) == list(range(2_990, 3_001))
        assert (await log.cuts.learn()).vector[0] == 3_000
        with pytest.raises(LogReplaced, match="a reader is at 1:3001, but the log ends at 1:3000"):
            await retried(3_000, 3_001)

    virtual_time.run(main())


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_a_part_out_of_reach_holds_up_no_reactor_of_another_one(how: str) -> None:
    """The cuts take nothing of it until it is back."""

    async def main() -> None:
        log, ids = composed()
        for number in (1, 2, 3):
            await written(log, ids[number])
        await log.read(BEGINNING, 10)
        for number in (1, 2, 3):
            await written(log, ids[number])
        setattr(log.parts[1], how, True)
        assert await offsets(log.gated[2], Position(2, 1)) == [2]
        assert await offsets(log.gated[3], Position(3, 1)) == [2]
        assert (await log.cuts.vector(await cuts(log)))[0] == 1
        setattr(log.parts[1], how, False)
        assert await offsets(log.gated[1], Position(1, 1)) == [2]
        assert (await log.cuts.vector(await cuts(log))) == (2, 2, 2)

    virtual_time.run(main())


def test_a_reader_of_the_whole_that_waits_for_a_part_holds_up_no_reactor_of_another_one() -> None:
    """Both propose a cut: one over all parts, the other over those that respond."""

    async def main() -> None:
        log, ids = composed()
        for number in (1, 2, 3):
            await written(log, ids[number])
        at = (await log.read(BEGINNING, 10)).upto
        for number in (1, 2, 3):
            await written(log, ids[number])
        log.parts[1].hangs = True  # type: ignore[attr-defined]
        reading = asyncio.create_task(log.read(at, 10))
        await asyncio.sleep(1)
        async with asyncio.timeout(10):
            assert await offsets(log.gated[2], Position(2, 1)) == [2]
        assert not reading.done()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        log.parts[1].hangs = False  # type: ignore[attr-defined]
        assert len((await log.read(at, 10)).entries) == 2
        assert await offsets(log.gated[1], Position(1, 1)) == [2]

    virtual_time.run(main())


def test_waiting_at_the_gate_ends_with_news_of_the_part() -> None:
    async def main() -> None:
        log, ids = composed()
        await written(log, ids[2])
        await log.read(BEGINNING, 10)
        now, gated = asyncio.get_running_loop().time, log.gated[2]
        began = now()
        await gated.wait(Position(2, 0), 60)
        assert now() - began < 0.001, "before the gate nobody waits"
        waiting = asyncio.create_task(gated.wait(Position(2, 1), 60))
        await asyncio.sleep(1)
        assert not waiting.done()
        await written(log, ids[2])
        await waiting
        assert now() - began < 2

    virtual_time.run(main())


def test_g11_a_part_that_lacks_what_is_cut() -> None:
    async def main() -> None:
        log, ids = composed()
        await written(log, ids[2], 5)
        await log.read(BEGINNING, 10)
        log.parts[2]._entries = log.parts[2]._entries[:3]  # type: ignore[attr-defined]
        assert await offsets(log.gated[2], Position(2, 0)) == [1, 2, 3]
        with pytest.raises(LogReplaced, match=r"partition 2: .*2:5, but the partition ends at 2:3"):
            await log.gated[2].read(Position(2, 3), 10)

    virtual_time.run(main())
