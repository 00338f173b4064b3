"""Which App the checkpoints in a store belong to: an App never folds into a read model of another one."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.errors import ConfigurationError
from twofold.feed.checkpoints import Ownership
from twofold.feed.follow import Following
from twofold.feed.ownership import agreed, assign, check_app
from twofold.read.projector import Projector
from twofold.read.store import ReadStore


class Belonging:
    """The followers of one App, checked against the ownership recorded with their checkpoints."""

    def __init__(self, app: str, formerly: str | None, followers: Sequence[Following], rows: ReadStore) -> None:
        self._app, self._formerly, self._followers, self._rows = app, formerly, followers, rows

    async def check(self) -> None:
        """Check that no checkpoint, and no other version of a projection, belongs to another App.

        Raises: ConfigurationError, Unavailable.
        """
        versions = [table.follows for table in await self._rows.tables()]
        for following in self._followers:
            follows, checkpoints = following.follower_id, following.checkpoints
            what, mine, same_events = self._of(following)
            agreed(what, await checkpoints.ownership(follows), mine, same_events=same_events)
            for other in versions if isinstance(following.follower, Projector) else ():
                if other.name == follows.name and other != follows.whole:
                    for checkpoint in await checkpoints.all_partitions(other):
                        kept = await checkpoints.ownership(checkpoint.follower)
                        if kept is not None:
                            check_app(f"projection {follows.name!r}", kept, mine)
        await self._check_partitions()

    async def _check_partitions(self) -> None:
        """A version cannot switch between following each partition and following the merged feed.

        Raises: ConfigurationError.
        """
        mine = {following.follower_id for following in self._followers}
        for following in self._followers:
            follows = following.follower_id
            for checkpoint in await following.checkpoints.all_partitions(follows):
                if checkpoint.follower not in mine:
                    raise ConfigurationError(
                        f"{follows.whole} has a checkpoint in partition {checkpoint.follower.partition}, which this "
                        f"code does not follow: with key= a projection follows the merged feed, without key= each "
                        f"partition separately. Raise its version to give it a new table"
                    )

    async def register(self, following: Following) -> None:
        """Create the checkpoint if there is none, and record its owner. Raises: ConfigurationError, Unavailable."""
        await following.register()
        what, mine, same_events = self._of(following)
        await assign(following.checkpoints, what, following.follower_id, mine, same_events=same_events)

    def _of(self, following: Following) -> tuple[str, Ownership, bool]:
        """Its name in errors, its ownership, and whether its events are fixed. A reactor has no version to raise."""
        follower = following.follower
        mine = Ownership(self._app, self._formerly, tuple(sorted(follower.types)))
        if isinstance(follower, Projector):
            return f"projection {follower.follows.name!r} version {follower.follows.version}", mine, True
        return f"reactor {follower.follows.name!r}", mine, False
