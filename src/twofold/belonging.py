"""Which App the checkpoints in a store belong to: an App never folds into a read model of another one."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.errors import ConfigurationError, Contended
from twofold.feed.checkpoints import Checkpoints, FollowerId, Ownership
from twofold.feed.follow import Following
from twofold.feed.partitions import learn, parts_of
from twofold.messages import Position
from twofold.read.projector import Projector
from twofold.read.store import ReadStore

TRIES = 20


class Belonging:
    """The followers of one App, checked against the ownership recorded with their checkpoints."""

    def __init__(self, app: str, formerly: str | None, followers: Sequence[Following], rows: ReadStore) -> None:
        self._app, self._formerly, self._followers, self._rows = app, formerly, followers, rows

    async def check(self) -> None:
        """Check that no checkpoint, and no other version of a projection, belongs to another App.

        Raises: ConfigurationError, Unavailable.
        """
        versions = [table.follows for table in await self._rows.tables()]
        for following in list(self._followers):
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
        for following in list(self._followers):
            follows = following.follower_id
            found = await following.checkpoints.all_partitions(follows)
            await learn(following.log, [checkpoint.follower.partition for checkpoint in found])
            mine = {one.follower_id for one in self._followers}
            for checkpoint in found:
                split = parts_of(following.log, checkpoint.follower.partition)  # its parts take it over
                if checkpoint.follower not in mine and not split:
                    raise ConfigurationError(
                        f"{follows.whole} has a checkpoint in partition {checkpoint.follower.partition}, which this "
                        f"code does not follow: with key=, or a Rollup over it, a projection follows the merged feed, "
                        f"otherwise each partition separately. Raise its version to give it a new table"
                    )

    async def register(self, following: Following) -> None:
        """Create the checkpoint if there is none, and record its owner. Raises: ConfigurationError, Unavailable."""
        await following.register()
        what, mine, same_events = self._of(following)
        await assign(following.checkpoints, what, following.follower_id, mine, same_events=same_events)

    async def register_rollup(self, follower: FollowerId, log_id: str) -> None:
        """Create the checkpoint of a rollup if there is none, and record its owner. Raises: like `register`."""
        checkpoints, mine = self._rows.checkpoints, Ownership(self._app, self._formerly, ())
        await checkpoints.register(follower, log_id, Position(follower.partition, 0))
        await assign(checkpoints, f"rollup {follower.name!r}", follower, mine, same_events=False)

    def _of(self, following: Following) -> tuple[str, Ownership, bool]:
        """Its name in errors, its ownership, and whether its events are fixed. A reactor has no version to raise."""
        follower = following.follower
        mine = Ownership(self._app, self._formerly, tuple(sorted(follower.types)))
        if isinstance(follower, Projector):
            return f"projection {follower.follows.name!r} version {follower.follows.version}", mine, True
        return f"reactor {follower.follows.name!r}", mine, False


def agreed(what: str, kept: Ownership | None, mine: Ownership, *, same_events: bool) -> Ownership:
    """The ownership to store from now on, given the one that was `kept` and `mine` of the App being opened.

    While an App is renamed both names work, as long as the new one is opened with `formerly=`. A checkpoint without an
    owner, from before ownership was recorded, goes to the first App that opens it.

    Raises: ConfigurationError if it belongs to another App or, with `same_events`, follows other events.
    """
    if kept is None:
        return mine
    check_app(what, kept, mine)
    if same_events and kept.events != mine.events:
        raise ConfigurationError(
            f"{what} follows other events than its table was built with ({_changes(kept.events, mine.events)}), and a "
            f"process with older code may hold it: raise the version to build a new table"
        )
    return kept if _is_old_name(kept, mine) else mine


def check_app(what: str, kept: Ownership, mine: Ownership) -> None:
    """Raises: ConfigurationError if the checkpoint belongs to another App."""
    if kept.app in (mine.app, mine.formerly) or _is_old_name(kept, mine):
        return
    raise ConfigurationError(
        f"{what} of App {mine.app!r} already exists in this store and belongs to App {kept.app!r}: two Apps cannot "
        f"share it. Rename it in one of them, or use separate stores. If App {kept.app!r} is this App under its former "
        f"name, open it as App({mine.app!r}, …, formerly={kept.app!r})"
    )


async def assign(
    checkpoints: Checkpoints, what: str, follower: FollowerId, mine: Ownership, *, same_events: bool
) -> None:
    """Store the ownership of an existing checkpoint. Raises: like `agreed`, Contended, Unavailable."""
    for _ in range(TRIES):
        kept = await checkpoints.ownership(follower)
        now = agreed(what, kept, mine, same_events=same_events)
        if now == kept or await checkpoints.assign(follower, kept, now):
            return
    raise Contended(f"{what}: other processes changed the owner of its checkpoint {TRIES} times; try again")


def _is_old_name(kept: Ownership, mine: Ownership) -> bool:
    return kept.formerly == mine.app


def _changes(kept: Sequence[str], mine: Sequence[str]) -> str:
    changes = {"added": set(mine) - set(kept), "removed": set(kept) - set(mine)}
    return "; ".join(f"{change}: {', '.join(sorted(names))}" for change, names in changes.items() if names)
