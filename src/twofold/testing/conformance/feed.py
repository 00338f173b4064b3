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
from twofold.feed.partitions import feeds
from twofold.messages import BEGINNING, Entry, Position, Receipt, Stream
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.material import Places, all_of, append, appended, commit, event, value
from twofold.write.group_commit import GroupCommit

BOUND_S = 60.0  # ends a test that hangs


class FeedConformance(OnBackend):
    """See `Feed`."""

    async def test_an_empty_log(self, log: LogStore) -> None:
        """Its head is before the first event, and reading returns nothing."""
        assert await log.head() == BEGINNING
        page = await log.read(BEGINNING, 10)
        assert (list(page.entries), page.upto) == ([], BEGINNING)

    async def test_g4_after_is_exclusive(self, log: LogStore) -> None:
        """Reading on from the last page returns what comes next, and never the same again."""
        await appended(log, "note-1", *range(1, 6))
        places = await Places.of(log)
        for n in range(5):
            page = await log.read(places[n], 1)
            assert (places.numbers(page.entries), places.number(page.upto)) == ([n + 1], n + 1)
        for after in (places[5], page.upto):
            at_head = await log.read(after, 10)
            assert (list(at_head.entries), places.number(at_head.upto), at_head.more) == ([], 5, False)
        assert await log.read(at_head.upto, 10) == at_head

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
    @pytest.mark.parametrize("wanted", [None, frozenset({"Noted"}), frozenset({"Never"})])
    async def test_g4_until_ends_a_page_and_more_says_that_it_goes_on(
        self, log: LogStore, limit: int, wanted: frozenset[str] | None
    ) -> None:
        """No event beyond `until` is returned or passed, whether its type matches or not."""
        await appended(log, "note-1", *range(1, 6))
        places = await Places.of(log)
        for until in (None, *range(7)):
            end = 5 if until is None else min(5, until)
            for after in range(6):
                page = await log.read(places[after], limit, wanted, None if until is None else places[until])
                upto = max(after, min(after + limit, end))
                assert (places.number(page.upto), page.more) == (upto, upto < end)
                assert places.numbers(page.entries) == (
                    list(range(after + 1, upto + 1)) if wanted != frozenset({"Never"}) else []
                )

    async def test_positions_are_compared_and_computed_with_by_the_feed(self, log: LogStore) -> None:
        """The position before an event, the number between two, the number still to come, and which covers which."""
        for n in range(3):
            await appended(log, f"note-{n}", 1, 2)
        entries = await all_of(log)
        head = await log.head()
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
        """A position beyond the end of the log comes from another log, which was longer."""
        await appended(log, "note-1", *range(1, 4))
        places = await Places.of(log)
        async with aclosing(pages(log, places[1], places[3], None)) as found:
            assert [places.numbers(page.entries) async for page in found] == [[2, 3]]
        async with aclosing(pages(log, places[1], places[4], None)) as found:
            says = f"a reader is at {places[4]}, but the log ends at {await log.head()}"
            with pytest.raises(LogReplaced, match=says):
                [page async for page in found]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
    async def test_g4_pages_are_bounded_and_add_up(self, log: LogStore, limit: int) -> None:
        """A page has at most `limit` events; all pages together are the log, each stream in order of commit."""
        for n in range(5):
            await commit(log, *(append(f"note-{k}", event((n, k, 1)), event((n, k, 2))) for k in range(3)))
        found = await read_all(log, limit)
        assert all(len(page) <= limit for page in found)
        entries = [entry for page in found for entry in page]
        assert (await Places.of(log)).numbers(entries) == list(range(1, 31))
        for k in range(3):
            of_stream = [value(e) for e in entries if e.stream == f"note-{k}"]
            assert of_stream == [[n, k, i] for n in range(5) for i in (1, 2)]

    async def test_g4_upto_passes_over_what_is_not_wanted(self, log: LogStore) -> None:
        """A filtered page says how far it looked, so that a checkpoint also passes the events left out."""
        types = ["Noted", "Erased", "Noted", "Moved", "Erased", "Moved", "Moved"]
        await commit(log, append("note-1", *(event(n, name) for n, name in enumerate(types, start=1))))
        wanted, places = frozenset({"Noted", "Erased"}), await Places.of(log)
        whole = await log.read(BEGINNING, 100, wanted)
        assert (places.numbers(whole.entries), places.number(whole.upto)) == ([1, 2, 3, 5], 7)
        part = await log.read(places[3], 2, wanted)
        assert (places.numbers(part.entries), places.number(part.upto)) == ([5], 5)
        none = await log.read(places[5], 2, wanted)
        assert (list(none.entries), places.number(none.upto)) == ([], 7)
        nothing = await log.read(BEGINNING, 4, frozenset())
        assert (list(nothing.entries), places.number(nothing.upto)) == ([], 4)
        unknown = await log.read(BEGINNING, 100, frozenset({"noted", "Note", "Noted'"}))
        assert (list(unknown.entries), places.number(unknown.upto)) == ([], 7)

    @pytest.mark.parametrize("types", [None, frozenset({"Noted"})], ids=["all", "of one type"])
    async def test_g4_large_pages_are_cut_without_a_gap(self, log: LogStore, types: frozenset[str] | None) -> None:
        """A large page may end early: then `upto` is where it ended."""
        text = "x" * min(1_048_576, log.limits.append_bytes // 2 - 1_000)
        for n in range(6):
            await commit(log, append("note-1", event(f"{n} {text}"), event(0, "Other"), event(f"{n} {text}")))
        position, found, pages = BEGINNING, 0, 0
        while (page := await log.read(position, 1_000, types)).upto != position:
            position, pages = page.upto, pages + 1
            found += sum(entry.type == "Noted" for entry in page.entries)
        assert (await log.behind(position), found) == (0, 12)
        assert pages > 1, "12 MiB in one page is more than a reader can be asked to hold"

    async def test_g4_never_skips_under_16_concurrent_writers(self, log: LogStore, other_log: LogStore) -> None:
        """After reading up to a position, no event at or before it appears later.

        16 writers in two processes append several events each, to their own streams and to shared ones. Meanwhile a
        reader continues from its last position: it sees everything that was acknowledged, once, in order.
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
        assert (await Places.of(log)).numbers(seen) == list(range(1, total + 1)), "no gap, nothing twice, nothing late"
        assert seen_own == seen
        for feed in feeds(log).values():
            own = await all_of(feed)
            places = await Places.of(feed)
            for receipt, values in acknowledged:
                if receipt.position.partition == feed.partition:
                    last = places.number(receipt.position)
                    mine = own[last - len(values) : last]
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
        """`wait` ends with an append, long before its timeout."""
        await self._rung(log, log)

    async def test_the_doorbell_rings_for_other_processes(self, log: LogStore, other_log: LogStore) -> None:
        """`wait` also ends when another process appends."""
        await self._rung(log, other_log)

    async def _rung(self, log: LogStore, writer: LogStore) -> None:
        position = BEGINNING
        for n in range(3):
            waiting = asyncio.create_task(until_past(log, position))
            await asyncio.sleep(0)
            await appended(writer, f"note-{n}", n)
            await asyncio.wait_for(waiting, BOUND_S)
            position = (await log.read(position, 10)).upto

    async def test_who_has_read_everything_waits_in_peace(self, log: LogStore, other_log: LogStore) -> None:
        """A follower at the head does not read again and again, whichever process appended the last event."""
        position, clock = BEGINNING, asyncio.get_running_loop().time
        for writer in (log, other_log):
            await appended(writer, "note-1", "a")
            while (page := await log.read(position, 10)).upto != position:
                position = page.upto
            looks, end = 0, clock() + 0.2
            while clock() < end:
                assert (await log.read(position, 1)).upto == position
                await log.wait(position, max(0.0, end - clock()))
                looks += 1
            assert looks < 50

    async def test_waiting_ends_with_its_time(self, log: LogStore) -> None:
        """It returns even without an append."""
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
    """What a reader sees that continues from its position until everything is written and read."""
    position, seen = BEGINNING, list[Entry]()
    while True:
        finished = written.is_set()
        page = await feed.read(position, chance.choice((1, 3, 20, 100)))
        seen += page.entries
        if finished and page.upto == position:
            return seen
        position = page.upto


async def write(group: GroupCommit, writer: int, chance: random.Random) -> list[tuple[Receipt, list[str]]]:
    """Append as one writer; returns what was acknowledged, with the values."""
    acknowledged = []
    for n in range(25):
        stream = Stream("note", chance.choice(("shared", "also shared", f"own {writer}")))
        values = [f"{writer}.{n}.{k}" for k in range(chance.randint(1, 4))]
        receipt = await group.append(append(str(stream), *(event(value) for value in values)))
        acknowledged.append((receipt, values))
    return acknowledged


async def until_past(feed: Feed, position: Position) -> None:
    """Wait as a follower does. A ring may be spurious, so it looks again; the timeout is too long to help."""
    while (await feed.read(position, 1)).upto == position:
        await feed.wait(position, 10 * BOUND_S)
