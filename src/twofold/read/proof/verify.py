"""Proves a read model (G9): compares its rows with a fresh fold of the feed, while it keeps changing.

The rows are read in pages, each with the checkpoint of its own snapshot; the fresh fold is brought to exactly that
position, and then the page is compared. So no transaction is held open, and each row is compared at one position.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from hashlib import sha256
from typing import Any, Literal

import msgspec

from twofold.codec import Codec
from twofold.errors import InvalidInput, LogReplaced
from twofold.feed.checkpoints import Checkpoint, Parked
from twofold.feed.feed import Feed
from twofold.feed.follow import check_log
from twofold.feed.partitions import feed_of, learn
from twofold.messages import Position
from twofold.progress import Progress
from twofold.read.columns import Column, Field, Values
from twofold.read.projection import Key, Projection, key_text
from twofold.read.proof.examine import Fault, same_value
from twofold.read.proof.fresh import FreshFold, in_key_order
from twofold.read.proof.trace import Since, Suspect, trace
from twofold.read.rollup import Rollup
from twofold.read.selector import Failure
from twofold.read.store import QueryResult, ReadStore

PAGE_ROWS = 1_000
MOST_SHOWN = 100

Mismatch = Literal["missing", "extra", "different"]


class Cell(msgspec.Struct, frozen=True):
    """One column of a row that differs: its value in the read model, and in the fold."""

    column: str
    live: Any
    fold: Any


class Difference(msgspec.Struct, frozen=True):
    """A row that the read model lacks (missing), should not have (extra), or has with other values (different).

    `at` is where both were compared: a position for each partition that the projection follows.
    """

    kind: Mismatch
    key: Key
    cells: Sequence[Cell]
    at: Sequence[Position]
    since: Since | None = None


class Report(msgspec.Struct, frozen=True):
    """What was compared, and the result. `begin` and `end` hold a position for each partition.

    `counts` counts all differences; `differences` holds the first ones. `failures` are rows and streams that cannot be
    folded although they are not parked in the read model; they, and what is `parked` there, are not compared. `faults`
    is evidence that the projection is not a pure fold.
    """

    rows: int
    events: int
    begin: Sequence[Position]
    end: Sequence[Position]
    counts: dict[Mismatch, int]
    differences: Sequence[Difference]
    failures: Sequence[Failure]
    faults: Sequence[Fault]
    parked: Sequence[Parked]
    added: Sequence[Column] = ()
    removed: Sequence[Column] = ()

    @property
    def equal(self) -> bool:
        """Whether the rows match the feed. What is parked is not counted."""
        return not (any(self.counts.values()) or self.failures or self.faults or self.added or self.removed)


class Verification:
    """Compares the rows of `live` with those that `fold` produces: the same projection, or a changed one.

    Raises: InvalidInput if the two have different keys.
    """

    def __init__(
        self,
        live: Projection[Any],
        fold: Projection[Any],
        store: ReadStore,
        log: Feed,
        codec: Codec,
        progress: Progress,
    ) -> None:
        if _key_shown(live) != _key_shown(fold):
            raise InvalidInput(
                f"the key of {live.owner} is {_key_shown(live)}, but that of the changed one is {_key_shown(fold)}: "
                f"rows with different keys cannot be compared"
            )
        self._live, self._fold, self._store, self._log, self._codec = live, fold, store, log, codec
        self._progress, self._columns = progress, _Columns(live, fold)
        self._compared = 0
        self._counts: dict[Mismatch, int] = {"missing": 0, "extra": 0, "different": 0}
        self._found: dict[Key, tuple[Difference, Values | None]] = {}

    async def run(
        self, shadow: ReadStore, *, sample: int | None = None, salt: str = "", shown: int = MOST_SHOWN
    ) -> Report:
        """Fold into `shadow`, an empty store of its own, and compare all rows, or a random `sample`.

        Raises: InvalidInput if there is no table to compare with, LogReplaced, NewerSchema, ConfigurationError,
        Unavailable.
        """
        begin = await self._begin()
        wanted = await self._sample(sample, salt) if sample is not None else None
        fold = FreshFold(self._fold, self._codec, wanted, self._log, shadow, progress=self._progress)
        last = await self._compare(fold, wanted, shown)
        traced = self._live is self._fold and not isinstance(self._fold, Rollup)
        since = await self._traced([*last.parked, *fold.failures]) if traced else {}
        return Report(
            rows=self._compared,
            events=fold.events,
            begin=begin,
            end=[one.position for one in last.checkpoints],
            counts=self._counts,
            differences=[
                msgspec.structs.replace(one, since=since.get(key)) for key, (one, _) in sorted(self._found.items())
            ],
            failures=fold.failures,
            faults=fold.faults,
            parked=last.parked,
            added=self._columns.added,
            removed=self._columns.removed,
        )

    async def _begin(self) -> Sequence[Position]:
        follows = self._live.follows
        checkpoints = await self._store.checkpoints.all_partitions(follows)
        if not checkpoints or all(table.follows != follows for table in await self._store.tables()):
            raise InvalidInput(
                f"the read store has no table of {follows}: open the App on it, or run `twofold rebuild`"
            )
        return await self._places(checkpoints)

    async def _places(self, checkpoints: Sequence[Checkpoint]) -> Sequence[Position]:
        """Their positions. Raises: LogReplaced if one of them cannot belong to this log."""
        await learn(self._log, [checkpoint.follower.partition for checkpoint in checkpoints])
        for checkpoint in checkpoints:
            check_log(checkpoint, self._log.log_id, await feed_of(self._log, checkpoint.follower.partition).head())
        return [checkpoint.position for checkpoint in checkpoints]

    async def _sample(self, count: int, salt: str) -> Callable[[Key], bool]:
        """A random sample: keys whose salted hash is below a threshold.

        So a row that is missing from the table has the same chance to be in it.
        """
        smallest: list[int] = []  # negative, since the heap pops the smallest
        async for rows in self._pages_of_rows():
            for values in rows:
                push = heapq.heappush if len(smallest) < count else heapq.heappushpop
                push(smallest, -_salted_hash(self._live.key_in(values), salt))
        threshold = -smallest[0] if len(smallest) == count else 2**64
        return lambda key: _salted_hash(key, salt) <= threshold

    async def _pages_of_rows(self) -> AsyncGenerator[Sequence[Values], None]:
        after: Key | None = None
        while True:
            page = await self._store.find(self._live.table, in_key_order(self._live, PAGE_ROWS, after))
            yield page.rows
            if len(page.rows) < PAGE_ROWS:
                return
            after = self._live.key_in(page.rows[-1])

    async def _compare(self, fold: FreshFold, wanted: Callable[[Key], bool] | None, shown: int) -> QueryResult:
        after: Key | None = None
        reached: dict[int, Position] = {}
        while True:
            page = await self._store.find(self._live.table, in_key_order(self._live, PAGE_ROWS, after))
            at = await self._places(page.checkpoints)
            if any(now < reached.get(now.partition, now) for now in at):
                raise LogReplaced(f"{self._live.follows} was restarted meanwhile: verify it when that is done")
            await fold.advance(at, page.parked)
            rows = {self._live.key_in(values): values for values in page.rows}
            more = len(page.rows) == PAGE_ROWS
            upto = self._live.key_in(page.rows[-1]) if more else None
            if wanted is not None:
                rows = {key: values for key, values in rows.items() if wanted(key)}
            excluded = _Excluded(self._fold, [*page.parked, *fold.failures])
            async for key, live, values in _side_by_side(rows, fold, after, upto):
                if not excluded.holds(key) and (wanted is None or wanted(key)):
                    self._judge(key, live, values, at, shown)
            self._progress("comparing", self._compared, max(fold.rows, self._compared))
            if not more:
                return page
            after, reached = upto, {place.partition: place for place in at}

    def _judge(self, key: Key, live: Values | None, values: Values | None, at: Sequence[Position], shown: int) -> None:
        self._compared += 1
        cells = self._columns.differing(live, values)
        if not cells:
            return
        kind: Mismatch = "missing" if live is None else "extra" if values is None else "different"
        self._counts[kind] += 1
        if len(self._found) < shown:
            self._found[key] = Difference(kind, key, cells, at), live

    async def _traced(self, left_out: Sequence[Parked | Failure]) -> dict[Key, Since]:
        suspects = [
            Suspect(key, difference.at, self._columns.agreeing(difference, live))
            for key, (difference, live) in self._found.items()
        ]
        if not suspects:
            return {}
        return await trace(suspects, self._fold, self._log, self._codec, left_out, progress=self._progress)


class _Columns:
    """The columns that the live table and the fold have in common, and those that only one of them has."""

    def __init__(self, live: Projection[Any], fold: Projection[Any]) -> None:
        here = {column.name: place for place, column in enumerate(live.table.columns)}
        there = {column.name: place for place, column in enumerate(fold.table.columns)}
        self.added = [column for column in fold.table.columns if column.name not in here]
        self.removed = [column for column in live.table.columns if column.name not in there]
        self._alike = live.table.columns == fold.table.columns
        self._common: list[tuple[Field, int, int]] = [
            (field, here[field.name], there[field.name]) for field in live.format.fields if field.name in there
        ]

    def differing(self, live: Values | None, fold: Values | None) -> list[Cell]:
        """The columns in which a row differs. A missing row differs in all of them."""
        if self._alike and live == fold:
            return []
        cells = [
            (field, None if live is None else live[here], None if fold is None else fold[there])
            for field, here, there in self._common
        ]
        both = live is not None and fold is not None
        return [Cell(field.name, a, b) for field, a, b in cells if not (both and same_value(field, a, b))]

    def agreeing(self, difference: Difference, live: Values | None) -> Callable[[Values | None], bool]:
        """A function that returns whether a state of the fold matches the row, in the columns that differ."""
        names = {cell.column for cell in difference.cells}

        def agrees(values: Values | None) -> bool:
            if live is None or values is None:
                return live is values
            return not any(cell.column in names for cell in self.differing(live, values))

        return agrees


class _Excluded:
    """Rows that are parked, as far as is known: they are not compared."""

    def __init__(self, projection: Projection[Any], those: Sequence[Parked | Failure]) -> None:
        if isinstance(projection, Rollup):  # what is parked is of its source, and is in no group here or there
            those = ()
        self._keys = {one.key for one in those if one.kind == "row"}
        waiting = [projection.key_waiting(one.key) for one in those if one.kind == "stream"]
        self._keys |= {key_text(key) for key in waiting if key is not None}

    def holds(self, key: Key) -> bool:
        """Whether it is one of them."""
        return bool(self._keys) and key_text(key) in self._keys


async def _side_by_side(
    live: dict[Key, Values], fold: FreshFold, after: Key | None, upto: Key | None
) -> AsyncGenerator[tuple[Key, Values | None, Values | None], None]:
    """Each row of a page in the read model and in the fold; None if one of them lacks it."""
    left = dict(live)
    async with aclosing(fold.pages(after, PAGE_ROWS)) as pages:
        async for rows in pages:
            for values in rows:
                key = fold.projection.key_in(values)
                if upto is None or key <= upto:
                    yield key, left.pop(key, None), values
            if upto is not None and fold.projection.key_in(rows[-1]) >= upto:
                break
    for key, row in left.items():
        yield key, row, None


def _key_shown(projection: Projection[Any]) -> str:
    kinds = {column.name: column.kind for column in projection.table.columns}
    return ", ".join(f"{name} ({kinds[name]})" for name in projection.table.key)


def _salted_hash(key: Key, salt: str) -> int:
    return int.from_bytes(sha256(f"{salt}|{key_text(key)}".encode()).digest()[:8], "big")
