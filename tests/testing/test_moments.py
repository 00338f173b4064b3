"""What the checker of reads demands of a token that names a former partition, whose parts number events alike."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any, cast

import pytest

from twofold.messages import Entry, Position, Token
from twofold.testing.simulation.attempts import Attempt
from twofold.testing.simulation.courses import BITS, Courses
from twofold.testing.simulation.invariants.moments import Moments

TOKEN = Token("log", Position(2, 9))


def entry(partition: int, offset: int, version: int = 0) -> Entry:
    return cast(Entry, SimpleNamespace(position=Position(partition, offset), stream="profile-c", version=version))


@pytest.fixture
def courses() -> Courses:
    """Partition 2 has split into 3 and 4, and each of them has an event at 5 from before."""
    made = Courses(2)
    made[2].add([entry(2, 5)])
    for part in (3, 4):
        made.split(part, 2)
        made[part].add([entry(part, 5)])
    return made


def moments(courses: Courses, before: dict[int, int], token: Token = TOKEN) -> Moments:
    attempt = Attempt(SimpleNamespace(projection="card"), "", "", "", 0.0, 0, key=("c",), lengths_before=before)
    watcher: Any = SimpleNamespace(folds=defaultdict(object, {("card", 3): object(), ("card", 4): object()}))
    attempt.lengths_after = courses.lengths()
    return Moments(courses, watcher, attempt, token)


def test_an_event_that_came_after_the_read_had_begun_is_not_that_of_its_token(courses: Courses) -> None:
    before = courses.lengths()
    courses[3].add([entry(3, 9)])
    assert moments(courses, dict(before)).token_is_beyond
    courses[4].add([entry(4, 9)])
    assert not moments(courses, {**before, 4: 2}).token_is_beyond


def test_a_row_of_the_other_part_may_be_as_it_was_before_the_read(courses: Courses) -> None:
    courses[4].add([entry(4, 9)])
    before = courses.lengths()
    courses[3].add([entry(3, 9)])
    found = moments(courses, dict(before))
    assert found._since(3)[0] == range(1, 3)
    assert found._since(4)[0] == range(2, 3)


def test_an_event_that_was_in_a_range_without_a_number_was_there_before_the_read(courses: Courses) -> None:
    """Its token names the former partition, and its part got its number while the read waited."""
    for version in (1, 2):
        courses.stored("profile-c", version, 1)
    before = courses.lengths()
    courses.stored("profile-c", 3, 1)
    courses.split(5, 4)
    courses[5].add([entry(5, offset, version) for version, offset in enumerate((5, 9, 12), 1)])
    assert courses.length_then(5, before) == 2
    assert not moments(courses, dict(before)).token_is_beyond
    later = Token("log", Position(2, 12))
    assert moments(courses, dict(before), later).token_is_beyond


@pytest.mark.parametrize(("partition", "waits"), [(2, True), (4, False)])
def test_what_is_parked_after_the_event_of_a_token_that_may_be_in_either_part(
    courses: Courses, partition: int, waits: bool
) -> None:
    """In the merged feed, which is read up to where the event is in neither part; one that names its part is there."""
    courses[4].add([entry(4, 9, 1)])
    courses[0].add([entry(0, (1 << BITS) + 1, 1)])
    parked = (3 << BITS) + 1
    watcher: Any = SimpleNamespace(folds={("card", 0): SimpleNamespace(waits=lambda key, at, upto: parked <= upto)})
    attempt = Attempt(SimpleNamespace(projection="card"), "", "", "", 0.0, 0, key=("c",))
    attempt.lengths_before = attempt.lengths_after = dict(courses.lengths())
    assert Moments(courses, watcher, attempt, Token("log", Position(partition, 9))).waits() is waits
