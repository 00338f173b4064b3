"""Trees of rows as JSON, in one statement: see `ReadsTrees`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apsw

from twofold.backends.sqlite.as_json import about_of, checks_of, object_of, part_of, standing_of
from twofold.backends.sqlite.tables import TableSql, table_sql
from twofold.backends.statements import quoted
from twofold.read.projection import Table
from twofold.read.store import Query
from twofold.read.tree import MARK, Branch, Constant, Grown, Standing, TooDeep, Value, tables_of
from twofold.read.written import Member

_TOO_DEEP = "tree is too large"  # a thousand levels of expressions, which are about 16 of rows
_MARK = f"char({ord(MARK)})"


class Hole(NamedTuple):
    """Where the conditions, the order and the limit of a branch belong."""

    place: int
    sql: TableSql
    joined: tuple[str, ...]


class TreesSql:
    """The statement for some trees: a column for the standing of each table, and one for the JSON of each tree."""

    def __init__(self, trees: Sequence[Branch]) -> None:
        self.tables = tables_of(trees)
        self._aliases = 0
        self._holes: dict[str, Hole] = {}
        self._whose: list[Any] = []
        standing = [f"({self._about(table)})" for table in self.tables]
        texts = [self._branch(tree, None) for tree in trees]
        self._parts = list(self._split("SELECT " + ", ".join([*standing, *texts])))

    def statement(self, queries: Sequence[Query]) -> tuple[str, list[Any]]:
        """The statement with the query of each branch, and its parameters, in the order of their places in it."""
        values: list[Any] = [*self._whose]
        parts = [
            part if isinstance(part, str) else part.sql.tail(queries[part.place], values, part.joined)
            for part in self._parts
        ]
        return "".join(parts), values

    def _about(self, table: Table) -> str:
        """The standing of a table, whose parameters come before those of the queries."""
        before, (about, whose) = len(self._whose), about_of(table)
        self._whose += whose
        return re.sub(r"\?(\d)\b", lambda found: f"?{before + int(found[1])}", about)

    def _branch(self, branch: Branch, parent: tuple[str, TableSql] | None) -> str:
        """The JSON of a branch, as an expression."""
        self._aliases += 1
        alias, sql = f"t{self._aliases}", table_sql(branch.table)
        text = self._object(branch, (alias, sql))
        joined: tuple[str, ...] = ()
        if branch.joined is not None and parent is not None:
            theirs, own = branch.joined
            joined = (f"{quoted(sql.name)}.{sql.compared(theirs)} = {parent[0]}.{parent[1].compared(own)}",)
        rows = f"(SELECT * FROM {quoted(sql.name)}{self._hole(Hole(branch.place, sql, joined))}) {alias}"
        if branch.several:
            return f"(SELECT '[' || coalesce(group_concat({text}, ','), '') || ']' FROM {rows})"
        return f"coalesce((SELECT {text} FROM {rows}), 'null')"

    def _object(self, branch: Branch, parent: tuple[str, TableSql]) -> str:
        members: list[tuple[str, str, str]] = []
        usual: list[list[str]] = []
        for name, member in branch.members:
            checks: list[str] = []
            match member:
                case Constant(text):
                    members.append((name, "%s", "'" + text.replace("'", "''") + "'"))
                case Value(column):
                    members.append((name, *part_of(Member(column, name))))
                    checks = [*checks_of(Member(column, name)), *_fits(member)]
                case Branch():
                    members.append((name, "%s", self._branch(member, parent)))
            usual.append(checks)
        return object_of(members, usual, _MARK)

    def _hole(self, hole: Hole) -> str:
        """A mark in the statement, which holds no other control character."""
        self._holes[str(hole.place)] = hole
        return f"\x02{hole.place}\x02"

    def _split(self, statement: str) -> Iterator[str | Hole]:
        for number, part in enumerate(statement.split("\x02")):
            yield self._holes[part] if number % 2 else part


def _fits(value: Value) -> list[str]:
    if not value.int32:
        return []
    name = quoted(value.column.name)
    check = f"{name} BETWEEN {-(2**31)} AND {2**31 - 1}"
    return [f"({name} IS NULL OR {check})" if value.column.nullable else check]


def grown(db: apsw.Connection, asked: Iterable[tuple[TreesSql, Sequence[Query]]]) -> list[Grown]:
    """See `ReadsTrees`. Raises: TooDeep."""
    return [_grown(db, sql, queries) for sql, queries in asked]


def _grown(db: apsw.Connection, sql: TreesSql, queries: Sequence[Query]) -> Grown:
    row: Any
    try:
        [row] = db.execute(*sql.statement(queries)).fetchall()
    except apsw.SQLError as error:
        if _TOO_DEEP in str(error):
            raise TooDeep from error
        raise
    standing = [
        Standing(table, *standing_of(table.follows, text)) for table, text in zip(sql.tables, row, strict=False)
    ]
    return Grown([text.encode() for text in row[len(standing) :]], standing)
