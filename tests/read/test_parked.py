"""What is parked, compared where it matters: up to the places that were read."""

from datetime import UTC, datetime

import pytest

from twofold.feed.checkpoints import Parked
from twofold.messages import Position
from twofold.read.parked import ParkedKeys

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
