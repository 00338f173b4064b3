"""What is parked, compared where it matters: up to the places that were read."""

from datetime import UTC, datetime
from itertools import chain, permutations

import pytest

from twofold.feed.checkpoints import Parked, ParkedKind
from twofold.messages import Position
from twofold.read.parked import ParkedKeys
from twofold.read.projection import key_text
from twofold.testing.conformance.material import at

SINCE = datetime(2026, 3, 1, tzinfo=UTC)


def parked(*entries: tuple[str, int, int]) -> ParkedKeys:
    return ParkedKeys(
        Parked("row", key, Position(partition, offset), "KeyError", SINCE) for key, partition, offset in entries
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([("a", 0, 5)], [("a", 0, 5)], True),
        ([("a", 0, 5)], [], False),
        ([("a", 0, 5)], [("b", 0, 5)], False),
        ([("a", 0, 4)], [("a", 0, 5)], False),
        ([("a", 0, 6)], [], True),
        ([("a", 1, 3)], [], False),
        ([("a", 1, 4)], [], True),
        ([("a", 2, 1)], [], True),
    ],
    ids=str,
)
def test_what_is_parked_beyond_the_places_that_were_read_does_not_count(
    one: list[tuple[str, int, int]], other: list[tuple[str, int, int]], same: bool
) -> None:
    places = {0: Position(0, 5), 1: Position(1, 3)}
    assert parked(*one).same_until(places, parked(*other)) is same
    assert parked(*other).same_until(places, parked(*one)) is same


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("pages", [*permutations([("row", "a"), ("stream", "note-b"), None, ("row", "c")])], ids=str)
def test_what_was_parked_before_stays_parked_whatever_is_parked_later(
    pages: tuple[tuple[ParkedKind, str] | None, ...], one_by_one: bool
) -> None:
    """Rows and streams, in any order, a page after another or all of them at once; pages may park nothing."""
    entries = [
        []
        if page is None
        else [Parked(page[0], key_text((page[1],)) if page[0] == "row" else page[1], at(n), "", SINCE)]
        for n, page in enumerate(pages, 1)
    ]
    known = ParkedKeys()
    for page in entries if one_by_one else [list(chain(*entries))]:
        before = known
        known = known.and_also(page)
        assert (known is before) == (not page)
        assert bool(known) == bool(before or page)
    for number, page_ in enumerate(pages, 1):
        if page_ is not None:
            parked_at = known.row if page_[0] == "row" else known.stream
            key: object = (page_[1],) if page_[0] == "row" else page_[1]
            assert [parked_at(key, at(n)) for n in range(6)] == [n >= number for n in range(6)]  # type: ignore[operator]
    assert not known.row(("d",), at(5))
    assert not known.stream("note-d", at(5))
