"""The tables of projections, and their statements."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from twofold.backends.keyset import Term, behind
from twofold.backends.sqlalchemy.dialects import by_value, contains, index, index_of_members, insert, ordered
from twofold.backends.sqlalchemy.schema import KEY_LENGTH, kept
from twofold.feed.checkpoints import FollowerId
from twofold.read.columns import Broken, Unreadable, Values
from twofold.read.definition import indexed_prefixes
from twofold.read.projection import Key, Table
from twofold.read.store import Condition, Query

_OF_BEGINNINGS = {"eq": "eq", "gt": "ge", "ge": "ge", "lt": "le", "le": "le"}
_LONG = ("text", "bytes", "json")


class TableSql:
    """All statements on one projection's table, for one dialect. `whole`: see `table_sql`."""

    def __init__(self, table: Table, dialect: str, *, whole: bool = False) -> None:
        self.table, self._dialect = table, dialect
        cut = dialect == "postgresql" and not whole
        self._cut = indexed_prefixes(table.columns, table.key, table.indexes) if cut else {}
        self._columns = {column.name: column for column in table.columns}
        self._names = list(self._columns)
        self._key_places = table.key_places
        self.sql = self._made()
        self._key = [self.sql.c[name] for name in table.key]
        self.select = sa.select(*self.sql.columns)
        self.upsert = insert(dialect, self.sql, [name for name in self._names if name not in table.key])
        self.delete = sa.delete(self.sql).where(
            *(column == sa.bindparam(f"key_{n}") for n, column in enumerate(self._key))
        )

    def _made(self) -> sa.Table:
        long = [c.name for c in self.table.columns if c.kind in _LONG and c.name not in self.table.key]
        length = KEY_LENGTH // max(1, sum(self._columns[name].kind in _LONG for name in self.table.key))
        made = sa.Table(table_name(self.table.follows), sa.MetaData())
        for column in self.table.columns:
            type_ = kept(column.kind, length if column.name in self.table.key else None)
            made.append_column(sa.Column(column.name, type_, nullable=column.nullable, autoincrement=False))
        made.append_constraint(sa.PrimaryKeyConstraint(*self.table.key))
        for number, declared in enumerate(self.table.indexes, start=1):
            name = f"{self.table.name}__{self.table.follows.version}_{number}{'c' if self._cut else ''}"
            columns = [made.c[column] for column, _ in declared.columns]
            if declared.elements:
                index_of_members(self._dialect, name, columns[0])
            else:
                orderings = [self._ordered(column, *how) for column, how in zip(columns, declared.columns, strict=True)]
                index(self._dialect, name, columns, orderings, long)
        return made

    def rows_of(self, keys: Sequence[Key]) -> sa.Select[Any]:
        """Selects the rows of these keys."""
        if len(self._key) == 1:
            return self.select.where(self._key[0].in_([key[0] for key in keys]))
        return self.select.where(sa.tuple_(*self._key).in_(keys))

    def find(self, query: Query) -> sa.Select[Any]:
        """Selects the rows of a query."""
        selected = self.select.where(*map(self._condition, query.conditions))
        if query.after is not None:
            selected = selected.where(self._behind(query.order, query.after))
        order = [self._ordered(self.sql.c[name], name, descending) for name, descending in query.order]
        return selected.order_by(*order).limit(query.limit)

    def count(self, conditions: Sequence[Condition]) -> sa.Select[Any]:
        """Counts rows."""
        return sa.select(sa.func.count()).select_from(self.sql).where(*map(self._condition, conditions))

    def values(self, row: sa.Row[Any]) -> Values:
        """A row as it crosses the port."""
        broken = any(type(value) is Unreadable for value in row)
        return Broken(row) if broken else tuple(row)

    def row(self, values: Values) -> dict[str, Any]:
        """A row as the parameters of `upsert`."""
        return dict(zip(self._names, values, strict=True))

    def gone(self, key: Key) -> dict[str, Any]:
        """A key as the parameters of `delete`."""
        return {f"key_{n}": value for n, value in enumerate(key)}

    def key_of(self, values: Values) -> Key:
        """The key of a row."""
        return tuple([values[place] for place in self._key_places])

    def _by_value(self, column: sa.Column[Any]) -> Any:
        return by_value(self._dialect, column, self._columns[column.name].kind == "decimal")

    def _indexable(self, column: sa.Column[Any]) -> Any:
        """The expression for indexes and ORDER BY: the beginning of a value that may be too long for an index."""
        if column.name not in self._cut:
            return self._by_value(column)
        length: Any = sa.literal_column(str(self._cut[column.name]))  # a parameter would keep the index from being used
        if self._columns[column.name].kind == "text":
            return sa.func.left(column, length)
        return sa.func.substr(column, sa.literal_column("1"), length)

    def _ordered(self, column: sa.Column[Any], name: str, descending: bool) -> Any:
        return ordered(self._dialect, self._indexable(column), descending, self._columns[name].nullable)

    def _condition(self, condition: Condition) -> Any:
        if condition.operator == "contains":
            return contains(self._dialect, self.sql.c[condition.column], condition.value)
        if condition.operator == "in":
            return self._one_of(condition.column, condition.value)
        return self._compared(condition.column, condition.operator, condition.value)

    def _compared(self, name: str, how: str, value: Any) -> Any:
        column = self.sql.c[name]
        if value is None:  # None equals only itself, and has no order
            return {"eq": column.is_(None), "ne": column.is_not(None)}.get(how, sa.false())
        compared = getattr(operator, how)(self._by_value(column), sa.bindparam(None, value, column.type))
        if how == "ne":
            return sa.or_(compared, column.is_(None))
        return sa.and_(self._placed(name, _OF_BEGINNINGS[how], value), compared) if name in self._cut else compared

    def _one_of(self, name: str, values: Sequence[Any]) -> Any:
        column, wanted = self.sql.c[name], [value for value in values if value is not None]
        found = self._by_value(column).in_(sa.bindparam(None, wanted, column.type, expanding=True))
        if name in self._cut:
            beginnings = [value[: self._cut[name]] for value in wanted]
            within = sa.bindparam(None, beginnings, column.type, expanding=True)
            found = sa.and_(self._indexable(column).in_(within), found)
        return sa.or_(found, column.is_(None)) if None in values else found

    def _placed(self, name: str, how: str, value: Any) -> Any:
        """Like `_compared`, but compares the expression that rows are ordered by."""
        if value is None or name not in self._cut:
            return self._compared(name, how, value)
        column = self.sql.c[name]
        beginning = sa.bindparam(None, value[: self._cut[name]], column.type)
        return getattr(operator, how)(self._indexable(column), beginning)

    def _behind(self, order: Sequence[tuple[str, bool]], after: Values) -> Any:
        after_row = behind(order, after, {name: column.nullable for name, column in self._columns.items()})
        alternatives = [sa.and_(*map(self._term, terms)) for terms in after_row.alternatives]
        bound = [] if after_row.bound is None else [self._term(after_row.bound)]
        return sa.and_(*bound, sa.or_(sa.false(), *alternatives))

    def _term(self, term: Term) -> Any:
        match term.how:
            case "null" | "not_null":
                column = self.sql.c[term.column]
                return column.is_(None) if term.how == "null" else column.is_not(None)
            case "lt_or_null":
                return sa.or_(self._placed(term.column, "lt", term.value), self.sql.c[term.column].is_(None))
            case how:
                return self._placed(term.column, how, term.value)


def table_name(follows: FollowerId) -> str:
    """The table of one version of a projection."""
    return f"twofold_{follows.name}_v{follows.version}"


@cache
def table_sql(table: Table, dialect: str, *, whole: bool = False) -> TableSql:
    """The statements of a table, cached. `whole`: its indexes hold whole texts, as older versions made them."""
    return TableSql(table, dialect, whole=whole)
