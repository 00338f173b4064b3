"""The rows of one rollup, computed from the rows of its source before and after a page. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec

from twofold.errors import ConfigurationError
from twofold.read.aggregates import (
    Aggregate,
    Answers,
    Ask,
    Change,
    Computed,
    Declared,
    Extreme,
    average,
    canonical,
    computed,
)
from twofold.read.columns import Broken, Column, Values
from twofold.read.projection import Key, Table
from twofold.read.quick import Unsure, initial, steps
from twofold.read.store import Condition

Move = tuple[Key, Key | None, Values | None, Key | None, Values | None]
"""A row of the source that changes: its key, the group it leaves and how it was, the group it comes into and how it is.
They may be one group."""

_FROM_TEXT: Mapping[str, Any] = {
    "decimal": Decimal,
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
    "uuid": UUID,
    "bytes": bytes.fromhex,
}


class Rolling:
    """Computes the rows of `table`, a rollup over a source with these columns.

    A row whose `by` holds None, or for which `where` does not hold, is in no group; a group without rows has no row.
    """

    def __init__(self, table: Table, source: Table) -> None:
        declared = declaration(table)
        self.table, self.source = table, source
        places = {column.name: place for place, column in enumerate(source.columns)}
        kinds = {column.name: column for column in source.columns}
        self.conditions = [_condition(kinds[column], *rest) for column, *rest in declared.where]
        self._where = [(places[condition.column], condition.holds) for condition in self.conditions]
        self._by = [places[name] for name in declared.by]
        self._only_by = self._by[0] if len(self._by) == 1 else None
        aggregates = dict(declared.fields)
        used = {*self._by, *(place for place, _ in self._where)}
        used |= {places[one.column] for one in aggregates.values() if one.column is not None}
        self._used = itemgetter(*sorted(used))
        self._fields = [
            _Field(place, c, aggregates[c.name], places)
            for place, c in enumerate(table.columns)
            if c.name in aggregates
        ]
        self._averages = [
            _Average(one, self._fields, kinds)
            for one in self._fields
            if one.aggregate.column is not None and one.aggregate.operation == "average"
        ]
        self._fields = [one for one in self._fields if one.aggregate.operation != "average"]
        self._keys = table.key_places
        self._totals = [(one.place, one.column) for one in self._fields if one.aggregate.operation == "total"]
        self._come = [(one.place, one.come) for one in self._fields]
        self._stay = [(one.place, one.stay) for one in self._fields]
        by_name = {one.column.name: initial(one.aggregate, one.column) for one in self._fields}
        self._initial = [by_name.get(column.name) for column in table.columns]
        counts = [one.place for one in self._fields if one.aggregate == Aggregate("count")]
        self._count = counts[0] if counts else None

    def group(self, values: Values) -> Key | None:
        """The group of a row of the source, if it is in one. Raises: ConfigurationError if it cannot be read."""
        if type(values) is Broken:
            raise ConfigurationError(
                f"{self.table.follows} cannot be computed: a row of {self.source.follows} cannot be read, since its "
                f"table was changed by hand: run `twofold rebuild` with --from-scratch for {self.source.name}"
            )
        for place, holds in self._where:
            if not holds(values[place]):
                return None
        if self._only_by is not None:
            value = values[self._only_by]
            return None if value is None else (value,)
        key = tuple([values[place] for place in self._by])
        return None if None in key else key

    def moves(self, rows: Mapping[Key, Values | None], before: Mapping[Key, Values | None]) -> list[Move]:
        """What a page changes. `before` are the rows of the source that it replaces."""
        moves: list[Move] = []
        used, group = self._used, self.group
        for key, new in rows.items():
            old = before.get(key)
            if old is None or new is None or used(old) != used(new):
                left, came = None if old is None else group(old), None if new is None else group(new)
                moves.append((key, left, old, came, new))
        return moves

    def advance(
        self, moves: Sequence[Move], known: Mapping[Key, Values | None]
    ) -> tuple[dict[Key, Values | None], set[Key]]:
        """The next rows of groups that rows come into, or change in; and the groups for which `row` is needed."""
        states: dict[Key, list[Any]] = {}
        unsure: set[Key] = set()
        come, stay = self._come, self._stay
        for _, left, old, came, new in moves:
            if left is not None and left != came:
                unsure.add(left)
            if came is None or came in unsure or new is None:
                continue
            state = states.get(came)
            if state is None:
                state = states[came] = self._state(came, known.get(came))
            try:
                if left is None or old is None or left != came:
                    for place, step in come:
                        state[place] = step(state[place], new)
                else:
                    for place, step_ in stay:
                        state[place] = step_(state[place], old, new)
            except Unsure:
                unsure.add(came)
        finished = self._finished
        return {group: finished(group, state) for group, state in states.items() if group not in unsure}, unsure

    def changes(self, moves: Sequence[Move], groups: Collection[Key]) -> dict[Key, Change]:
        """The changes of these groups."""
        changes = {group: Change() for group in groups}
        for key, left, old, came, new in moves:
            if left in changes and left is not None and old is not None:
                changes[left].left[key] = old
            if came in changes and came is not None and new is not None:
                changes[came].came.append(new)
        return changes

    def asks(self, group: Key, row: Values | None, change: Change) -> list[Ask]:
        """What the source must be asked to compute a group's row."""
        if self._rows_after(row, change) == 0:
            return []
        asks = [] if self._count is not None or change.came else [Ask(group, "any")]
        for field in self._fields:
            asks += field.computed.asks(group, None if row is None else row[field.place], change)
        return asks

    def row(self, group: Key, row: Values | None, change: Change, answers: Answers) -> Values | None:
        """A group's row afterwards; None if it is empty. Raises: ConfigurationError for a number that is too large."""
        if self._rows_after(row, change) == 0 or not answers.get(Ask(group, "any"), True):
            return None
        values = self._state(group, row)
        for field in self._fields:
            values[field.place] = field.computed.next(group, None if row is None else row[field.place], change, answers)
        return self._finished(group, values)

    def _state(self, group: Key, row: Values | None) -> list[Any]:
        if row is not None:
            return list(row)
        state = list(self._initial)
        for place, value in zip(self._keys, group, strict=True):
            state[place] = value
        return state

    def _finished(self, group: Key, values: list[Any]) -> Values:
        for place, column in self._totals:
            values[place] = self._fitting(column, values[place], group)
        for one in self._averages:
            value = average(values[one.total], values[one.count], one.scale)
            values[one.place] = self._fitting(one.column, value, group)
        return tuple(values)

    def best(self, ask: Ask, values: Sequence[Any]) -> Any:
        """The greatest or the least of these, as asked."""
        return Extreme(ask.column, 0, greatest=ask.what == "greatest").best(values)

    def _rows_after(self, row: Values | None, change: Change) -> int | None:
        """How many rows the group has then; None if only the source can tell."""
        if row is None:
            return len(change.came)
        if self._count is None:
            return None
        before: int = row[self._count]
        return max(0, before + len(change.came) - len(change.left))

    def _fitting(self, column: Column, value: Any, group: Key) -> Any:
        try:
            return canonical(column, value)
        except ValueError as error:
            raise ConfigurationError(
                f"{self.table.follows}: {column.name} of {group!r:.80} {error}. Raise the version of the rollup and "
                f"make the field a Decimal, or correct the rows of {self.source.name}"
            ) from error


class _Field:
    """A field that is computed from the rows of the source."""

    def __init__(self, place: int, column: Column, aggregate: Aggregate, places: Mapping[str, int]) -> None:
        self.place, self.column, self.aggregate = place, column, aggregate
        self.computed: Computed = computed(aggregate, column, places)
        self.come, self.stay = steps(aggregate, column, places.get(aggregate.column or "", 0))


class _Average:
    """A field that is computed from a total and a count in the same row."""

    def __init__(self, field: _Field, fields: Sequence[_Field], source: Mapping[str, Column]) -> None:
        name = field.aggregate.column or ""
        self.place, self.column, self.scale = field.place, field.column, field.aggregate.scale
        self.total = next(one.place for one in fields if one.aggregate == Aggregate("total", name))
        self.count = next(one.place for one in fields if one.aggregate in counts_of(source[name]))


def declaration(table: Table) -> Declared:
    """That of a rollup. Raises: TypeError for another table."""
    if table.declared is None:
        raise TypeError(f"{table.follows} is not a rollup")
    return table.declared


def counts_of(column: Column) -> list[Aggregate]:
    """The counts by which a total of a column can be divided."""
    return [Aggregate("count", column.name), *([] if column.nullable else [Aggregate("count")])]


def _condition(column: Column, operator: Any, text: str) -> Condition:
    value = msgspec.json.decode(text)
    return Condition(column.name, operator, _read(column, tuple(value) if operator == "in" else value))


def _read(column: Column, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_read(column, one) for one in value)
    read = _FROM_TEXT.get(column.kind)
    return value if read is None or value is None else read(value)


def condition_text(condition: Condition) -> tuple[str, str, str]:
    """A condition as a declaration stores it."""
    value = condition.value
    shown = [_written(one) for one in value] if condition.operator == "in" else _written(value)
    return condition.column, condition.operator, msgspec.json.encode(shown).decode()


def _written(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | UUID) else value
