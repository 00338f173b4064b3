"""Logs of several partitions: which feeds a log has. A capability of a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from twofold.feed.feed import Feed

F = TypeVar("F", bound=Feed)


@runtime_checkable
class Parts(Protocol):
    """A log of several partitions. Read as a `Feed` it is the merged feed: one order over all of them."""

    @property
    def parts(self) -> Mapping[int, Any]:
        """The partitions by number, from 1: each a log with a feed, of the same kind as the whole."""
        ...

    @property
    def gated(self) -> Mapping[int, Feed]:
        """Their feeds for reactors, which end at the newest cut once there is one."""
        ...

    def partition_of(self, id: str) -> int:
        """The number of the partition that holds the streams with this id, whatever their category."""
        ...


def feeds(log: F) -> Mapping[int, F]:
    """Each partition's feed by number: `{0: log}` for an ordinary log."""
    return log.parts if isinstance(log, Parts) else {log.partition: log}


def reacting(log: Feed) -> Mapping[int, Feed]:
    """Each partition's feed as reactors read it: `{0: log}` for an ordinary log."""
    return log.gated if isinstance(log, Parts) else {log.partition: log}
