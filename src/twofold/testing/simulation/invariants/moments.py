"""What a read may have seen: the rows at some moment between its token and its end, in each partition by itself."""

from __future__ import annotations

from itertools import product
from typing import Any

from twofold.messages import Entry, Position, Token
from twofold.read.projection import Projection
from twofold.read.query import Page
from twofold.testing.simulation.attempts import Attempt
from twofold.testing.simulation.courses import BITS, END, Courses
from twofold.testing.simulation.oracle import Fold
from twofold.testing.simulation.violations import difference
from twofold.testing.simulation.watch import Watcher

_ANY = 1 << 62  # an offset beyond all events


class Moments:
    """For one read. Of a projection that each version follows in another way, either way will do."""

    def __init__(self, courses: Courses, watcher: Watcher, attempt: Attempt, token: Token | None) -> None:
        self._courses, self._attempt = courses, attempt
        self._token = None if token is None else token.position
        name = attempt.asked.projection
        several = [number for number in courses.partitions if (name, number) in watcher.folds]
        ways = [[0], several] if (name, 0) in watcher.folds and 0 not in several else [several or [0]]
        self._ways = [{number: watcher.folds[name, number] for number in way} for way in ways if way]
        self._key = attempt.key

    @property
    def token_is_beyond(self) -> bool:
        """Whether it lies beyond the end of the log."""
        return self._token is not None and not self._token.is_beginning and self._event(self._token) is None

    def _event(self, token: Position) -> Entry | None:
        """The event at a position, which may now lie in a part of its partition.

        Both parts may come to have one with this offset: the token is of the one that was there before the read.
        """
        for number in self._courses.partitions:
            if token.partition in self._courses.lineage(number):
                course = self._courses[number]
                index = self._before(number, token)
                if index and course.entries[index - 1].position.offset == token.offset:
                    return course.entries[index - 1]
        return None

    def _before(self, number: int, token: Position) -> int:
        """How many events up to a token a feed had before the read. Later ones cannot be asked for."""
        before = self._courses.length_then(number, self._attempt.lengths_before)
        return min(before, self._courses[number].index(token))

    def _since(self, number: int) -> tuple[range, int]:
        """The moments in a feed since the token, and the token's offset there."""
        end = self._courses.length_then(number, self._attempt.lengths_after)
        if self._token is None or self._token.is_beginning:
            return range(end + 1), 0
        if self._token.partition in self._courses.lineage(number):
            since = self._before(number, self._token)
            return range(since, max(since, end) + 1), self._token.offset
        if number in self._courses.partitions:
            return range(end + 1), 0
        return self._since_merged(self._token, end)

    def _since_merged(self, token: Position, end: int) -> tuple[range, int]:
        event = self._event(token)
        merged = None if event is None else self._courses.merged(event)
        if merged is None:
            return range(0), 0
        index = self._courses[0].index(merged.position)
        return range(index, max(index, end) + 1), (merged.position.offset >> BITS) << BITS | END

    def _mine(self, way: dict[int, Fold]) -> list[int]:
        """The feeds whose events the row has."""
        if len(way) == 1:
            return list(way)
        return [self._courses.partition_of(str(self._key[0]))]

    def waits(self) -> bool:
        """Whether the row waited at one of them."""
        for way in self._ways:
            for number in self._mine(way):
                moments, since = self._since(number)
                upto = _ANY if number == 0 and self._may_be_in_several else since
                if any(way[number].waits(self._key, at, upto) for at in moments):
                    return True
        return False

    @property
    def _may_be_in_several(self) -> bool:
        """Whether several parts may have the token's event: the merged feed is then read up to there in all of them."""
        return self._token is not None and self._token.partition in self._courses.parents.values()

    def have(self, row: Any) -> bool:
        """Whether this was the row at one of them, and did not wait."""
        for way in self._ways:
            for number in self._mine(way):
                fold, (moments, since) = way[number], self._since(number)
                values = None if row is None else fold.projection.format.to_values(row)
                if any(
                    fold.tables[at].get(self._key) == values and not fold.waits(self._key, at, since) for at in moments
                ):
                    return True
        return False

    def differ_from(self, page: Page[Any]) -> str | None:
        """None where one moment in each feed has these rows, and as many parked; else what is different."""
        closest = ""
        for way in self._ways:
            parked: list[set[int]] = []
            for number, fold in way.items():
                found = dict(_keyed(fold.projection, row) for row in page.rows)
                if len(way) > 1:
                    found = {key: v for key, v in found.items() if self._courses.partition_of(str(key[0])) == number}
                moments, _ = self._since(number)
                parked.append({len(fold.parked[at]) for at in moments if fold.tables[at] == found})
                if not parked[-1]:
                    closest = difference(
                        fold.tables[self._courses.length_then(number, self._attempt.lengths_after)], found
                    )
            if any(sum(numbers) == page.parked for numbers in product(*parked)):
                return None
        return closest or f"{page.parked} parked"


def _keyed(projection: Projection[Any], row: Any) -> tuple[Any, Any]:
    values = projection.format.to_values(row)
    return projection.key_in(values), values
