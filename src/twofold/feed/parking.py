"""What is parked: how much may be, and how somebody looks at it and lets it go on."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from twofold.errors import ConfigurationError, InvalidInput
from twofold.feed.checkpoints import FollowerId, Parked
from twofold.feed.follow import Following
from twofold.messages import Entry, Position

MOST_PARKED = 100
WITHIN_S = 60.0


class ParkingLimit:
    """More than 100 keys within a minute are a bad deployment, not bad events: whoever meets the next one stops."""

    def __init__(self) -> None:
        self._when: deque[float] = deque()

    def first_too_many(self, parked: Sequence[Parked]) -> Parked | None:
        """The one, in order of position, that may not be parked any more; None when all of them may."""
        now = asyncio.get_running_loop().time()
        while self._when and self._when[0] <= now - WITHIN_S:
            self._when.popleft()
        room = MOST_PARKED - len(self._when)
        in_order = sorted(parked, key=lambda one: (one.position, one.kind, one.key))
        return in_order[room] if len(in_order) > room else None

    def count(self, parked: Sequence[Parked]) -> None:
        """These are parked now."""
        self._when.extend([asyncio.get_running_loop().time()] * len(parked))


def too_many(follows: FollowerId, next_one: Parked) -> ConfigurationError:
    """What stops the follower, and the way out."""
    return ConfigurationError(
        f"{follows}: {MOST_PARKED} keys were parked within a minute, and the next would be {next_one.kind} "
        f"{next_one.key} at {next_one.position}: {next_one.error}. That is a bad deployment, not a bad event: it stops "
        f"before that event, and nothing is lost. Deploy code that can handle them, then `twofold parked APP retry "
        f"{follows.name} --all`"
    )


class Unparked(msgspec.Struct, frozen=True):
    """What became of what was tried again: what waits no longer, what waits again, and how many events were handled."""

    done: Sequence[Parked]
    again: Sequence[Parked]
    events: int

    def and_also(self, other: Unparked) -> Unparked:
        """Together with that of another partition."""
        return Unparked([*self.done, *other.done], [*self.again, *other.again], self.events + other.events)


class Unparker(Protocol):
    """How a follower lets go on what is parked of it. `owner` is who takes its checkpoint over meanwhile."""

    async def retry(self, chosen: Sequence[Parked], owner: str) -> Unparked:
        """Handle exactly the events that wait, in order, once. What fails again waits from there on.

        Raises: InvalidInput, Unavailable.
        """
        ...

    async def discard(self, chosen: Sequence[Parked], owner: str) -> Sequence[Parked]:
        """Give up the events that wait by now; later ones are handled again. Answers what it was.

        Raises: InvalidInput, Unavailable.
        """
        ...


class ParkedEvent(msgspec.Struct, frozen=True):
    """One parked key as it is shown: whose it is, and the event at which it stopped."""

    follower: FollowerId
    parked: Parked
    event: Entry | None


class Parking:
    """What is parked of all projections and reactors of an App: by name, in each partition that it follows."""

    def __init__(self, followers: Mapping[str, Sequence[tuple[Following, Unparker]]], owner: str) -> None:
        self.followers, self._owner = followers, owner

    async def list(self, name: str | None = None, key: str | None = None) -> Sequence[ParkedEvent]:
        """What waits, of all or of one, in order of position, with tracebacks. Raises: InvalidInput, Unavailable."""
        found: list[ParkedEvent] = []
        for known in self.followers if name is None else [name]:
            for following, _, chosen in await self._chosen(known, key):
                follower = following.follower_id
                for one in chosen:
                    whole = msgspec.structs.replace(one, traceback=await following.checkpoints.traceback(follower, one))
                    found.append(ParkedEvent(follower, whole, await _event(following, one.position)))
        return found

    async def traceback(self, name: str, one: Parked) -> str:
        """Where its error came from."""
        for following, _ in self._of(name):
            if following.feed.partition == one.position.partition:
                return await following.checkpoints.traceback(following.follower_id, one)
        return ""

    async def retry(self, name: str, key: str | None = None) -> Unparked:
        """Handle what waits once more, of one key or of all. Raises: InvalidInput, Unavailable."""
        total = Unparked([], [], 0)
        for _, unparks, chosen in await self._chosen(name, key):
            if chosen:
                total = total.and_also(await unparks.retry(chosen, self._owner))
        return total

    async def discard(self, name: str, key: str | None = None) -> Sequence[Parked]:
        """Give up what waits, of one key or of all. Raises: InvalidInput, Unavailable."""
        return [
            one
            for _, unparks, chosen in await self._chosen(name, key)
            if chosen
            for one in await unparks.discard(chosen, self._owner)
        ]

    def _of(self, name: str) -> Sequence[tuple[Following, Unparker]]:
        found = self.followers.get(name)
        if found is None:
            raise InvalidInput(f"there is no projection or reactor {name!r}; there is {', '.join(self.followers)}")
        return found

    async def _chosen(self, name: str, key: str | None) -> Sequence[tuple[Following, Unparker, Sequence[Parked]]]:
        """What waits under a key, or all of it, in each partition."""
        found = []
        for following, unparks in self._of(name):
            parked = await following.checkpoints.parked(following.follower_id)
            chosen = [one for one in parked if key is None or key in _names(one)]
            found.append((following, unparks, chosen))
        if key is not None and not any(chosen for _, _, chosen in found):
            raise InvalidInput(f"nothing of {name} is parked under {key!r}: look with `twofold parked APP list {name}`")
        return found


def _names(one: Parked) -> set[str]:
    """How somebody may write a key: as it is shown, or a single one without brackets and quotes."""
    names = {one.key}
    if one.kind == "row":
        values = json.loads(one.key)
        if len(values) == 1:
            names.add(str(values[0]))
    return names


async def _event(following: Following, position: Position) -> Entry | None:
    page = await following.feed.read(following.feed.before(position), 1)
    return page.entries[0] if page.entries else None
