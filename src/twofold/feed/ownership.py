"""Which App a checkpoint belongs to, and which events it follows. Apps that share one would fold for each other."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.errors import ConfigurationError, Contended
from twofold.feed.checkpoints import Checkpoints, FollowerId, Ownership

TRIES = 20


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
