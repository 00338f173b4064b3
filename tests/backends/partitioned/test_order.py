"""Where a cut ends, and the order within it: pure, over partitions of any size, with any clocks and gaps."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from twofold.backends.partitioned.order import (
    LAST,
    Vector,
    before,
    cut_behind,
    end_of,
    in_order,
    next_cut,
    place,
)
from twofold.feed.feed import FeedPage
from twofold.messages import BEGINNING, Entry, Position

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

parts_of = st.lists(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 3)), max_size=12), min_size=1, max_size=4)


def entry(partition: int, offset: int, seconds: float) -> Entry:
    stream = f"note-{partition}"
    return Entry(Position(partition, offset), stream, offset, "Noted", 1, b"{}", b"{}", EPOCH + timedelta(0, seconds))


def part(number: int, events: Sequence[tuple[int, int]], rising: bool = False) -> list[Entry]:
    """Events from pairs of a time and a gap before the offset."""
    times = [time for time, _ in events]
    offset, made = 0, []
    for time, (_, gap) in zip(sorted(times) if rising else times, events, strict=True):
        offset += gap
        made.append(entry(number, offset, time))
    return made


def page(entries: Sequence[Entry], after: int, limit: int) -> FeedPage:
    found = [one for one in entries if one.position.offset > after]
    upto = found[:limit][-1].position if found else Position(1, after)
    return FeedPage(found[:limit], upto, more=len(found) > limit)


def cuts_of(parts: Sequence[Sequence[Entry]], limit: int) -> list[Vector]:
    """Proposed one after the other until there is nothing left."""
    vectors: list[Vector] = [(0,) * len(parts)]
    while True:
        pages = [page(entries, after, limit) for entries, after in zip(parts, vectors[-1], strict=True)]
        vector = next_cut(vectors[-1], pages)
        if vector == vectors[-1]:
            return vectors
        vectors.append(vector)


def made_of(entry: Entry) -> tuple[str, int]:
    return entry.stream, entry.version


@given(parts_of, st.integers(1, 5))
def test_every_event_is_in_one_cut_in_the_order_of_its_partition(
    drawn: list[list[tuple[int, int]]], limit: int
) -> None:
    parts = [part(number, events) for number, events in enumerate(drawn, 1)]
    vectors = cuts_of(parts, limit)
    for earlier, later in pairwise(vectors):
        assert all(a <= b for a, b in zip(earlier, later, strict=True)), "a vector never decreases"
    merged = in_order(1, vectors, parts)
    for entries in parts:
        its = [one for one in merged if entries and one.stream == entries[0].stream]
        assert [made_of(one) for one in its] == [made_of(one) for one in entries]
    assert len(merged) == sum(map(len, parts))
    positions = [one.position for one in merged]
    assert positions == sorted(set(positions))
    for _, its_cut in enumerate(vectors[1:], 1):
        assert len(its_cut) == len(parts)
    sizes = [
        sum(place(one.position)[0] == cut and one.stream == f"note-{n}" for one in merged)
        for cut in range(1, len(vectors))
        for n in range(1, len(parts) + 1)
    ]
    assert all(size <= limit for size in sizes)


@given(parts_of, st.integers(1, 5))
def test_history_is_in_order_of_its_times(drawn: list[list[tuple[int, int]]], limit: int) -> None:
    """However different the sizes of the partitions are, and however little a cut takes."""
    parts = [part(number, events, rising=True) for number, events in enumerate(drawn, 1)]
    merged = in_order(1, cuts_of(parts, limit), parts)
    times = [one.recorded_at for one in merged]
    assert times == sorted(times)


@given(parts_of)
def test_within_a_cut_by_time_then_partition_then_position(drawn: list[list[tuple[int, int]]]) -> None:
    """The time is the latest of the partition so far, since the cut began."""
    parts = [part(number, events) for number, events in enumerate(drawn, 1)]
    expected = []
    for number, entries in enumerate(parts, 1):
        latest = EPOCH
        for one in entries:
            latest = max(latest, one.recorded_at)
            expected.append((latest, number, one.position.offset, made_of(one)))
    vector = tuple(entries[-1].position.offset if entries else 0 for entries in parts)
    merged = in_order(7, [(0,) * len(parts), vector], parts)
    assert [made_of(one) for one in merged] == [one[3] for one in sorted(expected)]
    assert [place(one.position) for one in merged] == [(7, index) for index in range(1, len(expected) + 1)]


@given(parts_of, st.integers(1, 5))
def test_cuts_read_one_by_one_are_the_same_as_many_at_once(drawn: list[list[tuple[int, int]]], limit: int) -> None:
    parts = [part(number, events) for number, events in enumerate(drawn, 1)]
    vectors = cuts_of(parts, limit)
    one_by_one: list[Entry] = []
    for cut in range(1, len(vectors)):
        behind = [
            [one for one in entries if one.position.offset > after]
            for entries, after in zip(parts, vectors[cut - 1], strict=True)
        ]
        one_by_one += in_order(cut, vectors[cut - 1 : cut + 1], behind)
    assert in_order(1, vectors, parts) == one_by_one


def test_a_cut_ends_at_the_earliest_end_of_what_has_more() -> None:
    """The first page ends at 3 and goes on; the second has events up to 5, of which later ones of the first may be."""
    first, second = [entry(1, n, n) for n in (1, 2, 3)], [entry(2, n, n + 1) for n in (1, 2, 3, 4)]
    whole = FeedPage(second, Position(2, 4))
    assert next_cut((0, 0), [FeedPage(first, Position(1, 3), more=True), whole]) == (3, 2)
    assert next_cut((0, 0), [FeedPage(first, Position(1, 3)), whole]) == (3, 4)
    assert next_cut((3, 4), [FeedPage((), Position(1, 3)), FeedPage((), Position(2, 4))]) == (3, 4)


def test_a_page_without_events_passes_over_a_gap() -> None:
    """What follows the gap may be earlier than anything in the other partitions."""
    other = FeedPage([entry(2, 1, 1)], Position(2, 1))
    assert next_cut((4, 0), [FeedPage((), Position(1, 9), more=True), other]) == (9, 0)
    assert next_cut((4, 0), [FeedPage((), Position(1, 9)), other]) == (9, 1)


def test_a_clock_that_was_wrong_does_not_order_the_cuts_that_follow() -> None:
    """The latest time so far counts from the beginning of the cut."""
    parts = [[entry(1, 1, 1_000), entry(1, 2, 1)], [entry(2, 1, 2), entry(2, 2, 500)]]
    in_two = in_order(1, [(0, 0), (1, 1), (2, 2)], parts)
    assert [made_of(one) for one in in_two] == [("note-2", 1), ("note-1", 1), ("note-1", 2), ("note-2", 2)]
    at_once = in_order(1, [(0, 0), (2, 2)], parts)
    assert [made_of(one) for one in at_once] == [("note-2", 1), ("note-2", 2), ("note-1", 1), ("note-1", 2)]


@given(st.integers(1, 2**38), st.integers(1, LAST - 1))
def test_places(cut: int, index: int) -> None:
    position = Position(0, cut << 24 | index)
    assert place(position) == (cut, index)
    assert end_of(cut - 1) < position < end_of(cut)
    assert cut_behind(position) == cut
    assert cut_behind(end_of(cut)) == cut + 1
    assert before(position) == (Position(0, position.offset - 1) if index > 1 else end_of(cut - 1))


def test_the_first_cut_follows_the_beginning() -> None:
    assert end_of(0) == BEGINNING
    assert cut_behind(BEGINNING) == 1
    assert before(Position(0, 1 << 24 | 1)) == BEGINNING
