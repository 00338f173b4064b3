"""What is parked is listed, retried and discarded by an operator."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from twofold.errors import InvalidInput
from twofold.feed.checkpoints import FollowerId, Parked
from twofold.feed.follow import Following
from twofold.feed.partitions import feed_of
from twofold.messages import Entry, Position


class Unparked(msgspec.Struct, frozen=True):
    """The result of a retry: what is no longer parked, what is parked again, and how many events were handled."""

    done: Sequence[Parked]
    again: Sequence[Parked]
    events: int

    def and_also(self, other: Unparked) -> Unparked:
        """This result combined with that of another partition."""
        return Unparked([*self.done, *other.done], [*self.again, *other.again], self.events + other.events)


class Unparker(Protocol):
    """Retries and discards what is parked of a follower. `owner` holds its checkpoint meanwhile."""

    async def retry(self, chosen: Sequence[Parked], owner: str) -> Unparked:
        """Handle exactly the parked events, in order, once. What fails again stays parked from there on.

        Raises: InvalidInput, Unavailable.
        """
        ...

    async def discard(self, chosen: Sequence[Parked], owner: str) -> Sequence[Parked]:
        """Give up the events parked so far; later ones are handled again. Returns what was discarded.

        Raises: InvalidInput, Unavailable.
        """
        ...


class ParkedEvent(msgspec.Struct, frozen=True):
    """A parked key as shown to an operator, with its follower and the event at which it is parked."""

    follower: FollowerId
    parked: Parked
    event: Entry | None


class Parking:
    """What is parked of an App's projections and reactors, by name, in all their partitions."""

    def __init__(self, followers: Mapping[str, Sequence[tuple[Following, Unparker]]], owner: str) -> None:
        self.followers, self._owner = followers, owner

    async def list(self, name: str | None = None, key: str | None = None) -> Sequence[ParkedEvent]:
        """What is parked, of all or of one, by position, with tracebacks. Raises: InvalidInput, Unavailable."""
        events: list[ParkedEvent] = []
        for following, _, chosen in await self._chosen(name, key):
            follower = following.follower_id
            for parked in chosen:
                traceback = await following.checkpoints.traceback(follower, parked)
                event = await _event(following, parked.position)
                events.append(ParkedEvent(follower, msgspec.structs.replace(parked, traceback=traceback), event))
        return events

    async def traceback(self, name: str, parked: Parked) -> str:
        """The traceback of its error, or an empty text."""
        for following, _ in self._of(name):
            if following.feed.partition == parked.position.partition:
                return await following.checkpoints.traceback(following.follower_id, parked)
        return ""

    async def retry(self, name: str, key: str | None = None) -> Unparked:
        """Handle what is parked again, of one key or of all. Raises: InvalidInput, Unavailable."""
        total = Unparked([], [], 0)
        for _, unparks, chosen in await self._chosen(name, key):
            if chosen:
                total = total.and_also(await unparks.retry(chosen, self._owner))
        return total

    async def discard(self, name: str, key: str | None = None) -> Sequence[Parked]:
        """Give up what is parked, of one key or of all. Raises: InvalidInput, Unavailable."""
        return [
            one
            for _, unparks, chosen in await self._chosen(name, key)
            if chosen
            for one in await unparks.discard(chosen, self._owner)
        ]

    def _of(self, name: str) -> Sequence[tuple[Following, Unparker]]:
        followings = self.followers.get(name)
        if followings is None:
            raise InvalidInput(f"there is no projection or reactor {name!r}; this App has {', '.join(self.followers)}")
        return followings

    async def _chosen(
        self, name: str | None, key: str | None
    ) -> Sequence[tuple[Following, Unparker, Sequence[Parked]]]:
        """What is parked under a key, or everything, of one or of all, in each partition."""
        by_partition = []
        for known in list(self.followers) if name is None else [name]:
            for following, unparks in self._of(known):
                parked = await following.checkpoints.parked(following.follower_id)
                chosen = [one for one in parked if key is None or key in _names(one)]
                by_partition.append((following, unparks, chosen))
        if key is not None and not any(chosen for _, _, chosen in by_partition):
            if name is None:
                raise InvalidInput(f"nothing is parked under {key!r}: see `twofold parked APP list`")
            raise InvalidInput(f"nothing of {name} is parked under {key!r}: see `twofold parked APP list {name}`")
        return by_partition


def _names(parked: Parked) -> set[str]:
    """The ways to write a key: as it is shown, or, for a key of one field, without brackets and quotes."""
    names = {parked.key}
    if parked.kind == "row":
        values = json.loads(parked.key)
        if len(values) == 1:
            names.add(str(values[0]))
    return names


async def _event(following: Following, position: Position) -> Entry | None:
    feed = feed_of(following.log, position.partition)  # a reactor's own may end before an event that it has handled
    page = await feed.read(feed.before(position), 1, None, position)
    return page.entries[0] if page.entries else None
