"""The expected rows of rollups, from the rows of their source, without the engine: whole groups at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from twofold.backends.memory.inspection import RowsInspection
from twofold.feed.checkpoints import FollowerId
from twofold.read.aggregates import Aggregate
from twofold.read.columns import Values
from twofold.read.projection import Key, Table
from twofold.read.rolling import Rolling, declaration
from twofold.testing.simulation.violations import difference


def rollups_over(rows: RowsInspection, source: FollowerId) -> Sequence[Table]:
    """The rollups of a source that stand where it does."""
    rollups = [table for table in rows.described.values() if table.declared is not None and table.parks == source]
    return [table for table in rollups if is_level(rows, table)]


def wrong_rollups(rows: RowsInspection, source: FollowerId) -> Iterator[tuple[FollowerId, str]]:
    """Those whose rows are wrong, and how."""
    for table in rollups_over(rows, source):
        expected = _expected(Rolling(table, rows.described[source]), list(rows.tables[source].values()))
        found = rows.tables[table.follows]
        if expected != found:
            yield table.follows, difference(expected, found)


def is_level(rows: RowsInspection, table: Table) -> bool:
    """Whether a rollup stands where its source does."""
    own, source = rows.checkpoints.parts(table.follows), rows.checkpoints.parts(table.parks)
    return [(one.log_id, one.position, one.generation) for one in own] == [
        (one.log_id, one.position, one.generation) for one in source
    ]


def _expected(rolling: Rolling, source: Sequence[Values]) -> dict[Key, Values]:
    """Only `where` is left to the engine."""
    table, declared = rolling.table, declaration(rolling.table)
    names = [column.name for column in rolling.source.columns]
    groups: dict[Key, list[dict[str, Any]]] = {}
    for values in source:
        row = dict(zip(names, values, strict=True))
        key = tuple(row[name] for name in declared.by)
        if None not in key and all(one.holds(row[one.column]) for one in rolling.conditions):
            groups.setdefault(key, []).append(row)
    fields = dict(declared.fields)

    def row_of(key: Key, rows: Sequence[Mapping[str, Any]]) -> Values:
        own = dict(zip(table.key, key, strict=True))
        return tuple(own[c.name] if c.name in own else _value(fields[c.name], rows) for c in table.columns)

    return {key: row_of(key, rows) for key, rows in groups.items()}


def _value(aggregate: Aggregate, rows: Sequence[Mapping[str, Any]]) -> Any:
    if aggregate.column is None:
        return len(rows)
    values = [row[aggregate.column] for row in rows if row[aggregate.column] is not None]
    if aggregate.operation == "average":
        scaled = round(Fraction(sum(values)) * 10**aggregate.scale / len(values)) if values else None
        return None if scaled is None else Decimal(f"{scaled}E-{aggregate.scale}")
    return _COMPUTED[aggregate.operation](values)


_COMPUTED: Mapping[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "total": lambda values: sum(values, Decimal(0)) if values and isinstance(values[0], Decimal) else sum(values),
    "maximum": lambda values: max(values, default=None),
    "latest": lambda values: max(values, default=None),
    "minimum": lambda values: min(values, default=None),
    "distinct": lambda values: len(set(values)),
}
