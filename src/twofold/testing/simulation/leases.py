"""The checks of leases: who takes a checkpoint over, who sends heartbeats, who writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from twofold.feed.checkpoints import Checkpoint, Claim, FollowerId
from twofold.feed.lease import LEASE_S

DISCARDING = "discarding"  # the suffix of an owner's name that marks a discard
TAKES_OVER_AT_ONCE = ("unparking", "rebuilding", "filling", DISCARDING)


class Leases:
    """The newest epoch of each checkpoint, and when its holder was last alive."""

    def __init__(self, clock: Callable[[], float], counts: Counter[str], broken: Callable[[str, str], None]) -> None:
        self._clock, self._counts, self.broken = clock, counts, broken
        self._epochs: dict[FollowerId, int] = {}
        self._alive_at: dict[FollowerId, float] = {}
        self._owners: dict[Claim, str] = {}

    def claimed(self, before: Checkpoint, claim: Claim, owner: str, *, at_once: bool = False) -> None:
        """Only a checkpoint that was released, or whose holder was silent for a lease, is taken over, in a new epoch.

        Retrying and discarding what is parked, rebuilding, and filling rollups do not wait for that, nor does what
        hands a split partition over (`at_once`).
        """
        follower = claim.follower
        silent_s = self._clock() - self._alive_at.get(follower, -LEASE_S)
        if before.owner is not None:
            self._counts["takeovers"] += 1
            if silent_s < LEASE_S and not (at_once or owner.endswith(TAKES_OVER_AT_ONCE)):
                self.broken("G5", f"{follower} was taken over, but its holder was alive {silent_s:.3f} s ago")
        if claim.epoch <= self._epochs.get(follower, 0):
            self.broken("G5", f"{follower} was claimed twice in epoch {claim.epoch}")
        self._epochs[follower] = claim.epoch
        self._alive_at[follower] = self._clock()
        self._owners[claim] = owner

    def used(self, claim: Claim, did: str) -> None:
        """Only the holder does this, and shows that it is alive."""
        self.held(claim, did)
        self._alive_at[claim.follower] = self._clock()

    def held(self, claim: Claim, did: str) -> None:
        """Only the holder does this."""
        epoch = self._epochs.get(claim.follower, 0)
        if claim.epoch != epoch:
            self.broken("G5", f"a zombie {did}: {claim.follower} in epoch {claim.epoch}, but it is epoch {epoch}")

    def discards(self, claim: Claim) -> bool:
        """Whether its holder discards what is parked."""
        return self._owners.get(claim, "").endswith(DISCARDING)

    def stolen(self, follower: FollowerId, epoch: int) -> None:
        """Another epoch was written without a claim: by a fault, or when one table replaced another."""
        self._epochs[follower] = epoch

    def went_back(self, rows: Mapping[FollowerId, Checkpoint]) -> None:
        """Forget what a store lost; these checkpoints are left, also of partitions that had split meanwhile."""
        self._epochs = {follower: row.epoch for follower, row in rows.items()}
        self._alive_at.clear()

    def gone(self, follower: FollowerId) -> None:
        """Forget a checkpoint that was replaced by others."""
        self._epochs.pop(follower, None)
        self._alive_at.pop(follower, None)

    def dropped(self, follower: FollowerId) -> None:
        """Forget a table's checkpoints, of all partitions."""
        for of_followers in (self._epochs, self._alive_at):
            for one in [one for one in of_followers if one.whole == follower.whole]:
                del of_followers[one]
