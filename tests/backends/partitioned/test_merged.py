"""The merged feed over parts in memory, in virtual time."""

import asyncio
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.ambient import Ambient
from twofold.backends.memory import MemoryLog
from twofold.backends.memory import log as memory_log
from twofold.backends.partitioned import Partitioned, merged, proposing, runs
from twofold.backends.partitioned.order import end_of, place
from twofold.errors import InvalidToken, LogReplaced, OutcomeUnknown, TwofoldError, Unavailable
from twofold.feed.feed import Feed, pages
from twofold.messages import BEGINNING, Append, Entry, Position, Receipt, Stream
from twofold.testing import virtual_time
from twofold.testing.conformance.material import append, commit, event

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
N = 4


class Part(MemoryLog):
    """A log that can be slow, out of reach, or die with an append."""

    fails = False
    slow_s = 0.0
    unknown = False
    answers: asyncio.Event | None = None
    written = 0

    async def _reached(self) -> None:
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        if self.fails:
            raise Unavailable("no leader")

    async def head(self) -> Position:
        await self._reached()
        return await super().head()

    async def read(self, *args: Any, **options: Any) -> Any:
        await self._reached()
        return await super().read(*args, **options)

    async def load(self, *args: Any, **options: Any) -> Any:
        await self._reached()
        return await super().load(*args, **options)

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        await self._reached()
        self.written += 1
        outcomes = await super().commit(batch)
        if self.answers is not None:
            await self.answers.wait()
        if self.unknown:
            raise OutcomeUnknown("?", "the connection was lost")
        return outcomes


class World:
    """The parts and the cuts, a clock for each part, and any number of processes on them."""

    def __init__(self) -> None:
        self.seconds: dict[int, float] = defaultdict(float)
        self.cuts = Part(log_id="0123456789abcdef")
        self.parts = [self._part(number) for number in range(1, N + 1)]
        self.ids = {number: self._id(number) for number in range(1, N + 1)}

    def _part(self, number: int) -> Part:
        def now() -> datetime:
            return EPOCH + timedelta(0, self.seconds[number])

        return Part(Ambient(now=now), partition=number, log_id=self.cuts.log_id)

    def _id(self, number: int) -> str:
        return next(f"{n}" for n in range(1_000) if self.process().partition_of(f"{n}") == number)

    def process(self) -> Partitioned:
        return Partitioned(self.parts, self.cuts)

    async def write(self, number: int, events: int = 1, seconds: float | None = None, type: str = "Noted") -> None:
        """Events of one stream of a part, at a time."""
        if seconds is not None:
            self.seconds[number] = seconds
        [outcome] = await self.parts[number - 1].commit(
            [append(f"note-{self.ids[number]}", *(event(n, type) for n in range(events)))]
        )
        assert isinstance(outcome, Receipt)

    async def vectors(self) -> list[tuple[int, ...]]:
        feed = self.process()
        newest = await feed.cuts.learn()
        return [await feed.cuts.vector(number) for number in range(newest.number + 1)]

    def older(self, number: int, events: int) -> None:
        """An older copy of a part takes its place."""
        copy = self._part(number)
        copy._entries = self.parts[number - 1]._entries[:events]
        self.parts[number - 1] = copy


@contextmanager
def limits(most: int, page_bytes: int = 8 * 1024 * 1024) -> Iterator[None]:
    """Cuts and pages of few events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merged, "MOST_IN_CUT", most)
        patch.setattr(proposing, "MOST_IN_CUT", most)
        patch.setattr(memory_log, "PAGE_BYTES", page_bytes)
        patch.setattr(runs, "PAGE_BYTES", page_bytes)
        yield


async def everything(feed: Feed, after: Position = BEGINNING, limit: int = 1_000) -> list[Entry]:
    """Up to the end, cut or not."""
    found: list[Entry] = []
    while True:
        page = await feed.read(after, limit)
        found += page.entries
        assert len(page.entries) <= limit
        assert page.upto >= after
        assert page.more or await feed.behind(page.upto) == 0, "a page without more is the last"
        if page.upto == after:
            assert not page.more
            return found
        after = page.upto


def checked(entries: Sequence[Entry], parts: Sequence[MemoryLog]) -> None:
    """Every event once, rising positions, and the versions of each stream in order."""
    positions = [entry.position for entry in entries]
    assert positions == sorted(set(positions))
    assert all(position.partition == 0 for position in positions)
    versions: Counter[str] = Counter()
    for entry in entries:
        versions[entry.stream] += 1
        assert entry.version == versions[entry.stream]
    assert len(entries) == sum(len(part._entries) for part in parts)


actions = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, N), st.integers(1, 5), st.integers(-50, 50)),
        st.tuples(st.just("read"), st.integers(0, 2), st.integers(1, 7), st.integers(0, 40)),
        st.tuples(st.just("sleep"), st.integers(0, 2), st.just(0), st.just(0)),
    ),
    max_size=30,
)


class Reader:
    """One process that has seen this much so far."""

    def __init__(self, feed: Partitioned) -> None:
        self.feed, self.at, self.seen = feed, BEGINNING, list[Entry]()

    async def read(self, limit: int, until: Position | None = None) -> None:
        page = await self.feed.read(self.at, limit, None, until)
        assert until is None or page.upto <= max(until, self.at)
        self.seen += page.entries
        self.at = page.upto


@settings(max_examples=60, deadline=None)
@given(actions, st.integers(1, 6))
def test_three_readers_see_one_order(script: list[tuple[str, int, int, int]], most: int) -> None:
    """Begun at different times, with different limits and ends, while clocks jump and others append."""

    async def main() -> None:
        world = World()
        readers = [Reader(world.process()) for _ in range(3)]
        for action, which, many, other in script:
            if action == "write":
                await world.write(which, many, world.seconds[which] + other)
            elif action == "sleep":
                await asyncio.sleep(0.01)
            else:
                seen = max((reader.seen for reader in readers), key=len)
                until = seen[other].position if other < len(seen) else None
                await asyncio.gather(readers[which].read(many, until), readers[which - 1].read(other + 1))
        for reader, limit in zip(readers, (1, 3, 1_000), strict=True):
            reader.seen += await everything(reader.feed, reader.at, limit)
        late = await everything(world.process())
        checked(late, world.parts)
        assert all(reader.seen == late for reader in readers)
        vectors = await world.vectors()
        assert all(max(b - a for a, b in zip(v, w, strict=True)) <= most for v, w in pairwise(vectors))

    with limits(most):
        virtual_time.run(main())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, N), st.integers(1, 6), st.integers(0, 9)), max_size=12), st.data())
def test_from_any_position_to_any_other(writes: list[tuple[int, int, int]], data: st.DataObject) -> None:
    """A reader needs a position alone, also one in the middle of a cut."""

    async def main() -> None:
        world = World()
        for number, events, seconds in writes:
            await world.write(number, events, seconds)
            if data.draw(st.booleans()):
                await everything(world.process())
        whole = await everything(world.process())
        places = [entry.position for entry in whole]
        places += [end_of(number) for number in range(len(await world.vectors()))]
        feed = world.process()
        for after in places:
            rest = [entry for entry in whole if entry.position > after]
            assert await everything(feed, after, data.draw(st.integers(1, 9))) == rest
            assert await feed.behind(after) == len(rest)
            for until in places:
                between = [entry for entry in rest if entry.position <= until]
                assert await feed.distance(after, until) == len(between)
                page = await feed.read(after, 1_000, None, until)
                assert page.upto <= max(after, until)
                assert [e async for page in pages(feed, after, until, None) for e in page.entries] == between
        for entry in whole:
            [found] = (await feed.read(feed.before(entry.position), 1)).entries
            assert found == entry

    with limits(3):
        virtual_time.run(main())


def test_how_far_behind_is_known_to_a_process_that_has_not_heard_of_the_newest_cuts() -> None:
    """A follower in another process has read them."""

    async def main() -> None:
        world = World()
        for number in range(1, N + 1):
            await world.write(number, 2, 0)
        unaware, reader = world.process(), world.process()
        await everything(unaware)
        await world.write(1, 4, 1)
        await everything(reader)
        end = await reader.head()
        assert end > end_of(unaware.cuts.newest.number)
        assert await unaware.behind(end) == 0
        await world.write(2, 3, 1)
        assert await unaware.behind(end) == 3

    virtual_time.run(main())


def test_a_year_of_history_before_the_first_reader() -> None:
    """Partitions of very different size, cut by time: none is a year ahead of another."""

    async def main() -> None:
        world = World()
        for number, events in enumerate((3, 40, 900, 5), 1):
            for n in range(events):
                await world.write(number, 1, 365 * 86_400 * n / events)
        whole = await everything(world.process())
        checked(whole, world.parts)
        times = [entry.recorded_at for entry in whole]
        assert times == sorted(times)
        assert len(await world.vectors()) > 20

    with limits(16):
        virtual_time.run(main())


def test_many_events_of_one_time() -> None:
    async def main() -> None:
        world = World()
        for number in range(1, N + 1):
            await world.write(number, 100 * number, 5.0)
        first, second = await everything(world.process(), limit=7), await everything(world.process())
        checked(first, world.parts)
        assert first == second

    with limits(16):
        virtual_time.run(main())


@pytest.mark.parametrize("size", [400, 1_000, 5_000])
def test_pages_end_early_where_they_grow_large(size: int) -> None:
    """A part's page holds at most 3 events of this size; a cut of all parts is more than a page of the merged feed.

    An event may be as large as a page, or larger: then it is one by itself, or ends one.
    """

    async def main() -> None:
        world = World()
        for number in range(1, N + 1):
            for n in range(10):
                [outcome] = await commit(
                    world.parts[number - 1], append(f"note-{world.ids[number]}", event("x" * size), event(n))
                )
                assert isinstance(outcome, Receipt)
        feed, at, seen = world.process(), BEGINNING, list[Entry]()
        while (page := await feed.read(at, 1_000)).upto != at:
            assert sum(len(entry.data) for entry in page.entries[:-1]) < 1_000
            at, seen = page.upto, [*seen, *page.entries]
        checked(seen, world.parts)
        assert max(place(entry.position)[1] for entry in seen) > (8 if size < 1_000 else 3)
        assert await everything(world.process(), limit=5) == seen

    with limits(1_024, page_bytes=1_000):
        virtual_time.run(main())


def test_types_are_left_out_and_the_page_says_how_far_it_looked() -> None:
    async def main() -> None:
        world = World()
        await world.write(1, 2, 1)
        await world.write(2, 3, 2, type="Other")
        feed = world.process()
        page = await feed.read(BEGINNING, 4, frozenset({"Other"}))
        assert [place(entry.position) for entry in page.entries] == [(1, 3), (1, 4)]
        assert (place(page.upto), page.more) == ((1, 4), True)
        none = await feed.read(BEGINNING, 10, frozenset({"Never"}))
        assert (list(none.entries), none.upto, none.more) == ([], end_of(1), False)

    virtual_time.run(main())


def test_two_proposers_race_and_one_adopts() -> None:
    async def main() -> None:
        world = World()
        for number in range(1, N + 1):
            await world.write(number, 5)
        first, second = world.process(), world.process()
        one, other = await asyncio.gather(first.read(BEGINNING, 100), second.read(BEGINNING, 100))
        assert world.cuts.written == 2, "both have proposed"
        assert one == other
        assert len(one.entries) == 20
        assert len(await world.vectors()) == 2

    virtual_time.run(main())


@pytest.mark.parametrize("cuts", [1, 2])
@pytest.mark.parametrize("number", [1, 2])
def test_a_proposer_that_was_too_late_has_every_event_of_the_cuts_of_others(number: int, cuts: int) -> None:
    """There are more events in them than it had read, in the same part or another one."""

    async def main() -> None:
        world = World()
        late, quick = world.process(), world.process()
        add = late.cuts.add

        async def too_late(*proposed: Any) -> Any:
            for _ in range(cuts):
                await world.write(number, 3)
                await everything(quick)
            late.cuts.add = add  # type: ignore[method-assign]
            return await add(*proposed)

        late.cuts.add = too_late  # type: ignore[method-assign]
        await world.write(1, 5)
        whole = await everything(late)
        checked(whole, world.parts)
        assert whole == await everything(quick) == await everything(world.process())
        assert len(await world.vectors()) == 1 + cuts

    virtual_time.run(main())


def test_a_proposer_killed_between_reading_and_appending() -> None:
    """Whatever it had read: its cut does not exist, and the next one is made of what there is by then."""

    async def main() -> None:
        world = World()
        await world.write(1, 5)
        dead, alive = world.process(), world.process()
        await dead.cuts.learn()
        world.cuts.slow_s = 60.0
        reading = asyncio.create_task(dead.proposer.propose(dead.cuts.newest))
        await asyncio.sleep(1)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        world.cuts.slow_s = 0.0
        await world.write(2, 5)
        whole = await everything(alive)
        checked(whole, world.parts)
        assert await world.vectors() == [(0, 0, 0, 0), (5, 5, 0, 0)]
        assert await everything(dead) == whole

    virtual_time.run(main())


def test_a_proposer_that_is_answered_late_keeps_the_events_of_its_own_cut() -> None:
    """One for reactors of the same process has adopted its cut, and made the next one, before the answer comes."""

    async def main() -> None:
        world = World()
        feed = world.process()
        proposer = feed.proposer
        await world.write(1, 2)
        answered = world.cuts.answers = asyncio.Event()
        late = asyncio.create_task(proposer.propose(feed.cuts.newest))
        await asyncio.sleep(0.1)
        assert world.cuts.written == 1
        world.cuts.answers = None
        first = await proposer.propose_for_reactor(feed.cuts.newest)
        await world.write(2, 1)
        second = await proposer.propose_for_reactor(first)
        answered.set()
        assert (first.number, second.number, await late) == (1, 2, second)
        for number in (1, 0):  # from the beginning, both are read together
            assert await everything(feed, end_of(number)) == await everything(world.process(), end_of(number))
        checked(await everything(feed), world.parts)

    virtual_time.run(main())


def test_a_cut_of_which_nobody_knows_whether_it_was_stored() -> None:
    """It is unreachable for a moment; the next read notices."""

    async def main() -> None:
        world = World()
        await world.write(1, 5)
        feed = world.process()
        world.cuts.unknown = True
        with pytest.raises(Unavailable, match="the log of the cuts"):
            await feed.read(BEGINNING, 10)
        world.cuts.unknown = False
        assert len(await everything(feed)) == 5
        assert len(await world.vectors()) == 2

    virtual_time.run(main())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, N), st.integers(1, 3)), max_size=90))
def test_covering_is_the_first_cut_that_has_an_event(writes: list[tuple[int, int]]) -> None:
    """Compared with a search from the beginning, in a process that knows the cuts and in one that knows none."""

    async def main() -> None:
        world = World()
        known = world.process()
        for number, events in writes:
            await world.write(number, events)
            await everything(known)
        await world.write(2, 1)
        vectors = await world.vectors()
        for number, part in enumerate(world.parts, 1):
            offsets = [vector[number - 1] for vector in vectors]
            for offset in range(len(part._entries) + 1):
                first = next((end_of(k) for k, upto in enumerate(offsets) if upto >= offset), None)
                assert await known.covering(Position(number, offset)) == first
                assert await world.process().covering(Position(number, offset)) == first
        for entry in (await known.read(BEGINNING, 1_000)).entries:
            assert await known.covering(entry.position) == entry.position
        with pytest.raises(InvalidToken, match="5:1 is in partition 5, which this log does not have"):
            await known.covering(Position(5, 1))

    virtual_time.run(main())


def test_a_follower_of_the_whole_has_come_no_further_in_a_partition_than_it_has_read() -> None:
    """In the middle of a cut it may have come further than is known, but has at least come to the end of the last."""

    async def main() -> None:
        world = World()
        for number in (1, 2, 1, 0, 3, 1, 4, 2, 0, 3, 3, 0, 2, 1):
            if number:
                await world.write(number, 2)
            else:
                await everything(world.process())
        whole, feed, ends = await everything(world.process()), world.process(), await world.vectors()
        assert len(ends) == 5
        read = dict.fromkeys(range(1, N + 1), 0)
        for entry in whole:
            read[feed.partition_of(Stream.parse(entry.stream).id)] += 1
            come = {one.partition: one.offset for one in await feed.covered_by([entry.position])}
            last = ends[place(entry.position)[0] - 1]
            assert all(least <= come[n] <= read[n] for n, least in enumerate(last, 1))
            assert come[0] == entry.position.offset
        for number, vector in enumerate(ends):
            come = {one.partition: one.offset for one in await feed.covered_by([end_of(number)])}
            assert tuple(come[n] for n in range(1, N + 1)) == vector

    virtual_time.run(main())


def test_a_part_out_of_reach_holds_up_the_merged_feed_alone() -> None:
    async def main() -> None:
        world = World()
        await world.write(1, 3)
        await world.write(2, 3)
        feed = world.process()
        cut = await feed.read(BEGINNING, 100)
        world.parts[0].fails = True
        await world.write(2, 2)
        assert (await feed.read(BEGINNING, 4)).entries == cut.entries[:4], "what is at hand is read"
        with pytest.raises(Unavailable, match="partition 1: no leader"):
            await feed.read(cut.upto, 10)
        assert len((await feed.parts[2].read(Position(2, 0), 10)).entries) == 5
        done, refused = await feed.commit(
            [append(f"note-{world.ids[2]}", event(1)), append(f"note-{world.ids[1]}", event(1))]
        )
        assert isinstance(done, Receipt)
        assert isinstance(refused, Unavailable)
        with pytest.raises(Unavailable):
            await feed.commit([append(f"note-{world.ids[1]}", event(1))])
        world.parts[0].fails = False
        assert len(await everything(feed)) == 9

    virtual_time.run(main())


@pytest.mark.parametrize("how", ["fails", "is slow"])
def test_how_far_the_merged_feed_is_can_be_told_without_a_part_that_does_not_respond(how: str) -> None:
    """The newest cut is stored; only whether that part still reaches it has to be seen later."""

    async def main() -> None:
        world = World()
        for number in range(1, N + 1):
            await world.write(number, 2)
        feed = world.process()
        end = (await feed.read(BEGINNING, 100)).upto
        world.parts[0].fails, world.parts[0].slow_s = how == "fails", 60.0 if how == "is slow" else 0.0
        for process in (feed, world.process()):
            async with asyncio.timeout(5):
                assert await process.head() == end
        world.parts[0].fails, world.parts[0].slow_s = False, 0.0
        world.older(1, 1)
        with pytest.raises(LogReplaced, match="partition 1"):
            await world.process().head()

    virtual_time.run(main())


def test_a_slow_part_delays_the_merged_feed_alone() -> None:
    async def main() -> None:
        world = World()
        await world.write(1, 3)
        world.parts[0].slow_s = 30.0
        feed, now = world.process(), asyncio.get_running_loop().time
        reading, began = asyncio.create_task(feed.read(BEGINNING, 10)), now()
        await feed.parts[2].commit([append(f"note-{world.ids[2]}", event(1))])
        assert len((await feed.parts[2].read(Position(2, 0), 10)).entries) == 1
        assert now() - began < 1
        assert len((await reading).entries) == 4
        assert now() - began >= 30

    virtual_time.run(main())


def test_cuts_are_at_least_a_pause_apart() -> None:
    """However fast events come, and however many processes read."""

    async def main() -> None:
        world, now, made = World(), asyncio.get_running_loop().time, list[float]()
        commits = world.cuts.commit

        async def timed(batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
            outcomes = await commits(batch)
            made.extend(now() for outcome in outcomes if isinstance(outcome, Receipt))
            return outcomes

        world.cuts.commit = timed  # type: ignore[method-assign]

        async def writer() -> None:
            for n in range(1_000):
                await world.write(n % N + 1)
                await asyncio.sleep(0.001)

        async def follow(seen: list[Entry]) -> None:
            feed, at = world.process(), BEGINNING
            while len(seen) < 1_000:
                page = await feed.read(at, 100)
                seen += page.entries
                if page.upto == at:
                    await feed.wait(at, 60)
                at = page.upto

        seen: list[list[Entry]] = [[], [], []]
        await asyncio.gather(writer(), *map(follow, seen))
        assert seen[0] == seen[1] == seen[2]
        assert len(made) > 20
        assert min(b - a for a, b in pairwise(made)) >= 0.025 - 1e-9

    virtual_time.run(main())


def until_woken(feed: Partitioned, at: Position, happens: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, float]:
    async def main() -> float:
        now = asyncio.get_running_loop().time
        waiting, began = asyncio.create_task(feed.wait(at, 60)), now()
        await asyncio.sleep(1)
        assert not waiting.done()
        await happens
        await waiting
        return now() - began

    return main()


def test_waiting_ends_with_news_of_any_part() -> None:
    async def main() -> None:
        world = World()
        feed = world.process()
        for number in range(1, N + 1):
            at = await feed.head()
            assert await until_woken(feed, at, world.write(number)) < 2
            await feed.wait(at, 60)  # still news: at once
            await everything(feed)
        began = asyncio.get_running_loop().time()
        await feed.wait(BEGINNING, 60)
        assert asyncio.get_running_loop().time() - began < 0.001, "where there is news nobody waits"
        await feed.wait(await feed.head(), 5)
        assert asyncio.get_running_loop().time() - began >= 5

    virtual_time.run(main())


def test_g11_an_older_copy_of_a_part_is_named() -> None:
    """Noticed at the newest cut, in the middle of the cuts, and by the gate."""

    async def main() -> None:
        world = World()
        for _ in range(3):
            await world.write(3, 4)
            await everything(world.process())
        at = await world.process().head()
        world.older(3, 6)
        waiting = world.process()
        for _ in range(2):  # at the end, where nothing else is read of it
            with pytest.raises(LogReplaced, match=r"partition 3: .*3:12, but the partition ends at 3:6"):
                await waiting.read(at, 10)
        for after in (at, end_of(1)):
            with pytest.raises(LogReplaced, match=r"partition 3: .*older copy"):
                await everything(world.process(), after)
        with pytest.raises(LogReplaced, match=r"partition 3: .*3:12, but the partition ends at 3:6"):
            await world.process().read(end_of(1), 1)
        world.older(3, 2)
        with pytest.raises(LogReplaced, match="partition 3: "):
            await everything(world.process().gated[3], Position(3, 1))  # type: ignore[arg-type]
        await world.write(1)
        with pytest.raises(LogReplaced, match="partition 3: "):
            await world.process().read(at, 10)

    virtual_time.run(main())


def test_g11_an_older_copy_of_the_cuts() -> None:
    async def main() -> None:
        world = World()
        for _ in range(3):
            await world.write(3, 4)
            await everything(world.process())
        feed, knows = world.process(), world.process()
        await knows.cuts.learn()
        at = await feed.head()
        copy = Part(log_id=world.cuts.log_id)
        for vector in (await world.vectors())[1:2]:
            await Partitioned(world.parts, copy).cuts.add((await Partitioned(world.parts, copy).cuts.learn()), vector)
        knows.cuts.newest = msgspec.structs.replace(knows.cuts.newest, number=1)
        knows.cuts.log = copy
        with pytest.raises(LogReplaced, match="no longer holds cut 1 as it was"):
            await knows.head()
        stale = Partitioned(world.parts, copy)
        with pytest.raises(LogReplaced, match="the log ends at"):
            await stale.read(at, 10)
        feed.cuts.log = copy
        await world.write(1)
        with pytest.raises(LogReplaced, match="no longer holds cut 3"):
            await feed.read(at, 10)

    virtual_time.run(main())


def test_a_new_id_begins_the_merged_feed_again() -> None:
    """What a restored part does not reach is not waited for."""

    async def main() -> None:
        world = World()
        await world.write(3, 8)
        await everything(world.process())
        world.older(3, 2)
        feed = world.process()
        await feed.new_id()
        assert {feed.log_id} == {part.log_id for part in world.parts} == {world.cuts.log_id}
        assert feed.log_id != "0123456789abcdef"
        assert len(await everything(feed)) == 2
        assert await everything(world.process()) == await everything(feed)

    virtual_time.run(main())


@pytest.mark.parametrize("another", [False, True], ids=["it makes the cut", "another process makes the cut"])
def test_a_process_that_has_read_begins_again_after_a_new_id(another: bool) -> None:
    """What it has kept of the former cuts is not in the new ones, in which the same events lie elsewhere."""

    async def main() -> None:
        world = World()
        feed = world.process()
        for number in range(1, N + 1):
            await world.write(number, number, N - number)
            assert len(await everything(feed)) == sum(range(number + 1))
        await feed.new_id()
        if another:
            await everything(world.process())
        again = await everything(feed)
        checked(again, world.parts)
        assert again == await everything(world.process())
        assert await feed.behind(BEGINNING) == await feed.distance(BEGINNING, await feed.head()) == len(again)

    virtual_time.run(main())


def test_vectors_are_read_where_they_are_needed() -> None:
    """A late reader of many small cuts reads a page of each part for many of them at once."""

    async def main() -> None:
        world = World()
        feed = world.process()
        for n in range(200):
            await world.write(n % N + 1)
            await everything(feed)
        reads = Counter[int]()
        for part in world.parts:
            read = part.read

            async def counted(*args: Any, number: int = part.partition, read: Any = read, **options: Any) -> Any:
                reads[number] += 1
                return await read(*args, **options)

            part.read = counted  # type: ignore[method-assign]
        late = world.process()
        assert await everything(late) == await everything(feed)
        assert max(reads.values()) < 20
        place_of = bisect_right([vector[0] for vector in await world.vectors()], 0)
        assert await world.process().covering(Position(1, 1)) == end_of(place_of)

    virtual_time.run(main())


def test_streams_lie_in_the_partition_of_their_id() -> None:
    async def main() -> None:
        world = World()
        log = world.process()
        ids = [str(n) for n in range(40)]
        outcomes = await log.commit([append(f"{c}-{one}", event(c)) for one in ids for c in ("note", "memo")])
        for one, pair in zip(ids, zip(outcomes[::2], outcomes[1::2], strict=True), strict=True):
            number = log.partition_of(one)
            for category, receipt in zip(("note", "memo"), pair, strict=True):
                assert isinstance(receipt, Receipt)
                assert (receipt.position.partition, receipt.log_id) == (number, log.log_id)
                stream = Stream(category, one)
                assert receipt.stream == stream
                assert (await log.load(stream, receipt.command_id)).position == receipt.position
                [entry] = await log.read_stream(stream, 1, 9)
                assert (entry.stream, entry.position) == (str(stream), receipt.position)
                assert await log.parts[number].read_stream(stream, 1, 9) == [entry]
        assert {log.partition_of(one) for one in ids} == {1, 2, 3, 4}
        assert (await log.load(Stream("note", "never"))).position == Position(log.partition_of("never"), 0)

    virtual_time.run(main())


def test_the_partition_of_an_id_never_changes() -> None:
    """It decides where a stream lies: these are the numbers for ever."""
    log = World().process()
    assert [log.partition_of(one) for one in ("1", "1001", "Größe", "cust-42", "👩‍👩‍👧‍👦")] == [4, 2, 2, 1, 4]


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("asked", ["head", "read", "behind", "wait", "gate"])
def test_a_partition_that_splits_while_the_parts_are_asked_is_no_error(asked: str, turns: int) -> None:
    """This process learns of it at any moment: also between the choice of the parts and the request to each."""

    async def main() -> None:
        world = World()
        await world.write(2)
        feed = world.process()
        at = (await feed.read(BEGINNING, 10)).upto
        await world.write(3)
        ask: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "head": feed.head,
            "read": lambda: feed.read(at, 10),
            "behind": lambda: feed.behind(at),
            "wait": lambda: feed.wait(at, 0.1),
            "gate": lambda: feed.gated[3].read(Position(3, 0), 10),
        }
        live: Any = feed._live
        assert set(live) == {1, 2, 3, 4}
        feed._live = feed.proposer._feeds = live = dict(live)
        asking = asyncio.ensure_future(ask[asked]())
        for _ in range(turns):
            await asyncio.sleep(0)
        live.pop(2)
        await asking

    virtual_time.run(main())
