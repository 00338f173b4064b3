"""What follows the feed: a projector or the runner of a reactor. `follow.py` has the loop that drives it."""

from __future__ import annotations

from typing import Literal, Protocol

from twofold.feed.checkpoints import Claim, FollowerId, Parked
from twofold.feed.feed import FeedPage
from twofold.messages import Position


class Follower(Protocol):
    """Handles pages of the feed."""

    @property
    def follows(self) -> FollowerId:
        """Its name and version."""
        ...

    @property
    def types(self) -> frozenset[str]:
        """The stored names of the events it wants."""
        ...

    @property
    def start(self) -> Literal["beginning", "now"]:
        """Where its checkpoint starts when it is new."""
        ...

    @property
    def largest_page(self) -> int:
        """The most events that one of its pages covers."""
        ...

    async def handle(self, claim: Claim, after: Position, page: FeedPage) -> None:
        """Handle a page, and move the checkpoint from `after` to `page.upto`. Raises: LeaseLost, Unavailable.

        When this returns the pages before are done; this one may be unfinished until `flush`.
        """
        ...

    async def flush(self) -> None:
        """Wait until all pages are done. Raises: like `handle`."""
        ...

    async def tend(self, claim: Claim, position: Position) -> None:
        """Do what is due without new events: called repeatedly while the follower is at the head, at this position.

        Raises: LeaseLost, Unavailable.
        """
        ...

    async def wait(self, after: Position, timeout_s: float) -> None:
        """Return when the checkpoint may have passed a position, in any process, or when the time is up."""
        ...

    def will_retry(self, parked: Parked) -> bool:
        """Whether a parked entry is retried without an operator."""
        ...
