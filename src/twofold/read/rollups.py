"""Rollups are maintained by the holder of their source's checkpoint, in the transaction of its rows.

Which rollups a source has is read from the store with each claim, so that every process maintains those of every other
one, as long as it knows of rollups at all. A rollup whose checkpoint is not where that of its source is, with the same
generation, was left behind by one that does not: it is filled again from the source.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from twofold.errors import Contended
from twofold.feed.checkpoints import Checkpoint, Claim, FollowerId
from twofold.feed.lease import taken_over
from twofold.messages import Position
from twofold.read.aggregates import Answers, Ask, Change
from twofold.read.columns import Values
from twofold.read.projection import Key, Table
from twofold.read.rolling import Rolling, declaration
from twofold.read.store import Changes, Condition, Query, ReadStore, Rolled, StoredTable

FILL_PAGE = 1_000
FILL_TRIES = 20
FILL_PAUSE_S = 0.25
ASKED_AT_ONCE = 16
KNOWN_ROWS = 20_000
_BY_BEGINNINGS = ("text", "bytes")  # a store may order long values by their beginnings


class Rollups:
    """The rollups of one source, for the holder of its checkpoint."""

    def __init__(self, store: ReadStore, source: Table, tables: Sequence[Table]) -> None:
        self._store, self._source = store, source
        self.rolling = [Rolling(table, source) for table in tables]
        self._known: dict[FollowerId, _Known] = {}

    @classmethod
    async def of(cls, store: ReadStore, source: Table) -> Rollups:
        """All that the store has for this source. Raises: Unavailable."""
        return cls(store, source, await rollups_of(store, source.follows))

    def __bool__(self) -> bool:
        return bool(self.rolling)

    async def begin(self, claim: Claim, at: Position) -> None:
        """Fill those that are not where the source is, which is held and at this position."""
        if self.rolling:
            self._know(complete=at.is_beginning)
            if outdated := await self._outdated():
                await self.fill(claim, at, outdated)

    async def are_outdated(self) -> bool:
        """Whether one of them must be filled."""
        return bool(self.rolling) and bool(await self._outdated())

    async def fill(self, claim: Claim, at: Position, those: Sequence[Rolling]) -> None:
        """Compute them from all rows of the source, which stands still, and write them at once."""
        filling = [_Filling(one) for one in those]
        order = [(name, False) for name in self._source.key]
        after: Key | None = None
        places = self._source.key_places
        while True:
            rows = (await self._store.find(self._source, Query((), order, FILL_PAGE, after))).rows
            for one in filling:
                one.add(rows)
            if len(rows) < FILL_PAGE:
                break
            after = tuple([rows[-1][place] for place in places])
        rolled = [Rolled(one.rolling.table, one.rows, afresh=True) for one in filling]
        rolled += [Rolled(one.table, {}) for one in self.rolling if one not in those]
        await self._store.commit(self._source, claim, at, at, Changes({}, rolled=rolled))
        self._know(complete=False)

    async def complete(self, changes: Changes, before: Mapping[Key, Values | None] | None = None) -> Changes:
        """The changes with those of the rollups. `before` are the rows that they replace, as far as they are known.

        Everything that was completed before must be committed. Raises: ConfigurationError, Unavailable.
        """
        if not self.rolling:
            return changes
        if before is None:
            before = await self._store.rows(self._source, sorted(changes.rows)) if changes.rows else {}
        return replace(changes, rolled=[await self._rolled(one, changes.rows, before) for one in self.rolling])

    def forget(self) -> None:
        """Forget what was completed and then not committed."""
        self._know(complete=False)

    def _know(self, *, complete: bool) -> None:
        self._known = {one.table.follows: _Known(complete=complete) for one in self.rolling}

    async def _outdated(self) -> list[Rolling]:
        stored = {table.follows: table for table in await self._store.tables()}
        source = stored.get(self._source.follows)
        return [one for one in self.rolling if not _is_level(stored.get(one.table.follows), source)]

    async def _rolled(
        self, rolling: Rolling, rows: Mapping[Key, Values | None], before: Mapping[Key, Values | None]
    ) -> Rolled:
        table, moves = rolling.table, rolling.moves(rows, before)
        groups = dict.fromkeys([group for move in moves for group in (move[1], move[3]) if group is not None])
        known = await self._known[table.follows].rows(self._store, table, groups)
        computed, unsure = rolling.advance(moves, known)
        if unsure:
            changes = rolling.changes(moves, unsure)
            asks = [(ask, one) for group, one in changes.items() for ask in rolling.asks(group, known[group], one)]
            answers = await self._answers(rolling, asks) if asks else {}
            computed |= {group: rolling.row(group, known[group], one, answers) for group, one in changes.items()}
        changed = {group: computed[group] for group in sorted(computed) if computed[group] != known[group]}
        known.update(changed)
        return Rolled(table, changed)

    async def _answers(self, rolling: Rolling, asks: Sequence[tuple[Ask, Change]]) -> Answers:
        answers: dict[Ask, Any] = {}
        for start in range(0, len(asks), ASKED_AT_ONCE):
            some = asks[start : start + ASKED_AT_ONCE]
            found = await asyncio.gather(*(self._answer(rolling, ask, change.left) for ask, change in some))
            answers.update(zip([ask for ask, _ in some], found, strict=True))
        return answers

    async def _answer(self, rolling: Rolling, ask: Ask, gone: Collection[Key]) -> Any:
        """Ask the source as it is before the page, without the rows that leave the group."""
        names = [column.name for column in self._source.columns]
        place = names.index(ask.column) if ask.column else 0
        ordered, order = self._order(ask)
        best = None
        async for values in self._others(_asked(rolling, ask), order, gone):
            if ask.what in ("any", "value"):
                return True
            best = rolling.best(ask, [best, values[place]])
            if ordered:
                break
        return best

    def _order(self, ask: Ask) -> tuple[bool, list[tuple[str, bool]]]:
        """The order to read in, and whether the first row is then the answer."""
        kind = next((column.kind for column in self._source.columns if column.name == ask.column), None)
        ordered = ask.what in ("greatest", "least") and kind not in _BY_BEGINNINGS
        first = [(ask.column, ask.what == "greatest")] if ordered else []
        rest = [name for name in self._source.key if name not in dict(first)]
        return ordered, first + [(name, False) for name in rest]

    async def _others(
        self, conditions: Sequence[Condition], order: Sequence[tuple[str, bool]], gone: Collection[Key]
    ) -> AsyncIterator[Values]:
        places = {column.name: place for place, column in enumerate(self._source.columns)}
        keys, limit, after = self._source.key_places, len(gone) + 1, None
        while True:
            rows = (await self._store.find(self._source, Query(conditions, order, limit, after))).rows
            for values in rows:
                if tuple([values[place] for place in keys]) not in gone:
                    yield values
            if len(rows) < limit:
                return
            after = tuple([rows[-1][places[name]] for name, _ in order])
            limit = FILL_PAGE


class _Known:
    """Rows of one rollup as they will be when everything that was completed is committed; only the holder writes them.

    `complete`: it knows all rows at first, as there are none.
    """

    def __init__(self, *, complete: bool) -> None:
        self._complete = complete
        self._rows: dict[Key, Values | None] = {}

    async def rows(self, store: ReadStore, table: Table, groups: Iterable[Key]) -> dict[Key, Values | None]:
        """What it knows, at least the rows of these groups. Everything must be committed. Raises: Unavailable."""
        if len(self._rows) > KNOWN_ROWS:
            self._rows, self._complete = {}, False
        missing = [group for group in groups if group not in self._rows]
        stored = await store.rows(table, sorted(missing)) if missing and not self._complete else {}
        for group in missing:
            self._rows[group] = stored.get(group)
        return self._rows


class _Filling:
    """The rows of a rollup, computed from all rows of its source, page by page."""

    def __init__(self, rolling: Rolling) -> None:
        self.rolling = rolling
        self.rows: dict[Key, Values | None] = {}
        self._seen: set[Ask] = set()

    def add(self, rows: Sequence[Values]) -> None:
        """Add a page. Rows only come, so the only question is whether a value has come before."""
        keys = self.rolling.source.key_places
        page = {tuple([values[place] for place in keys]): values for values in rows}
        moves = self.rolling.moves(page, {})
        rows_, unsure = self.rolling.advance(moves, self.rows)
        for group, change in self.rolling.changes(moves, unsure).items():
            asks = self.rolling.asks(group, self.rows.get(group), change)
            answers = {ask: ask in self._seen for ask in asks}
            self._seen.update(asks)
            rows_[group] = self.rolling.row(group, self.rows.get(group), change, answers)
        self.rows.update(rows_)


def _asked(rolling: Rolling, ask: Ask) -> list[Condition]:
    by = zip(declaration(rolling.table).by, ask.group, strict=True)
    conditions = [Condition(name, "eq", value) for name, value in by]
    if ask.what == "value":
        conditions.append(Condition(ask.column, "eq", ask.value))
    elif ask.column:
        conditions.append(Condition(ask.column, "ne", None))
    return [*conditions, *rolling.conditions]


def _is_level(rollup: StoredTable | None, source: StoredTable | None) -> bool:
    """Whether a rollup is where its source is, and neither has changed otherwise."""
    return rollup is not None and source is not None and _places(rollup.checkpoints) == _places(source.checkpoints)


def _places(checkpoints: Sequence[Checkpoint]) -> list[tuple[str, Position, str]]:
    return [(one.log_id, one.position, one.generation) for one in checkpoints]


async def rollups_of(store: ReadStore, source: FollowerId) -> list[Table]:
    """The rollups that the store has for a source. Raises: Unavailable."""
    return [one for one in await store.rollups() if one.declared is not None and one.declared.of == source]


async def commit_standing(store: ReadStore, table: Table, claim: Claim, at: Position, changes: Changes) -> None:
    """Commit changes of a source whose checkpoint stays where it is, with those of its rollups."""
    rollups = await Rollups.of(store, table)
    await rollups.begin(claim, at)
    await store.commit(table, claim, at, at, await rollups.complete(changes))


async def fill_outdated(store: ReadStore, source: Table, partition: int, owner: str, *, anew: bool = False) -> None:
    """Fill the rollups of a source that are not where it is, or all of them (`anew`).

    Its checkpoint is taken over for that, also so that its holder learns of new rollups when it claims it again.
    Raises: InvalidInput if the source has no checkpoint, Contended, ConfigurationError, Unavailable.
    """
    for attempt in range(FILL_TRIES):
        rollups = await Rollups.of(store, source)
        if not rollups or not (anew or await rollups.are_outdated()):
            return
        try:
            async with taken_over(store.checkpoints, source.follows.in_partition(partition), owner) as (claim, now):
                if anew:
                    await rollups.fill(claim, now.position, rollups.rolling)
                else:
                    await rollups.begin(claim, now.position)
            return
        except Contended:  # other processes that begin at this moment do the same: the last one is not disturbed
            if anew or attempt == FILL_TRIES - 1:
                raise
            await asyncio.sleep(FILL_PAUSE_S)
