"""The cuts of a partitioned log: version k of one stream, in a log of its own, holds the vector of cut k."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from twofold.backends.partitioned.order import Vector
from twofold.errors import LogReplaced, OutcomeUnknown, Unavailable
from twofold.messages import Append, Encoded, Meta, Position, Receipt, Stream
from twofold.write.log import Log

BLOCK = 64  # vectors read at once
MOST_KEPT = 4_096

_VECTOR = msgspec.json.Decoder(tuple[int, ...])


class Cut(msgspec.Struct, frozen=True):
    """A cut, and its position in the log of the cuts."""

    number: int
    vector: Vector
    position: Position


class Lineage(Protocol):
    """The partitions of a log: which are parts of which."""

    def parents(self) -> Sequence[int | None]:
        """For each partition by its number, from 1: the one that split into it and others; None if it is original."""
        ...

    async def refresh(self) -> None:
        """Learn of new ones. Raises: Unavailable."""
        ...


class Fixed:
    """A number of partitions, none of which ever splits."""

    def __init__(self, parts: int) -> None:
        self._parents = (None,) * parts

    def parents(self) -> Sequence[int | None]:
        """See `Lineage.parents`."""
        return self._parents

    async def refresh(self) -> None:
        """Does nothing."""


class CutStore(Log, Protocol):
    """What is needed of the log of the cuts: of its feed only its end, and the doorbell."""

    @property
    def partition(self) -> int:
        """See `Feed.partition`."""
        ...

    async def head(self) -> Position:
        """See `Feed.head`."""
        ...

    async def wait(self, after: Position, timeout_s: float) -> None:
        """See `Feed.wait`."""
        ...


class Cuts:
    """The cuts this process knows: the newest, when it was learned (loop time, seconds), and some older vectors."""

    def __init__(self, log: CutStore, lineage: Lineage, new_id: Callable[[], str]) -> None:
        self.log, self.lineage, self._new_id = log, lineage, new_id
        self.forget()

    def forget(self) -> None:
        """Start over: under a new id the log has no cut yet."""
        self.newest = Cut(0, self._beginning, Position(self.log.partition, 0))
        self.learned_at = -math.inf
        self._vectors: OrderedDict[int, Vector] = OrderedDict()

    @property
    def _beginning(self) -> Vector:
        return tuple(0 for parent in self.lineage.parents() if parent is None)

    @property
    def _stream(self) -> Stream:
        return Stream("cut", self.log.log_id)  # with the id, so that cuts from before a new id do not count

    async def learn(self) -> Cut:
        """The newest cut. Raises: Unavailable, LogReplaced."""
        await self._skip_other_events()
        known = self.newest
        loaded = await self.log.load(self._stream, last=1, after=max(0, known.number - 1))
        if not loaded.events:
            if known.number:
                raise self._shorter(known.number)
            return known
        vector = _VECTOR.decode(loaded.events[0][2])
        await self._learn_of_parts([vector])
        if loaded.version == known.number and vector != known.vector:
            raise self._shorter(known.number)
        self._heard(Cut(loaded.version, vector, loaded.position))
        return self.newest

    async def _learn_of_parts(self, vectors: Iterable[Vector]) -> None:
        """Learn of the partitions that these are of, so that what is done with a vector is done with all of it."""
        if max(map(len, vectors), default=0) > len(self.lineage.parents()):
            await self.lineage.refresh()

    async def _skip_other_events(self) -> None:
        """Before the first cut: other events in this log are not news, or a reader would never wait."""
        if self.newest.number == 0:
            head = await self.log.head()
            if self.newest.number == 0:  # no other task has learned of a cut since
                self.newest = Cut(0, self.newest.vector, head)

    async def add(self, last: Cut, vector: Vector) -> Cut | None:
        """Propose the cut after `last`. Returns it if it was accepted; if another one was, that is learned.

        By then it may not be the newest any more. Raises: Unavailable, also when the outcome is unknown; LogReplaced.
        """
        command_id = self._new_id()
        event = Encoded("Cut", 1, msgspec.json.encode(vector), None)
        append = Append(self._stream, [event], last.number, Meta(command_id, command_id))
        try:
            [outcome] = await self.log.commit([append])
        except OutcomeUnknown as error:
            raise Unavailable(f"the log of the cuts: {error}") from error
        if not isinstance(outcome, Receipt):
            await self.learn()
            return None
        cut = Cut(outcome.version, vector, outcome.position)
        self._heard(cut)
        return cut

    def _heard(self, cut: Cut) -> None:
        if cut.number > self.newest.number:
            self.newest, self.learned_at = cut, asyncio.get_running_loop().time()
            self._keep([(cut.number, cut.vector)])

    async def vector(self, number: int) -> Vector:
        """The vector of an existing cut. Raises: Unavailable, LogReplaced."""
        if number == 0:
            return self._beginning
        if number not in self._vectors:
            first = (number - 1) // BLOCK * BLOCK + 1
            entries = await self.log.read_stream(self._stream, first, BLOCK)
            read = [(entry.version, _VECTOR.decode(entry.data)) for entry in entries]
            await self._learn_of_parts(vector for _, vector in read)
            self._keep(read)
        if number not in self._vectors:
            raise self._shorter(number)
        self._vectors.move_to_end(number)
        return self._vectors[number]

    async def around(self, first: int) -> list[Vector]:
        """The vectors of the cut before this one, of this one, and of later ones as far as they are cached.

        All are of the same partitions: where one splits, they end.
        """
        before, vector = await self.vector(first - 1), await self.vector(first)
        vectors = [self.whole(before)[: len(vector)], vector]
        while len(vectors) <= BLOCK:
            following = self._vectors.get(first + len(vectors) - 1)
            if following is None or len(following) != len(vector):
                break
            vectors.append(following)
        return vectors

    def whole(self, vector: Vector) -> Vector:
        """The same place in all partitions that there are now: the parts of one that split begin where it ended."""
        parents = self.lineage.parents()
        if len(vector) >= len(parents):
            return vector
        found = list(vector)
        for parent in parents[len(vector) :]:
            found.append(0 if parent is None else found[parent - 1])
        return tuple(found)

    def reached(self, vector: Vector, number: int) -> int:
        """Up to where the events of a partition are in a cut, be it the cut of its parent or of its parts."""
        parents = self.lineage.parents()
        if number > len(vector):
            parent = parents[number - 1]
            return 0 if parent is None else self.reached(vector, parent)
        parts = [n for n, parent in enumerate(parents[: len(vector)], 1) if parent == number]
        own = vector[number - 1]
        return max(own, min(self.reached(vector, part) for part in parts)) if parts else own

    def _keep(self, vectors: Iterable[tuple[int, Vector]]) -> None:
        self._vectors.update(vectors)
        while len(self._vectors) > MOST_KEPT:
            self._vectors.popitem(last=False)

    async def first_reaching(self, part: int, offset: int) -> int | None:
        """The first cut that contains the event at `offset` of this partition; None if there is none yet.

        Vectors never decrease, so this is a binary search. It starts near the newest cut, where most lookups end.
        Raises: Unavailable, LogReplaced.
        """
        if offset == 0:
            return 0
        newest = self.newest if self.reached(self.newest.vector, part) >= offset else await self.learn()
        if self.reached(newest.vector, part) < offset:
            return None
        low, high, step = 0, newest.number, 1
        while high - step > low:
            if self.reached(await self.vector(high - step), part) < offset:
                low = high - step
            else:
                high, step = high - step, step * 2
        while high - low > 1:
            middle = (low + high) // 2
            if self.reached(await self.vector(middle), part) < offset:
                low = middle
            else:
                high = middle
        return high

    async def last_within(self, vector: Vector) -> int:
        """The last cut that contains nothing beyond this vector; 0 if even the first one does."""
        low, high = 0, (await self.learn()).number + 1
        upto = self.whole(vector)  # only now: a partition may have split, and the parts are in the newest cuts
        while high - low > 1:
            middle = (low + high) // 2
            if all(a <= b for a, b in zip(await self.vector(middle), upto, strict=False)):
                low = middle
            else:
                high = middle
        return low

    def _shorter(self, number: int) -> LogReplaced:
        return LogReplaced(
            f"the log of the cuts no longer holds cut {number} as it was: an older copy replaced it. Put the newer one "
            f"back; if it is gone, run `twofold log new-id APP`, then `twofold rebuild APP --all`"
        )
