"""Whose a checkpoint is: an App, and the events that it follows. Two Apps that share one would fold for each other."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.errors import ConfigurationError, Contended
from twofold.feed.checkpoints import Checkpoints, FollowerId, Ownership

TRIES = 20


def agreed(what: str, kept: Ownership | None, mine: Ownership, *, same_events: bool) -> Ownership:
    """What is to be kept from now on, where this was `kept` and `mine` is the App that is opened.

    While an App is renamed both names work: as long as the new one is opened with `formerly=`. Where nothing is kept,
    because nobody has opened it since this is recorded, the first one gets it.

    Raises: ConfigurationError when it belongs to another App or, with `same_events`, follows other events.
    """
    if kept is None:
        return mine
    check_app(what, kept, mine)
    if same_events and kept.events != mine.events:
        raise ConfigurationError(
            f"{what} follows {_changes(kept.events, mine.events)} what its table was built with. The table lacks what "
            f"came before, and a process of the older code may hold it: raise the version"
        )
    return kept if _is_old_name(kept, mine) else mine


def check_app(what: str, kept: Ownership, mine: Ownership) -> None:
    """Raises: ConfigurationError when it belongs to another App."""
    if kept.app in (mine.app, mine.formerly) or _is_old_name(kept, mine):
        return
    raise ConfigurationError(
        f"{what} of App {mine.app!r} lies in this store already as one of App {kept.app!r}: two Apps cannot share it. "
        f"Rename it in one of them, or give one of them a store of its own. If App {kept.app!r} is this App under its "
        f"former name, open it as App({mine.app!r}, …, formerly={kept.app!r})"
    )


async def assign(
    checkpoints: Checkpoints, what: str, follower: FollowerId, mine: Ownership, *, same_events: bool
) -> None:
    """Keep whose it is. The checkpoint is there. Raises: as `agreed`, Unavailable."""
    for _ in range(TRIES):
        kept = await checkpoints.belongs(follower)
        now = agreed(what, kept, mine, same_events=same_events)
        if now == kept or await checkpoints.assign(follower, kept, now):
            return
    raise Contended(f"{what}: others changed its checkpoint each time it was to be noted whose it is; try again")


def _is_old_name(kept: Ownership, mine: Ownership) -> bool:
    return kept.formerly == mine.app


def _changes(kept: Sequence[str], mine: Sequence[str]) -> str:
    more, less = (", ".join(sorted(set(a) - set(b))) for a, b in ((mine, kept), (kept, mine)))
    return " and ".join([*([f"{more} beside"] if more else []), *([f"no {less}, unlike"] if less else [])])
