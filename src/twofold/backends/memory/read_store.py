"""The read store: a dictionary of rows for each table, and the checkpoints beside them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from twofold.backends.memory.checkpoints import MemoryCheckpoints, new_generation
from twofold.errors import BatchRefused, ConfigurationError, InvalidInput
from twofold.feed.checkpoints import Checkpoint, Checkpoints, Claim, FollowerId
from twofold.feed.doorbell import Doorbell
from twofold.messages import Position
from twofold.read.columns import Values
from twofold.read.definition import MAX_COLUMNS, MAX_KEY_BYTES
from twofold.read.projection import Key, Table
from twofold.read.store import (
    Changes,
    Condition,
    Counted,
    Query,
    QueryResult,
    RowLimits,
    StoredTable,
    check_columns,
    check_droppable,
    check_replaceable,
    has_come_as_far,
)

Refuses = Callable[[Table, Values], str | None]


class MemoryReadStore:
    """Rows of projections, and their checkpoints.

    Memory can store any row. `refuses` stands for the limits of other stores: it returns why a row of a table cannot be
    stored, or None. Tests and the simulator set it.
    """

    limits = RowLimits(MAX_KEY_BYTES, MAX_COLUMNS, reads_at_once=1)

    def __init__(self) -> None:
        self.refuses: Refuses = _nothing_refused
        self._checkpoints = MemoryCheckpoints()
        self._tables: dict[FollowerId, dict[Key, Values]] = {}
        self._fingerprints: dict[FollowerId, str] = {}
        self._live: dict[str, int] = {}
        self._bell = Doorbell()

    @property
    def checkpoints(self) -> Checkpoints:
        """See `ReadStore.checkpoints`."""
        return self._checkpoints

    async def prepare(self, table: Table) -> None:
        """See `ReadStore.prepare`."""
        self._tables.setdefault(table.follows, {})
        check_columns(table, self._fingerprints.setdefault(table.follows, table.fingerprint))
        if table.follows.builds is None:
            self._live.setdefault(table.name, table.follows.version)

    async def publish(self, table: Table, covered: Sequence[Position], lost: Sequence[Checkpoint] = ()) -> bool:
        """See `ReadStore.publish`."""
        parts, version = self._checkpoints.parts, table.follows.version
        live = FollowerId(table.name, self._live[table.name])
        if live.version < version and has_come_as_far(parts(table.follows), parts(live), covered, lost):
            self._live[table.name] = version
        return self._live[table.name] >= version

    async def index(self, table: Table) -> None:
        """See `ReadStore.index`. Memory has none: every query reads all rows."""

    async def replace(self, table: Table, claims: Sequence[Claim], built: FollowerId, at: Sequence[Position]) -> bool:
        """See `ReadStore.replace`."""
        checkpoints, follows = self._checkpoints, table.follows
        old, new = checkpoints.parts(follows), checkpoints.parts(built)
        check_replaceable(old, claims, new, at)
        self._tables[follows] = self._tables.pop(built)
        del self._fingerprints[built]
        checkpoints.take_place(follows, built)
        self._bell.ring()
        return True

    async def tables(self) -> Sequence[StoredTable]:
        """See `ReadStore.tables`."""
        return [self._stored(follows) for follows in sorted(self._tables, key=lambda f: (f.name, f.version))]

    def _stored(self, follows: FollowerId) -> StoredTable:
        live = self._live.get(follows.name) == follows.version
        return StoredTable(follows, self._fingerprints[follows], live, self._checkpoints.parts(follows))

    async def drop(self, follows: FollowerId) -> None:
        """See `ReadStore.drop`."""
        if follows not in self._tables:
            raise InvalidInput(f"there is no table of {follows}: `twofold tables APP` lists those there are")
        check_droppable(self._stored(follows))
        del self._tables[follows], self._fingerprints[follows]
        self._checkpoints.forget(follows)

    async def clear(self, table: Table, log_id: str) -> None:
        """See `ReadStore.clear`."""
        self._tables[table.follows].clear()
        for checkpoint in self._checkpoints.parts(table.follows):
            beginning = Position(checkpoint.follower.partition, 0)
            again = {"log_id": log_id, "position": beginning, "owner": None, "epoch": checkpoint.epoch + 1}
            again["generation"] = new_generation()
            self._checkpoints.rows[checkpoint.follower] = msgspec.structs.replace(checkpoint, **again)
            self._checkpoints.waiting.pop(checkpoint.follower, None)

    async def rows(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Values]:
        """See `ReadStore.rows`."""
        await asyncio.sleep(0)
        rows = self._rows_of(table)
        return {key: rows[key] for key in keys if key in rows}

    async def commit(self, table: Table, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
        """See `ReadStore.commit`."""
        await asyncio.sleep(0)
        self._checkpoints.movable(claim, after)
        rows = self._rows_of(table)
        why = await self.refusal(table, [values for values in changes.rows.values() if values is not None])
        if why is not None:
            raise BatchRefused(why)
        await self._checkpoints.advance(claim, after, to, changes.parked, changes.unparked)
        for key, values in changes.rows.items():
            if values is None:
                rows.pop(key, None)
            else:
                rows[key] = values
        self._bell.ring()

    async def refusal(self, table: Table, rows: Sequence[Values]) -> str | None:
        """See `ReadStore.refusal`."""
        return next((why for values in rows if (why := self.refuses(table, values)) is not None), None)

    async def get(self, table: Table, key: Key) -> QueryResult:
        """See `ReadStore.get`."""
        values = self._rows_of(table).get(key)
        return await self._found(table, [] if values is None else [values])

    async def get_all(self, table: Table, keys: Sequence[Key]) -> QueryResult:
        """See `ReadStore.get_all`."""
        rows = self._rows_of(table)
        return await self._found(table, [rows[key] for key in keys if key in rows])

    async def find(self, table: Table, query: Query) -> QueryResult:
        """See `ReadStore.find`."""
        place, rows = _places(table), self._matching(table, query.conditions)
        for name, descending in reversed(query.order):
            rows.sort(key=_ordered(place[name]), reverse=descending)
        if query.after is not None:
            rows = [row for row in rows if _comes_after(row, query, place)]
        return await self._found(table, rows[: query.limit])

    async def count(self, table: Table, conditions: Sequence[Condition]) -> Counted:
        """See `ReadStore.count`."""
        return Counted(self._standing(table), len(self._matching(table, conditions)))

    async def wait(self, follower: FollowerId, after: Position, timeout_s: float) -> None:
        """See `ReadStore.wait`."""
        checkpoint = self._checkpoints.rows.get(follower)
        if checkpoint is None or checkpoint.position <= after:
            await self._bell.wait(timeout_s)

    async def close(self) -> None:
        """Does nothing."""

    def _rows_of(self, table: Table) -> dict[Key, Values]:
        rows = self._tables.get(table.follows)
        if rows is None:
            raise ConfigurationError(f"{table.follows} is not prepared in this read store: open the App on it")
        return rows

    def _matching(self, table: Table, conditions: Sequence[Condition]) -> list[Values]:
        place = _places(table)
        return [
            row
            for row in self._rows_of(table).values()
            if all(condition.holds(row[place[condition.column]]) for condition in conditions)
        ]

    def _standing(self, table: Table) -> Sequence[Checkpoint]:
        checkpoints = self._checkpoints.parts(table.follows)
        if not checkpoints:
            raise ConfigurationError(f"{table.follows} is not prepared in this read store: open the App on it")
        return checkpoints

    async def _found(self, table: Table, rows: Sequence[Values]) -> QueryResult:
        return QueryResult(self._standing(table), rows, self._checkpoints.all_parked(table.follows))


def _nothing_refused(table: Table, values: Values) -> str | None:
    return None


def _places(table: Table) -> Mapping[str, int]:
    return {column.name: index for index, column in enumerate(table.columns)}


def _rank(value: Any) -> tuple[bool, Any]:
    """None is smaller than any value."""
    return (value is not None, 0 if value is None else value)


def _ordered(place: int) -> Callable[[Values], tuple[bool, Any]]:
    return lambda row: _rank(row[place])


def _comes_after(row: Values, query: Query, place: Mapping[str, int]) -> bool:
    for (name, descending), last in zip(query.order, query.after or (), strict=True):
        value, bound = _rank(row[place[name]]), _rank(last)
        if value != bound:
            return value < bound if descending else value > bound
    return False
