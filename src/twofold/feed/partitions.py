"""Partitioned logs: which feeds a log has. A capability of a log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from twofold.errors import InvalidToken
from twofold.feed.feed import Feed
from twofold.messages import Position

F = TypeVar("F", bound=Feed)


@runtime_checkable
class Parts(Protocol):
    """A log of several partitions. As a `Feed` it is the merged feed: one order over all partitions."""

    @property
    def parts(self) -> Mapping[int, Any]:
        """The partitions by number, from 1: each is a log with a feed, like the whole."""
        ...

    @property
    def gated(self) -> Mapping[int, Feed]:
        """Their feeds for reactors, which end at the newest cut once there is one."""
        ...

    async def covered_by(self, positions: Sequence[Position]) -> Sequence[Position]:
        """How far a follower has at least come in every partition, and in the merged feed (see `covered_by`)."""
        ...

    def partition_of(self, id: str) -> int:
        """The number of the partition that holds the streams with this id, whatever their category."""
        ...


@runtime_checkable
class Splitting(Protocol):
    """A log whose partitions split. A position of one is a position of each of its parts, with the same offset."""

    @property
    def former(self) -> Mapping[int, Feed]:
        """The feeds of the partitions that have split, which end where they did; only for reading up to a place."""
        ...

    def parents(self) -> Sequence[int | None]:
        """For each partition by its number, from 1: the one that it is a part of; None if it is original."""
        ...

    async def refresh(self) -> None:
        """Learn of new partitions. Raises: Unavailable."""
        ...

    def tell(self, changed: Callable[[], None]) -> None:
        """Call this function when this process has learned of new partitions."""
        ...

    def tell_no_more(self, changed: Callable[[], None]) -> None:
        """Call it no more."""
        ...


def ancestors(log: Feed, partition: int) -> Sequence[int]:
    """The partitions that a partition was split from, the original one first."""
    found: list[int] = []
    parents = log.parents() if isinstance(log, Splitting) else ()
    parent = parents[partition - 1] if 0 < partition <= len(parents) else None
    while parent is not None:
        found.insert(0, parent)
        parent = parents[parent - 1]
    return found


def parts_of(log: Feed, partition: int) -> Sequence[int]:
    """The partitions that a partition has split into; empty if it has not."""
    if partition == log.partition or not isinstance(log, Splitting):
        return ()
    return [number for number, parent in enumerate(log.parents(), 1) if parent == partition]


def apart_from(log: Feed, partition: int) -> Collection[int]:
    """The known partitions that have no events in common with one."""
    kin = {partition, *ancestors(log, partition)}
    known = range(1, len(log.parents()) + 1) if isinstance(log, Splitting) else ()
    return [number for number in known if number not in kin and partition not in ancestors(log, number)]


def leaves_of(log: Feed, partition: int) -> Sequence[int]:
    """The partitions that contain the events of a partition now: itself, unless it has split."""
    parts = parts_of(log, partition)
    return [leaf for part in parts for leaf in leaves_of(log, part)] if parts else [partition]


def leaf_of(log: Feed, partition: int, id: str) -> int:
    """The part of a partition, at the first split, that holds the streams with this id."""
    leaf = partition_of(log, id)
    return next(part for part in parts_of(log, partition) if part == leaf or part in ancestors(log, leaf))


def place_in(log: Feed, partition: int, positions: Iterable[Position]) -> Position:
    """How far a reader at these positions is in a partition; if it is new to the reader, in the one that it comes from.

    At its beginning if none of the positions concerns it.
    """
    at = {position.partition: position.offset for position in positions}
    kin = [partition, *reversed(ancestors(log, partition))]
    return Position(partition, next((at[one] for one in kin if one in at), 0))


async def learn(log: Feed, partitions: Iterable[int]) -> None:
    """Learn of new partitions, if some of these are not known. Raises: Unavailable."""
    if isinstance(log, Splitting) and max(partitions, default=0) > len(log.parents()):
        await log.refresh()


def related(log: Feed, partition: int, positions: Iterable[Position]) -> Sequence[Position]:
    """The positions that concern a follower of a partition: in it, its ancestors, or parts of it."""
    if partition == log.partition:
        return list(positions)
    mine = {partition, *ancestors(log, partition)}
    return [one for one in positions if one.partition in mine or partition in ancestors(log, one.partition)]


def feeds(log: F) -> Mapping[int, F]:
    """Each partition's feed by number: `{0: log}` for an ordinary log."""
    return log.parts if isinstance(log, Parts) else {log.partition: log}


def partitions_of(log: Feed, *, spread: bool) -> Sequence[int]:
    """The partitions that a follower has a checkpoint in: each one if it is spread, else that of the log as a whole."""
    return list(feeds(log)) if spread else [log.partition]


def partition_of(log: Feed, id: str) -> int:
    """The partition that holds the streams with this id."""
    return log.partition_of(id) if isinstance(log, Parts) else log.partition


def reacting(log: Feed) -> Mapping[int, Feed]:
    """Each partition's feed as reactors read it: `{0: log}` for an ordinary log."""
    return log.gated if isinstance(log, Parts) else {log.partition: log}


def feed_of(log: Feed, partition: int) -> Feed:
    """The feed of one partition. Raises: InvalidToken when the log has no such partition."""
    if partition == log.partition:
        return log
    if isinstance(log, Parts) and partition in log.parts:
        part: Feed = log.parts[partition]
        return part
    if isinstance(log, Splitting) and partition in log.former:
        former: Feed = log.former[partition]
        return former
    raise InvalidToken(f"this log has no partition {partition}")


async def heads(log: Feed, partition: int) -> Sequence[Position]:
    """The newest event of a partition; if it has split, of each of its parts.

    Raises: Unavailable, LogReplaced; InvalidToken when the log has no such partition.
    """
    return await _heads(log, lambda: leaves_of(log, partition))


async def ends(log: Feed, feed: Feed) -> Sequence[Position]:
    """The newest event of each partition that a feed is made of. Raises: Unavailable, LogReplaced."""
    return await _heads(log, lambda: list(feeds(log))) if feed.partition == log.partition else [await feed.head()]


async def _heads(log: Feed, partitions: Callable[[], Sequence[int]]) -> Sequence[Position]:
    while True:
        those = partitions()
        found = [await feed_of(log, one).head() for one in those]
        if partitions() == those:  # else one has split, and its parts may have got further
            return found


async def has_passed(feed: Feed, position: Position, events: Sequence[Position]) -> bool:
    """Whether a reader at a position of this feed has read all these events. Raises: Unavailable."""
    places = [await feed.covering(event) for event in events]
    return all(place is not None and place <= position for place in places)


async def covered_by(log: Feed, positions: Sequence[Position]) -> Sequence[Position]:
    """How far a follower at these positions has at least come: a position for each partition number.

    The positions are in every partition, or one in the merged feed: a version of a read model may follow the partitions
    although its predecessor followed the merged feed, or the other way round. Raises: Unavailable.
    """
    return await log.covered_by(positions) if isinstance(log, Parts) else positions
