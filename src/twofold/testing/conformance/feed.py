"""The feed: G4, pages, and the doorbell."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import aclosing

import pytest

from twofold.backends.ports import LogStore
from twofold.errors import InvalidToken, LogReplaced
from twofold.feed.feed import Feed, pages
from twofold.messages import BEGINNING, Entry, Position, Receipt, Stream
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.material import append, appended, at, commit, event, offsets, value
from twofold.write.group_commit import GroupCommit

BOUND_S = 60.0  # a net under what hangs


class FeedConformance(OnBackend):
    """See `Feed`."""

    async def test_an_empty_log(self, log: LogStore) -> None:
        """Its head is before the first event, and there is nothing to read."""
        assert await log.head() == BEGINNING
        page = await log.read(BEGINNING, 10)
        assert (list(page.entries), page.upto) == ([], BEGINNING)

    async def test_g4_after_is_exclusive(self, log: LogStore) -> None:
        """Reading on from where one has looked gives what comes next, and never the same again."""
        await appended(log, "note-1", *range(1, 6))
        for n in range(5):
            page = await log.read(at(n), 1)
            assert (offsets(page.entries), page.upto) == ([n + 1], at(n + 1))
        at_head = await log.read(at(5), 10)
        assert (list(at_head.entries), at_head.upto) == ([], at(5))

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
    @pytest.mark.parametrize("wanted", [None, frozenset({"Noted"}), frozenset({"Never"})])
    async def test_g4_until_ends_a_page_and_more_says_that_it_goes_on(
        self, log: LogStore, limit: int, wanted: frozenset[str] | None
    ) -> None:
        """Neither says anything about what lies beyond `until`, whether it is wanted or not."""
        await appended(log, "note-1", *range(1, 6))
        for until in (None, *map(at, range(7))):
            end = 5 if until is None else min(5, until.offset)
            for after in range(6):
                page = await log.read(at(after), limit, wanted, until)
                upto = max(after, min(after + limit, end))
                assert (page.upto, page.more) == (at(upto), upto < end)
                assert offsets(page.entries) == (
                    list(range(after + 1, upto + 1)) if wanted != frozenset({"Never"}) else []
                )

    async def test_positions_are_compared_and_computed_with_by_the_feed(self, log: LogStore) -> None:
        """What is right before an event, how many lie between, how many are still to come, and what covers what."""
        for n in range(3):
            await appended(log, f"note-{n}", 1, 2)
        head = await log.head()
        entries = (await log.read(BEGINNING, 100)).entries
        for number, entry in enumerate(entries):
            position = entry.position
            page = await log.read(log.before(position), 1)
            assert [one.position for one in page.entries] == [position]
            assert await log.distance(log.before(position), head) == len(entries) - number
            assert await log.distance(head, position) == 0
            assert await log.behind(position) == len(entries) - number - 1
            assert await log.covering(position) == position
        with pytest.raises(InvalidToken, match="7:1 is in partition 7, which this log does not have"):
            await log.covering(Position(7, 1))

    async def test_g11_pages_end_with_the_log(self, log: LogStore) -> None:
        """Whoever wants to come further than the log goes has seen another one, which was longer."""
        await appended(log, "note-1", *range(1, 4))
        async with aclosing(pages(log, at(1), at(3), None)) as found:
            assert [offsets(page.entries) async for page in found] == [[2, 3]]
        async with aclosing(pages(log, at(1), at(4), None)) as found:
            with pytest.raises(LogReplaced, match="read up to 0:4, and the log ends at 0:3"):
                [page async for page in found]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
    async def test_g4_pages_are_bounded_and_add_up(self, log: LogStore, limit: int) -> None:
        """At most `limit` events; one page after the other is the log in order of commit."""
        for n in range(5):
            await commit(log, *(append(f"note-{k}", event((n, k, 1)), event((n, k, 2))) for k in range(3)))
        found = await read_all(log, limit)
        assert all(len(page) <= limit for page in found)
        entries = [entry for page in found for entry in page]
        assert offsets(entries) == list(range(1, 31))
        assert [value(e) for e in entries] == [[n, k, i] for n in range(5) for k in range(3) for i in (1, 2)]

    async def test_g4_upto_passes_over_what_is_not_wanted(self, log: LogStore) -> None:
        """A filtered page says how far was looked, so that a checkpoint also moves over what was left out."""
        types = ["Noted", "Erased", "Noted", "Moved", "Erased", "Moved", "Moved"]
        await commit(log, append("note-1", *(event(n, name) for n, name in enumerate(types, start=1))))
        wanted = frozenset({"Noted", "Erased"})
        whole = await log.read(BEGINNING, 100, wanted)
        assert (offsets(whole.entries), whole.upto) == ([1, 2, 3, 5], at(7))
        part = await log.read(at(3), 2, wanted)
        assert (offsets(part.entries), part.upto) == ([5], at(5))
        none = await log.read(at(5), 2, wanted)
        assert (list(none.entries), none.upto) == ([], at(7))
        nothing = await log.read(BEGINNING, 4, frozenset())
        assert (list(nothing.entries), nothing.upto) == ([], at(4))
        unknown = await log.read(BEGINNING, 100, frozenset({"noted", "Note", "Noted'"}))
        assert (list(unknown.entries), unknown.upto) == ([], at(7))

    @pytest.mark.parametrize("types", [None, frozenset({"Noted"})], ids=["all", "of one type"])
    async def test_g4_large_pages_are_cut_without_a_gap(self, log: LogStore, types: frozenset[str] | None) -> None:
        """A page may end early where it grows large: then `upto` is where it ended."""
        text = "x" * 1_048_576
        for n in range(6):
            await commit(log, append("note-1", event(f"{n} {text}"), event(0, "Other"), event(f"{n} {text}")))
        position, found, pages = BEGINNING, 0, 0
        while (page := await log.read(position, 1_000, types)).upto != position:
            position, pages = page.upto, pages + 1
            found += sum(entry.type == "Noted" for entry in page.entries)
        assert (position, found) == (at(18), 12)
        assert pages > 1, "12 MiB in one page is more than a reader can be asked to hold"

    async def test_g4_never_skips_under_16_concurrent_writers(self, log: LogStore, other_log: LogStore) -> None:
        """Whoever has read up to a position never sees an event at or before it appear later.

        16 writers, in two processes, append several events each, to streams of their own and to shared ones. A reader
        goes on from its own last position all the while: what it saw is all that was acknowledged, once, in order.
        """
        groups = GroupCommit(log), GroupCommit(other_log)
        written = asyncio.Event()
        reading = asyncio.create_task(tail(other_log, written, random.Random(1)))  # noqa: S311
        reading_own = asyncio.create_task(tail(log, written, random.Random(2)))  # noqa: S311
        writers = [write(groups[n % 2], n, random.Random(n)) for n in range(16)]  # noqa: S311
        acknowledged = [pair for pairs in await asyncio.gather(*writers) for pair in pairs]
        written.set()
        seen, seen_own = await asyncio.wait_for(asyncio.gather(reading, reading_own), BOUND_S)
        for group in groups:
            await group.close()

        total = sum(len(values) for _, values in acknowledged)
        assert offsets(seen) == list(range(1, total + 1)), "no gap, nothing twice, nothing late"
        assert seen_own == seen
        by_offset = {entry.position.offset: entry for entry in seen}
        for receipt, values in acknowledged:
            last = receipt.position.offset
            mine = [by_offset[offset] for offset in range(last - len(values) + 1, last + 1)]
            assert [value(entry) for entry in mine] == values
            assert {entry.stream for entry in mine} == {str(receipt.stream)}
            assert [entry.version for entry in mine] == list(
                range(receipt.version - len(values) + 1, receipt.version + 1)
            )
        versions: Counter[str] = Counter()
        for entry in seen:
            versions[entry.stream] += 1
            assert entry.version == versions[entry.stream], "a stream's versions come in order"

    async def test_the_doorbell_rings_for_the_own_process(self, log: LogStore) -> None:
        """`wait` ends with an append, long before its time is over."""
        await self._rung(log, log)

    async def test_the_doorbell_rings_for_other_processes(self, log: LogStore, other_log: LogStore) -> None:
        """`wait` ends also when somebody else has appended."""
        await self._rung(log, other_log)

    async def _rung(self, log: LogStore, writer: LogStore) -> None:
        for n in range(3):
            waiting = asyncio.create_task(until_past(log, at(n)))
            await asyncio.sleep(0)
            await appended(writer, "note-1", n)
            await asyncio.wait_for(waiting, BOUND_S)

    async def test_waiting_ends_with_its_time(self, log: LogStore) -> None:
        """Nobody appends: it returns all the same."""
        await asyncio.wait_for(log.wait(await log.head(), 0.01), BOUND_S)

    async def test_where_there_is_news_nobody_waits(self, log: LogStore) -> None:
        """`wait` after an old position returns at once."""
        await appended(log, "note-1", "a")
        await asyncio.wait_for(log.wait(BEGINNING, 10 * BOUND_S), BOUND_S)


async def read_all(feed: Feed, limit: int) -> list[list[Entry]]:
    """Pages from the beginning to the head."""
    position, pages = BEGINNING, []
    while (page := await feed.read(position, limit)).upto != position:
        pages.append(list(page.entries))
        position = page.upto
    return pages


async def tail(feed: Feed, written: asyncio.Event, chance: random.Random) -> list[Entry]:
    """What a reader sees that always goes on from where it is, until all is written and read."""
    position, seen = BEGINNING, list[Entry]()
    while True:
        finished = written.is_set()
        page = await feed.read(position, chance.choice((1, 3, 20, 100)))
        seen += page.entries
        if finished and page.upto == position:
            return seen
        position = page.upto


async def write(group: GroupCommit, writer: int, chance: random.Random) -> list[tuple[Receipt, list[str]]]:
    """Appends of one writer: what was acknowledged, and the values that were in it."""
    acknowledged = []
    for n in range(25):
        stream = Stream("note", chance.choice(("shared", "also shared", f"own {writer}")))
        values = [f"{writer}.{n}.{k}" for k in range(chance.randint(1, 4))]
        receipt = await group.append(append(str(stream), *(event(value) for value in values)))
        acknowledged.append((receipt, values))
    return acknowledged


async def until_past(feed: Feed, position: Position) -> None:
    """Waits as a follower does. A ring may be a false one, so it looks again; the time-out is too long to help."""
    while (await feed.read(position, 1)).upto == position:
        await feed.wait(position, 10 * BOUND_S)
