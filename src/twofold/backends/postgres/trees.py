"""Trees of rows as JSON, in one statement: see `ReadsTrees`.

Rows are selected, ordered and cut in a subquery, so that PostgreSQL writes only those that are wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from twofold.backends.postgres.as_json import checks_of, object_of, value_of
from twofold.backends.postgres.tables import Parameters, TableSql
from twofold.backends.statements import quoted
from twofold.read.projection import Table
from twofold.read.store import Query
from twofold.read.tree import MARK, Branch, Constant, Value, tables_of
from twofold.read.written import Member

_MARK = f"chr({ord(MARK)})"


class Hole(NamedTuple):
    """Where the conditions, the order and the limit of a branch belong."""

    place: int
    sql: TableSql
    joined: tuple[str, ...]


class TreesSql:
    """The statement for some trees: a column for the standing of each table, and one for the JSON of each tree."""

    def __init__(self, trees: Sequence[Branch], sql_of: Callable[[Table], TableSql]) -> None:
        self.tables = tables_of(trees)
        self._sql_of, self._aliases = sql_of, 0
        self._holes: dict[str, Hole] = {}
        self._whose: list[Any] = []
        standing = [f"({self._about(sql_of(table))})" for table in self.tables]
        texts = [f"convert_to({self._branch(tree, None)}, 'UTF8')" for tree in trees]
        self._parts = list(self._split("SELECT " + ", ".join([*standing, *texts])))

    def statement(self, queries: Sequence[Query]) -> tuple[str, list[Any]]:
        """The statement with the query of each branch, and its parameters."""
        values = Parameters(start=1)
        values.values.extend(self._whose)
        parts = [
            part if isinstance(part, str) else part.sql.tail(queries[part.place], values, part.joined)
            for part in self._parts
        ]
        return "".join(parts), values.values

    def _about(self, sql: TableSql) -> str:
        """The standing of a table, whose parameters come before those of the queries."""
        before = len(self._whose)
        self._whose += sql.whose
        return re.sub(r"\$(\d)\b", lambda found: f"${before + int(found[1])}", sql.about)

    def _branch(self, branch: Branch, parent: str | None) -> str:
        """The JSON of a branch, as an expression."""
        self._aliases += 1
        alias, sql = f"t{self._aliases}", self._sql_of(branch.table)
        text = self._object(branch, alias)
        joined: tuple[str, ...] = ()
        if branch.joined is not None and parent is not None:
            theirs, own = branch.joined
            joined = (sql.joined(theirs, f"{parent}.{quoted(own)}"),)
        rows = f"(SELECT * FROM {sql.name}{self._hole(Hole(branch.place, sql, joined))}) {alias}"
        if branch.several:
            return f"(SELECT concat('[', string_agg({text}, ','), ']') FROM {rows})"
        return f"coalesce((SELECT {text} FROM {rows}), 'null')"

    def _object(self, branch: Branch, alias: str) -> str:
        members: list[tuple[str, str]] = []
        usual: list[str] = []
        for name, member in branch.members:
            match member:
                case Constant(text):
                    members.append((name, "'" + text.replace("'", "''") + "'"))
                case Value(column):
                    members.append((name, value_of(Member(column, name))))
                    usual += [*checks_of(Member(column, name)), *_fits(member)]
                case Branch():
                    members.append((name, self._branch(member, alias)))
        return object_of(members, usual, _MARK)

    def _hole(self, hole: Hole) -> str:
        """A mark in the statement, which holds no other control character."""
        mark = f"\x02{hole.place}\x02"
        self._holes[str(hole.place)] = hole
        return mark

    def _split(self, statement: str) -> Iterator[str | Hole]:
        for number, part in enumerate(statement.split("\x02")):
            yield self._holes[part] if number % 2 else part


def _fits(value: Value) -> list[str]:
    if not value.int32:
        return []
    name = quoted(value.column.name)
    check = f"{name} BETWEEN {-(2**31)} AND {2**31 - 1}"
    return [f"({name} IS NULL OR {check})" if value.column.nullable else check]
