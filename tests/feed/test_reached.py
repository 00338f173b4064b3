"""The known positions of followers, per partition."""

from twofold.feed.checkpoints import FollowerId
from twofold.feed.doorbell import Reached
from twofold.testing.conformance.material import at

ONE = FollowerId("one", 2)
FIRST, SECOND = ONE.in_partition(1), ONE.in_partition(2)


def test_each_partition_is_heard_of_apart() -> None:
    reached = Reached()
    assert [reached.at(one) for one in (ONE, FIRST)] == [at(0), at(0, 1)]
    reached.heard(FIRST, at(9, 1))
    reached.heard(SECOND, at(3, 2))
    reached.heard(FIRST, at(4, 1))
    assert [reached.at(one) for one in (ONE, FIRST, SECOND)] == [at(0), at(9, 1), at(3, 2)]


def test_a_look_that_sees_less_puts_one_partition_back() -> None:
    reached = Reached()
    reached.heard(FIRST, at(9, 1))
    reached.heard(SECOND, at(9, 2))
    before = reached.places
    reached.looked(before, FIRST, at(2, 1))
    assert [reached.at(one) for one in (FIRST, SECOND)] == [at(2, 1), at(9, 2)]
    reached.looked(before, SECOND, at(12, 2))
    assert reached.at(SECOND) == at(9, 2)


def test_what_is_heard_during_a_look_stands() -> None:
    reached = Reached()
    reached.heard(FIRST, at(9, 1))
    before = reached.places
    reached.heard(FIRST, at(10, 1))
    reached.looked(before, FIRST, at(9, 1))
    reached.looked({}, FIRST, at(9, 1))
    assert reached.at(FIRST) == at(10, 1)
    reached.looked(before, FIRST, at(2, 1))  # it began before that was heard, and may be older
    assert reached.at(FIRST) == at(10, 1)


def test_a_follower_is_forgotten_in_all_partitions_and_others_are_not() -> None:
    reached, other = Reached(), FollowerId("one", 1, 1)
    for one in (FIRST, SECOND, other):
        reached.heard(one, at(9, one.partition))
    reached.forget(ONE)
    assert [reached.at(one).offset for one in (FIRST, SECOND, other)] == [0, 0, 9]
    reached.forget()
    assert reached.at(other) == at(0, 1)
