"""Whose the checkpoints in a store are: an App does not fold into a read model of another one."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.feed.belongs import agreed, assign, check_app
from twofold.feed.checkpoints import Belongs
from twofold.feed.follow import Following
from twofold.read.projector import Projector
from twofold.read.store import ReadStore


class Belonging:
    """The followers of one App, and what their checkpoints say about their owner."""

    def __init__(self, app: str, formerly: str | None, followers: Sequence[Following], rows: ReadStore) -> None:
        self._app, self._formerly, self._followers, self._rows = app, formerly, followers, rows

    async def check(self) -> None:
        """Nothing here belongs to another App: neither a checkpoint, nor another version of a projection.

        Raises: ConfigurationError, Unavailable.
        """
        versions = [table.follows for table in await self._rows.tables()]
        for following in self._followers:
            follows, checkpoints = following.follower.follows, following.checkpoints
            what, mine, same_events = self._of(following)
            agreed(what, await checkpoints.belongs(follows), mine, same_events=same_events)
            for other in versions if isinstance(following.follower, Projector) else ():
                if other.name == follows.name and other != follows:
                    kept = await checkpoints.belongs(other)
                    if kept is not None:
                        check_app(f"projection {follows.name!r}", kept, mine)

    async def register(self, following: Following) -> None:
        """Make its checkpoint where there is none, and record whose it is. Raises: ConfigurationError, Unavailable."""
        await following.register()
        what, mine, same_events = self._of(following)
        await assign(following.checkpoints, what, following.follower.follows, mine, same_events=same_events)

    def _of(self, following: Following) -> tuple[str, Belongs, bool]:
        """Its name in errors, whose it is, and whether its events are fixed: a reactor has no version to raise."""
        follower = following.follower
        mine = Belongs(self._app, self._formerly, tuple(sorted(follower.types)))
        if isinstance(follower, Projector):
            return f"projection {follower.follows.name!r} version {follower.follows.version}", mine, True
        return f"reactor {follower.follows.name!r}", mine, False
