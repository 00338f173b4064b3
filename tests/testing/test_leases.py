"""The simulator's record of who holds a checkpoint, after the read store has lost its last changes in a crash."""

from __future__ import annotations

from collections import Counter

from twofold.feed.checkpoints import Checkpoint, Claim, FollowerId
from twofold.messages import Position
from twofold.testing.simulation.leases import DISCARDING, Leases

SHELF = FollowerId("shelf", 1, partition=4)


class Recorded:
    """Leases, and the promises that they found broken."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.leases = Leases(lambda: 0.0, Counter(), lambda promise, text: self.broken.append(f"{promise}: {text}"))

    def claimed(self, epoch: int, owner: str = "first", after: str | None = None) -> Claim:
        """A worker claims the checkpoint in this epoch; `after` is who holds it, unless it was released."""
        claim = Claim(SHELF, epoch)
        self.leases.claimed(_checkpoint(epoch - 1, after), claim, owner)
        return claim


def _checkpoint(epoch: int, owner: str | None = None) -> Checkpoint:
    return Checkpoint(SHELF, "log", Position(4, 0), owner, epoch=epoch, heartbeat=0)


def test_a_split_that_a_crash_takes_back_leaves_the_checkpoint_to_its_holder() -> None:
    recorded = Recorded()
    holder = recorded.claimed(4)
    recorded.leases.gone(SHELF)
    recorded.leases.went_back({SHELF: _checkpoint(4)})
    recorded.leases.held(holder, "released what another worker holds")
    assert recorded.broken == []


def test_who_lost_a_checkpoint_before_the_crash_still_does_not_hold_it() -> None:
    recorded = Recorded()
    zombie, holder = recorded.claimed(3), recorded.claimed(4)
    recorded.leases.gone(SHELF)
    recorded.leases.went_back({SHELF: _checkpoint(4)})
    recorded.leases.held(zombie, "has written")
    assert recorded.broken == ["G5: a zombie has written: shelf v1, partition 4 in epoch 3, but it is epoch 4"]
    recorded.leases.claimed(_checkpoint(3), holder, "second")
    assert recorded.broken[1:] == ["G5: shelf v1, partition 4 was claimed twice in epoch 4"]


def test_a_claim_to_discard_that_a_crash_takes_back_says_nothing_of_the_next_in_its_epoch() -> None:
    recorded = Recorded()
    assert recorded.leases.discards(recorded.claimed(1, f"p1 {DISCARDING}"))
    recorded.leases.went_back({SHELF: _checkpoint(0)})
    assert not recorded.leases.discards(recorded.claimed(1))
    assert recorded.broken == []


def test_only_the_claim_to_discard_discards() -> None:
    recorded = Recorded()
    discard, holder = recorded.claimed(1, f"p1 {DISCARDING}"), recorded.claimed(2)
    assert recorded.leases.discards(discard)
    assert not recorded.leases.discards(holder)


def test_a_holder_whose_heartbeats_a_crash_takes_back_may_look_silent() -> None:
    recorded = Recorded()
    recorded.claimed(1)
    recorded.leases.went_back({SHELF: _checkpoint(1, "first")})
    recorded.claimed(2, "second", after="first")
    assert recorded.broken == []
    recorded.claimed(3, "third", after="second")
    assert recorded.broken == ["G5: shelf v1, partition 4 was taken over, but its holder was alive 0.000 s ago"]


def test_a_checkpoint_that_a_crash_takes_back_begins_anew() -> None:
    recorded = Recorded()
    recorded.claimed(1)
    recorded.leases.went_back({})
    recorded.claimed(1)
    assert recorded.broken == []
