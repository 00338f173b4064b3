"""Finds the event from which a row of a read model no longer matches the feed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from twofold.codec import Codec
from twofold.feed.checkpoints import Parked
from twofold.feed.feed import Feed
from twofold.feed.partitions import feed_of, place_in
from twofold.messages import Position, Recorded
from twofold.progress import Progress
from twofold.read.columns import Values
from twofold.read.parked import ParkedKeys
from twofold.read.projection import Key, Projection
from twofold.read.selector import Failure, Selector


class Since(msgspec.Struct, frozen=True):
    """The event after which a row differs. `agreed_before`: until then it matched the feed."""

    event: str
    type: str
    position: Position
    agreed_before: bool


class Suspect(msgspec.Struct, frozen=True):
    """A row that differs, and where it was compared: a position for each partition.

    `agrees` returns whether a state of the fold matches the row as it is now.
    """

    key: Key
    at: Sequence[Position]
    agrees: Callable[[Values | None], bool]


async def trace(
    suspects: Sequence[Suspect],
    projection: Projection[Any],
    log: Feed,
    codec: Codec,
    left_out: Sequence[Parked | Failure],
    *,
    progress: Progress,
) -> dict[Key, Since]:
    """For each row, the event right after the last moment at which it could still have been right.

    The rows' events are folded again, one by one. After some of them the fold may match the row as it is now, in all
    columns that differ at the end; the result is the event after the last of these. If the fold never matched, it is
    the row's first event. A row without events has no result.
    """
    newest = max((suspect.at for suspect in suspects), key=lambda at: max(place.partition for place in at))
    partitions = [place.partition for place in newest]  # where one has split between two pages, those of the later one
    places = {one.key: [place_in(log, partition, one.at) for partition in partitions] for one in suspects}
    courses = {suspect.key: _Course(projection, suspect, places[suspect.key]) for suspect in suspects}
    selector, parked = Selector(projection, codec, courses.__contains__), ParkedKeys(left_out)
    ends = [max(of_one) for of_one in zip(*places.values(), strict=True)]
    feeds = [feed_of(log, end.partition) for end in ends]
    lengths = [await feed.distance(Position(feed.partition, 0), end) for feed, end in zip(feeds, ends, strict=True)]
    before = 0
    for feed, end, length in zip(feeds, ends, lengths, strict=True):
        beginning = Position(feed.partition, 0)
        async with aclosing(selector.pages(feed, beginning, end, parked)) as history:
            async for page in history:
                for key, of_key in page.events.items():
                    for recorded in of_key:
                        courses[key].take(recorded)
                progress("tracing", before + await feed.distance(beginning, page.upto), sum(lengths))
        before += length
    return {key: course.since for key, course in courses.items() if course.since is not None}


class _Course:
    """Traces one row through the feed, up to a place in each partition."""

    def __init__(self, projection: Projection[Any], suspect: Suspect, upto: Sequence[Position]) -> None:
        self._projection, self._suspect = projection, suspect
        self._upto = {place.partition: place for place in upto}
        self._values: Values | None = None
        self._ever = suspect.agrees(None)
        self.since: Since | None = None

    def take(self, recorded: Recorded) -> None:
        """Fold one more event."""
        if recorded.position > self._upto[recorded.position.partition]:
            return
        folded = self._projection.fold(self._suspect.key, self._values, [recorded])
        self._values = folded.values
        if self._suspect.agrees(folded.values):
            self.since, self._ever = None, True
        elif self.since is None:
            self.since = Since(recorded.id, type(recorded.event).__name__, recorded.position, self._ever)
