"""The rows of one rollup, computed from the rows of its source before and after a page. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from twofold.read.store import Condition

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
        key = tuple([values[place] for place in self._by])
        return None if None in key else key

    def changes(self, rows: Mapping[Key, Values | None], before: Mapping[Key, Values | None]) -> dict[Key, Change]:
        """What a page changes, by group. `before` are the rows of the source that it replaces."""
        groups: dict[Key, Change] = {}
        used = self._used
        for key, new in rows.items():
            old = before.get(key)
            if old is not None and new is not None and used(old) == used(new):
                continue
            if old is not None and (group := self.group(old)) is not None:
                change = groups.setdefault(group, Change())
                change.left.append(old)
                change.gone.add(key)
            if new is not None and (group := self.group(new)) is not None:
                groups.setdefault(group, Change()).came.append(new)
        return groups

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
        values = [None] * len(self.table.columns)
        for place, value in zip(self._keys, group, strict=True):
            values[place] = value
        for field in self._fields:
            value = field.computed.next(group, None if row is None else row[field.place], change, answers)
            values[field.place] = self._fitting(field.column, value, group)
        for one in self._averages:
            value = average(values[one.total], values[one.count] or 0, one.scale)
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
