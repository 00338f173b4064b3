"""The tables of projections on SQLite: their statements, and how each kind of column is stored.

A decimal is stored as canonical text (see `canonical_decimal`). A second column `<name>__order`, which the public view
does not show, holds a text that sorts by the number. (A custom collation would need no second column, but then other
programs could not even count the rows, since SQLite may use an index for that.) Times are UTC text that sorts by time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

import apsw

from twofold.backends.keyset import behind
from twofold.backends.sqlite.connection import written_time
from twofold.backends.statements import quoted, statements
from twofold.feed.checkpoints import FollowerId
from twofold.read.columns import Column, Values, read_values
from twofold.read.definition import Index
from twofold.read.kinds import Kind, canonical_decimal
from twofold.read.projection import Table
from twofold.read.store import Condition, Query

KEYS_PER_STATEMENT = 500

_EXPONENT_ZERO = 50_000
_COMPLEMENT = str.maketrans("0123456789", "9876543210")

_GENERATION = re.compile("~[^_]*")

_SQL = statements("twofold.backends.sqlite", "tables.sql")


def sortable_decimal(value: Decimal) -> str:
    """A text that sorts by the number: sign, then exponent, then digits.

    Of negative numbers exponent and digits are complemented, and an end mark that sorts after any digit puts the
    shorter of two later.
    """
    if not value:
        return "1"
    digits = "".join(map(str, value.as_tuple().digits)).rstrip("0")
    exponent = value.adjusted()
    if value > 0:
        return f"2{_EXPONENT_ZERO + exponent:05d}{digits}"
    return f"0{_EXPONENT_ZERO - exponent:05d}{digits.translate(_COMPLEMENT)}~"


_TYPES: dict[Kind, str] = {
    "text": "TEXT",
    "integer": "INTEGER",
    "real": "REAL",
    "boolean": "INTEGER",
    "decimal": "TEXT",
    "timestamp": "TEXT",
    "date": "TEXT",
    "uuid": "TEXT",
    "bytes": "BLOB",
    "json": "TEXT",
}
_TO_SQLITE: dict[Kind, Callable[[Any], Any]] = {
    "boolean": int,
    "decimal": canonical_decimal,
    "timestamp": written_time,
    "date": date.isoformat,
    "uuid": str,
}
_FROM_SQLITE: dict[Kind, Callable[[Any], Any]] = {
    "boolean": bool,
    "decimal": Decimal,
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
    "uuid": UUID,
}
_COMPARED = {**_TO_SQLITE, "decimal": sortable_decimal}
_WHOLE = "type IN ('text', 'integer', 'real')"  # the members that can be searched for
_OPERATORS = {"eq": "IS", "ne": "IS NOT", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


class TableSql:
    """All statements on one projection's table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.name = table_name(table.follows)
        self._columns = {column.name: column for column in table.columns}
        self._key = [self._columns[name] for name in table.key]
        self._write = [_TO_SQLITE.get(column.kind) for column in table.columns]
        self._read = [(i, _FROM_SQLITE[c.kind]) for i, c in enumerate(table.columns) if c.kind in _FROM_SQLITE]
        self._as_they_are = not any(self._write)
        self._decimals = [i for i, column in enumerate(table.columns) if column.kind == "decimal"]
        orders = [_order_of(table.columns[i]) for i in self._decimals]
        names = ", ".join(quoted(column.name) for column in table.columns)
        written = ", ".join([names, *orders])
        key = ", ".join(quoted(name) for name in table.key)
        rest = [quoted(c.name) for c in table.columns if c.name not in table.key] + orders
        update = f"UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in rest)}" if rest else "NOTHING"
        marks = ", ".join("?" * (len(table.columns) + len(orders)))
        self._by_key = " AND ".join(f"{quoted(name)} = ?" for name in table.key)
        self.select = f"SELECT {names} FROM {quoted(self.name)}"
        self.view = f"CREATE VIEW {quoted(table.name)} AS {self.select}"
        self.get = f"{self.select} WHERE {self._by_key}"
        self.upsert = f"INSERT INTO {quoted(self.name)} ({written}) VALUES ({marks}) ON CONFLICT ({key}) DO {update}"
        self.empty = f"DELETE FROM {quoted(self.name)}"
        self.delete = f"DELETE FROM {quoted(self.name)} WHERE {self._by_key}"

    def create(self) -> list[str]:
        """The statements that create the table, and the tables of members of its list columns."""
        columns = [_declared(quoted(column.name), column) for column in self.table.columns]
        columns += [_declared(_order_of(self.table.columns[i]), self.table.columns[i]) for i in self._decimals]
        key = ", ".join(quoted(name) for name in self.table.key)
        rowid = "" if self.table.declared is None else ", WITHOUT ROWID"  # short rows, written often
        made = [
            f"CREATE TABLE IF NOT EXISTS {quoted(self.name)} ({', '.join(columns)}, PRIMARY KEY ({key})) STRICT{rowid}"
        ]
        for index in self.table.indexes:
            if index.elements:
                made += self._members(index)
        return made

    def indexes(self) -> dict[str, str]:
        """The statement that creates each index, by the index's `plain` name."""
        made = {}
        for number, index in enumerate(self.table.indexes, start=1):
            if not index.elements:
                name = f"{self.name}_{number}"
                parts = ", ".join(self._ordered(column, descending) for column, descending in index.columns)
                made[plain(name)] = f"CREATE INDEX IF NOT EXISTS {quoted(name)} ON {quoted(self.name)} ({parts})"
        return made

    def rows_of(self, count: int) -> str:
        """The statement that selects the rows of `count` keys."""
        return (
            f"{self.select} WHERE {' OR '.join([f'({self._by_key})'] * count)}"
            if len(self._key) > 1
            else (f"{self.select} WHERE {quoted(self._key[0].name)} IN ({', '.join('?' * count)})")
        )

    def find(self, query: Query) -> tuple[str, list[Any]]:
        """A query's statement, and its parameters."""
        values: list[Any] = []
        tail = self.tail(query, values)
        return f"{self.select}{tail}", values

    def tail(self, query: Query, values: list[Any], joined: Sequence[str] = ()) -> str:
        """The end of a query's statement, after FROM; `values` gets its parameters. `joined`: more conditions."""
        where = [*joined, *(self._condition(condition, values) for condition in query.conditions)]
        if query.after is not None:
            nullable = {name: column.nullable for name, column in self._columns.items()}
            after = behind(query.order, query.after, nullable)

            def bind(name: str, value: Any) -> str:
                values.append(_bound(self._columns[name], value))
                return "?"

            where.append(after.sql(lambda name: _compared(self._columns[name]), bind))
        order = ", ".join(self._ordered(name, descending) for name, descending in query.order)
        clause = f" WHERE {' AND '.join(where)}" if where else ""
        values.append(query.limit)
        return f"{clause} ORDER BY {order} LIMIT ?"

    def count(self, conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
        """The statement that counts rows, and its parameters."""
        values: list[Any] = []
        where = [self._condition(condition, values) for condition in conditions]
        clause = f" WHERE {' AND '.join(where)}" if where else ""
        return f"SELECT count(*) FROM {quoted(self.name)}{clause}", values

    def compared(self, name: str) -> str:
        """The column by which values of a column are compared."""
        return _compared(self._columns[name])

    def to_sqlite(self, values: Values) -> tuple[Any, ...]:
        """A row as SQLite stores it."""
        if self._as_they_are:
            return values
        row = [v if write is None or v is None else write(v) for write, v in zip(self._write, values, strict=True)]
        orders = [None if values[i] is None else sortable_decimal(values[i]) for i in self._decimals]
        return (*row, *orders)

    def key_to_sqlite(self, key: Sequence[Any]) -> tuple[Any, ...]:
        """A key as SQLite stores it."""
        return tuple([_bound(column, value) for column, value in zip(self._key, key, strict=True)])

    def from_sqlite(self, row: tuple[Any, ...]) -> Values:
        """A row as it crosses the port."""
        if not self._read:
            return row
        return read_values(list(row), self._read)

    def _members(self, index: Index) -> list[str]:
        """A second table with the members of a list column, kept in step by triggers."""
        (column, _), *_ = index.columns
        members, rows, list_ = quoted(self._members_name(column)), quoted(self.name), quoted(column)
        key, member = [quoted(name) for name in self.table.key], self._member
        keys, new = (", ".join(f"{prefix}{name}" for name in key) for prefix in ("", "new."))
        # DISTINCT, because the conflict clause of the upsert that fires the trigger overrides OR IGNORE.
        add = (
            f"INSERT INTO {members} ({member}, {keys}) "
            f"SELECT DISTINCT value, {new} FROM json_each(new.{list_}) WHERE {_WHOLE}"
        )
        same = " AND ".join(f"{name} = old.{name}" for name in key)
        drop = f"DELETE FROM {members} WHERE {member} IN (SELECT value FROM json_each(old.{list_})) AND {same}"
        declared = ", ".join(f"{quoted(c.name)} {_TYPES[c.kind]} NOT NULL" for c in self._key)
        trigger = "CREATE TRIGGER IF NOT EXISTS"
        return [
            f"CREATE TABLE IF NOT EXISTS {members} ({member} ANY NOT NULL, {declared}, PRIMARY KEY ({member}, {keys})) "
            f"STRICT, WITHOUT ROWID",
            f"{trigger} {quoted(f'{self.name}__{column}_new')} AFTER INSERT ON {rows} BEGIN {add}; END",
            f"{trigger} {quoted(f'{self.name}__{column}_gone')} AFTER DELETE ON {rows} BEGIN {drop}; END",
            f"{trigger} {quoted(f'{self.name}__{column}_changed')} AFTER UPDATE OF {list_} ON {rows} "
            f"WHEN new.{list_} IS NOT old.{list_} BEGIN {drop}; {add}; END",
        ]

    @property
    def _member(self) -> str:
        """The column of the members. Its name must differ from those of the key."""
        taken = any(name.casefold() == "member" for name in self.table.key)
        return "member__" if taken else "member"

    def _members_name(self, column: str) -> str:
        return f"{self.name}__{column}"

    def _condition(self, condition: Condition, values: list[Any]) -> str:
        """A condition as SQL; its parameters are added to `values`."""
        column = self._columns[condition.column]
        if condition.operator == "contains":
            values.append(condition.value)
            return self._contains(column)
        if condition.operator == "in":
            values += [_bound(column, value) for value in condition.value if value is not None]
            return _one_of(_compared(column), condition.value)
        values.append(_bound(column, condition.value))
        return f"{_compared(column)} {_OPERATORS[condition.operator]} ?"

    def _contains(self, column: Column) -> str:
        if any(index.elements and index.columns[0][0] == column.name for index in self.table.indexes):
            keys = ", ".join(quoted(name) for name in self.table.key)
            return (
                f"({keys}) IN (SELECT {keys} FROM {quoted(self._members_name(column.name))} WHERE {self._member} = ?)"
            )
        list_ = (
            f"{quoted(self.name)}.{quoted(column.name)}"  # qualified, because json_each has columns value, type, key, …
        )
        return f"EXISTS (SELECT 1 FROM json_each({list_}) WHERE {_WHOLE} AND value = ?)"

    def _ordered(self, name: str, descending: bool) -> str:
        return f"{_compared(self._columns[name])}{' DESC' if descending else ''}"


def _order_of(column: Column) -> str:
    return quoted(f"{column.name}__order")


def _compared(column: Column) -> str:
    return _order_of(column) if column.kind == "decimal" else quoted(column.name)


def _declared(name: str, column: Column) -> str:
    return f"{name} {_TYPES[column.kind]}{'' if column.nullable else ' NOT NULL'}"


def _one_of(compared: str, values: Sequence[Any]) -> str:
    marks = ", ".join("?" for value in values if value is not None)
    found = f"{compared} IN ({marks})"  # SQLite accepts an empty list
    return f"({found} OR {compared} IS NULL)" if None in values else found


def _bound(column: Column, value: Any) -> Any:
    write = _COMPARED.get(column.kind)
    return value if write is None or value is None else write(value)


def table_name(follows: FollowerId) -> str:
    """The table of one version of a projection."""
    return f"twofold_{follows.name}_v{follows.version}"


def plain(name: str) -> str:
    """The name without its generation: SQLite cannot rename an index, so it keeps the name of the table built."""
    return _GENERATION.sub("", name)


def tables_of(db: apsw.Connection, follows: FollowerId) -> list[str]:
    """The table of a version, and the member tables of its list columns."""
    return [name for (name,) in list[tuple[str]](db.execute(_SQL["tables_of"], (table_name(follows),)))]


@cache
def table_sql(table: Table) -> TableSql:
    """The statements of a table, cached."""
    return TableSql(table)
