"""The tables of projections on PostgreSQL: their statements, and the type of each kind of column.

Text is compared by code point (`COLLATE "C"`), and NULL is the smallest value. JSON is stored as its original text
(`json`), so that a row reads exactly as it was written. An index on a list holds it as `jsonb`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import msgspec

from twofold.backends.keyset import behind
from twofold.backends.postgres.commit import PARAMETERS, commit_statement, rolled_part
from twofold.backends.statements import quoted, statements
from twofold.feed.checkpoints import FollowerId
from twofold.read.columns import Column, Values, read_values
from twofold.read.definition import Index, indexed_prefixes
from twofold.read.kinds import Kind
from twofold.read.projection import Key, Table
from twofold.read.store import Condition, Query

_SQL = statements("twofold.backends.postgres", "tables.sql")

_ABOUT = _SQL["about"].format(name="$1", version="$2")
_ABOUT_ROLLUP = _SQL["about"].format(name="$3", version="$4")


def _about(table: Table) -> str:
    """What is selected beside rows, of a projection's table, a rollup or a view."""
    if table.view:
        return _SQL["about_view"]
    return _ABOUT if table.declared is None else _ABOUT_ROLLUP


COLUMN_TYPES: dict[Kind, str] = {
    "text": "text",
    "integer": "bigint",
    "real": "double precision",
    "boolean": "boolean",
    "decimal": "numeric",
    "timestamp": "timestamptz",
    "date": "date",
    "uuid": "uuid",
    "bytes": "bytea",
    "json": "json",
}
INVOKER = " WITH (security_invoker = true)"
# Arrays of JSON are sent as text, which the driver encodes natively.
_ARRAYS: dict[Kind, str] = COLUMN_TYPES | {"json": "text"}
_OF_BEGINNINGS = {"eq": "=", "gt": ">=", "ge": ">=", "lt": "<=", "le": "<="}
_OPERATORS = {"eq": "=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


class TableSql:
    """All statements on one projection's table. `whole`: see `table_sql`."""

    def __init__(self, table: Table, *, whole: bool = False) -> None:
        self.table = table
        self._cut = {} if whole else indexed_prefixes(table.columns, table.key, table.indexes)
        self.name = table_name(table.follows)
        of = () if table.declared is None else (table.parks,)
        self.whose = [value for one in (table.follows, *of) for value in (one.name, one.version)]
        """The first parameters of each query: whose checkpoints, and of a rollup whose parked keys."""
        self.about = _about(table)
        self._first = len(self.whose) + 1
        self.public_name = f"public.{quoted(table.name)}"
        self._columns = {column.name: column for column in table.columns}
        self._key = [self._columns[name] for name in table.key]
        self._key_places = table.key_places
        self._read = [(i, _FROM_POSTGRES[c.kind]) for i, c in enumerate(table.columns) if c.kind in _FROM_POSTGRES]
        self._names = ", ".join(quoted(column.name) for column in table.columns)
        self.select = f"SELECT {self._names} FROM {self.name}"
        by_key = [f"{quoted(column.name)} = ${n}" for n, column in enumerate(self._key, self._first)]
        self.get = self._with_about(f"{self.select} WHERE {' AND '.join(by_key)}")
        self.unnested_keys = self._unnested(self._key, self._first)
        keys = ", ".join(quoted(name) for name in table.key)
        self.empty = f"DELETE FROM {self.name}"
        self.rows = self._rows_of(keys, self._unnested(self._key, 1))
        self.get_all = self._with_about(self._rows_of(keys, self.unnested_keys))
        self._keys = keys
        self.commit = commit_statement(*self.written(PARAMETERS + 1))
        self.upsert = self._upsert(keys, 1)

    def written(self, first: int) -> tuple[str, str]:
        """An upsert and a delete for a commit; their parameters, those of `changed`, begin with this number."""
        return self._upsert(self._keys, first, "moved, "), self._delete(self._keys, first + len(self.table.columns))

    @property
    def parameters(self) -> int:
        """How many parameters `changed` has."""
        return len(self.table.columns) + len(self._key)

    def create(self) -> str:
        """The table, without indexes."""
        columns = [_declared(column) for column in self.table.columns]
        key = ", ".join(quoted(name) for name in self.table.key)
        return f"CREATE TABLE {self.name} ({', '.join(columns)}, PRIMARY KEY ({key}))"

    def indexes(self) -> dict[str, str]:
        """The statement that creates each index, by the index's name."""
        cut = "c" if self._cut else ""
        names = (
            f"{self.table.name}_v{self.table.follows.version}_{n}{cut}" for n in range(1, 1 + len(self.table.indexes))
        )
        return {
            name: f"CREATE INDEX IF NOT EXISTS {quoted(name)} ON {self.name} {self._indexed(index)}"
            for name, index in zip(names, self.table.indexes, strict=True)
        }

    def show(self, kind: str, name: str | None = None) -> str:
        """Make the public name a view of this table; `kind` is `CREATE VIEW` or `CREATE OR REPLACE VIEW`.

        `name`: of a table built beside this one, to be shown instead.
        """
        invoker = INVOKER if self.table.security_invoker else ""
        return f"{kind} {self.public_name}{invoker} AS SELECT {self._names} FROM {name or self.name}"

    def describe(self) -> str:
        """The comment by which our view is recognised."""
        return f"COMMENT ON VIEW {self.public_name} IS 'twofold: read model, version {self.table.follows.version}'"

    def find(self, query: Query) -> tuple[str, list[Any]]:
        """A query's statement, and its parameters after name and version."""
        rows, values = self.found(query)
        return self._with_about(f"{self.select}{rows}"), values

    def found(self, query: Query) -> tuple[str, list[Any]]:
        """The end of a query's statement, after FROM, and its parameters after name and version."""
        values = Parameters(start=self._first)
        return self.tail(query, values), values.values

    def tail(self, query: Query, values: Parameters, joined: Sequence[str] = ()) -> str:
        """The end of a query's statement, after FROM; `values` gets its parameters. `joined`: more conditions."""
        where = [*joined, *(self._condition(condition, values) for condition in query.conditions)]
        if query.after is not None:
            nullable = {name: column.nullable for name, column in self._columns.items()}
            after = behind(query.order, query.after, nullable)
            where.append(after.sql(self._indexable, lambda name, value: values.add(self._cut_off(name, value))))
        order = ", ".join(self._ordered(name, descending) for name, descending in query.order)
        clause = f" WHERE {' AND '.join(where)}" if where else ""
        return f"{clause} ORDER BY {order} LIMIT {values.add(query.limit)}"

    def count(self, conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
        """The statement that counts rows, and its parameters after name and version."""
        values = Parameters(start=self._first)
        where = [self._condition(condition, values) for condition in conditions]
        clause = f" WHERE {' AND '.join(where)}" if where else ""
        return f"SELECT ({self.about}), (SELECT count(*) FROM {self.name}{clause})", values.values

    def from_postgres(self, row: Sequence[Any]) -> Values:
        """A row as it crosses the port; `row` holds the columns alone."""
        return read_values(list(row), self._read) if self._read else tuple(row)

    def key_of(self, values: Values) -> Key:
        """The key of a row."""
        return tuple([values[place] for place in self._key_places])

    def by_column(self, rows: Sequence[Values]) -> list[Sequence[Any]]:
        """Rows as one array for each column, for `upsert`."""
        return list(zip(*rows, strict=True)) or [()] * len(self.table.columns)

    def keys_by_column(self, keys: Sequence[Key]) -> list[Sequence[Any]]:
        """Keys as one array for each key column, for `rows`."""
        return list(zip(*keys, strict=True)) or [()] * len(self._key)

    def changed(self, rows: Mapping[Key, Values | None]) -> list[Sequence[Any]]:
        """Rows to write and keys to delete, for `commit`: one array for each column, then for each key column."""
        written = self.by_column([values for values in rows.values() if values is not None])
        return [*written, *self.keys_by_column([key for key, values in rows.items() if values is None])]

    def _with_about(self, rows: str) -> str:
        """Rows with their checkpoints and parked keys in one statement: one snapshot (G6), one round trip."""
        nothing = ", ".join(f"NULL::{COLUMN_TYPES[column.kind]}" for column in self.table.columns)
        return f"SELECT ({self.about}), {nothing} UNION ALL SELECT NULL, selected.* FROM ({rows}) selected"

    def _rows_of(self, keys: str, unnested: str) -> str:
        columns = ", ".join(f"t.{quoted(column.name)}" for column in self.table.columns)
        return f"SELECT {columns} FROM {unnested} AS k ({keys}) JOIN {self.name} t USING ({keys})"

    def _unnested(self, columns: Iterable[Column], first: int) -> str:
        return f"unnest({', '.join(f'${n}::{_ARRAYS[c.kind]}[]' for n, c in enumerate(columns, start=first))})"

    def _upsert(self, keys: str, first: int, also_from: str = "") -> str:
        rest = [quoted(column.name) for column in self.table.columns if column.name not in self.table.key]
        update = f"UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in rest)}" if rest else "NOTHING"
        rows = self._unnested(self.table.columns, first)
        values = ", ".join(f"u.{quoted(c.name)}{'::json' if c.kind == 'json' else ''}" for c in self.table.columns)
        return (
            f"INSERT INTO {self.name} ({self._names}) SELECT {values} FROM {also_from}{rows} AS u ({self._names}) "
            f"ON CONFLICT ({keys}) DO {update}"
        )

    def _delete(self, keys: str, first: int) -> str:
        gone = self._unnested(self._key, first)
        same = " AND ".join(f"t.{quoted(column.name)} = k.{quoted(column.name)}" for column in self._key)
        return f"DELETE FROM {self.name} t USING moved, {gone} AS k ({keys}) WHERE {same}"

    def _indexed(self, index: Index) -> str:
        if index.elements:
            (column, _), *_ = index.columns
            return f"USING gin (({quoted(column)}::jsonb) jsonb_path_ops)"
        return f"({', '.join(self._ordered(name, descending) for name, descending in index.columns)})"

    def _ordered(self, name: str, descending: bool) -> str:
        """NULL is the smallest value; said of nullable columns only, so that the primary key's index serves others."""
        nulls = (" NULLS LAST" if descending else " NULLS FIRST") if self._columns[name].nullable else ""
        return f"{self._indexable(name)}{' DESC' if descending else ''}{nulls}"

    def _indexable(self, name: str) -> str:
        """The expression for indexes and ORDER BY: the beginning of a value that may be too long for an index."""
        return quoted(name) if name not in self._cut else self._beginning(name, quoted(name))

    def joined(self, name: str, other: str) -> str:
        """The condition that a column equals another expression, also where an index holds its beginning alone."""
        same = f"{self.name}.{quoted(name)} = {other}"
        return same if name not in self._cut else f"{self._indexable(name)} = {self._beginning(name, other)} AND {same}"

    def _beginning(self, name: str, expression: str) -> str:
        beginning = "left({}, {})" if self._columns[name].kind == "text" else "substr({}, 1, {})"
        return f"({beginning.format(expression, self._cut[name])})"

    def _cut_off(self, name: str, value: Any) -> Any:
        """The part of a value that `_indexable` compares."""
        return value[: self._cut[name]] if name in self._cut else value

    def _condition(self, condition: Condition, values: Parameters) -> str:
        column = quoted(condition.column)
        if condition.operator == "contains":
            alone = msgspec.json.encode([condition.value]).decode()
            return f"{column}::jsonb @> {values.add(alone)}::jsonb"
        if condition.operator == "in":
            return self._one_of(condition, values)
        if condition.value is None:
            return {"eq": f"{column} IS NULL", "ne": f"{column} IS NOT NULL"}.get(condition.operator, "FALSE")
        if condition.operator == "ne":
            return f"{column} IS DISTINCT FROM {values.add(condition.value)}"
        compared = f"{column} {_OPERATORS[condition.operator]} {values.add(condition.value)}"
        if condition.column not in self._cut:
            return compared
        beginning = values.add(self._cut_off(condition.column, condition.value))
        return f"{self._indexable(condition.column)} {_OF_BEGINNINGS[condition.operator]} {beginning} AND {compared}"

    def _one_of(self, condition: Condition, values: Parameters) -> str:
        column, wanted = quoted(condition.column), [value for value in condition.value if value is not None]
        found = f"{column} = ANY ({values.add(wanted)})"
        if condition.column in self._cut:
            beginnings = values.add([self._cut_off(condition.column, value) for value in wanted])
            found = f"{self._indexable(condition.column)} = ANY ({beginnings}) AND {found}"
        return f"({found} OR {column} IS NULL)" if None in condition.value else found


class Parameters:
    """The parameters of a statement, numbered as they are added."""

    def __init__(self, start: int) -> None:
        self._start = start
        self.values: list[Any] = []

    def add(self, value: Any) -> str:
        """Add a value; returns its placeholder."""
        self.values.append(value)
        return f"${self._start + len(self.values) - 1}"


def _aware(time: datetime) -> datetime:
    """asyncpg maps the first and last moment to infinity, and loses their time zone."""
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


_FROM_POSTGRES: dict[Kind, Callable[[Any], Any]] = {
    "uuid": lambda uuid: UUID(int=uuid.int),  # asyncpg has a UUID class of its own
    "timestamp": _aware,
}


def _declared(column: Column) -> str:
    collation = ' COLLATE "C"' if column.kind == "text" else ""
    return f"{quoted(column.name)} {COLUMN_TYPES[column.kind]}{collation}{'' if column.nullable else ' NOT NULL'}"


@cache
def commit_with(sql: TableSql, rollups: tuple[TableSql, ...]) -> str:
    """The statement that commits a page of rows with those of rollups."""
    number = PARAMETERS + 1 + sql.parameters
    changes = []
    for one in rollups:
        changes.append(one.written(number))
        number += one.parameters
    return commit_statement(*sql.written(PARAMETERS + 1), rolled_part(changes, number))


def table_name(follows: FollowerId) -> str:
    """The table of one version of a projection, quoted."""
    return f"twofold.{quoted(f'{follows.name}_v{follows.version}')}"


@cache
def table_sql(table: Table, *, whole: bool = False) -> TableSql:
    """The statements of a table, cached. `whole`: its indexes hold whole texts, as older versions made them."""
    return TableSql(table, whole=whole)
