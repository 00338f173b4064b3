"""Trees of rows as JSON, in one statement: see `ReadsTrees`.

Rows are selected, ordered and cut in a subquery, so that PostgreSQL writes only those that are wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from twofold.backends.postgres.as_json import KEYS, checks_of, object_of, value_of
from twofold.backends.postgres.tables import Parameters, TableSql
from twofold.backends.statements import quoted
from twofold.read.projection import Key, Table
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
            if isinstance(member, Branch):
                members.append((name, self._branch(member, alias)))
            else:
                members.append((name, _text(name, member)))
                usual += _checks(name, member)
        return object_of(members, usual, _MARK)

    def _hole(self, hole: Hole) -> str:
        """A mark in the statement, which holds no other control character."""
        mark = f"\x02{hole.place}\x02"
        self._holes[str(hole.place)] = hole
        return mark

    def _split(self, statement: str) -> Iterator[str | Hole]:
        for number, part in enumerate(statement.split("\x02")):
            yield self._holes[part] if number % 2 else part


class KeyedSql:
    """The statement for rows of one table by their keys: the standing of the table, and the JSON of each row.

    Its last parameters are an array for each column of the key.
    """

    def __init__(self, sql: TableSql, members: Sequence[tuple[str, Constant | Value]]) -> None:
        asked = [f"k{n}" for n in range(len(sql.table.key))]
        same = " AND ".join(sql.joined(name, f"{KEYS}.{k}") for name, k in zip(sql.table.key, asked, strict=True))
        usual = [check for name, member in members for check in _checks(name, member)]
        text = object_of([(name, _text(name, member)) for name, member in members], usual, _MARK)
        row = f"SELECT {text} FROM {sql.name} WHERE {same} LIMIT 1"
        keys = f"{sql.unnested_keys} WITH ORDINALITY AS {KEYS} ({', '.join(asked)}, place)"
        texts = f"SELECT convert_to(coalesce(({row}), 'null'), 'UTF8') FROM {keys} ORDER BY {KEYS}.place"
        self.table, self._sql = sql.table, sql
        self._statement = f"SELECT ({sql.about}), ARRAY({texts})"

    def statement(self, keys: Sequence[Key]) -> tuple[str, list[Any]]:
        """The statement, and its parameters."""
        return self._statement, [*self._sql.whose, *self._sql.keys_by_column(keys)]

    def key(self, query: Query) -> Key | None:
        """The key that a query asks for, if it asks for nothing else."""
        if query.after is not None or len(query.conditions) != len(self._sql.table.key):
            return None
        for name, one in zip(self._sql.table.key, query.conditions, strict=True):
            if one.column != name or one.operator != "eq" or one.value is None:
                return None
        return tuple([one.value for one in query.conditions])


def keyed_sql(trees: Sequence[Branch], sql_of: Callable[[Table], TableSql]) -> KeyedSql | None:
    """The statement for these trees by keys, if they are one row without related ones."""
    [tree, *others] = trees
    members = [(name, member) for name, member in tree.members if not isinstance(member, Branch)]
    if others or tree.several or len(members) < len(tree.members):
        return None
    return KeyedSql(sql_of(tree.table), members)


def _text(name: str, member: Constant | Value) -> str:
    """The JSON of a member, as an expression."""
    if isinstance(member, Constant):
        return "'" + member.text.replace("'", "''") + "'"
    return value_of(Member(member.column, name))


def _checks(name: str, member: Constant | Value) -> list[str]:
    """Conditions under which a member can be written here."""
    return [] if isinstance(member, Constant) else [*checks_of(Member(member.column, name)), *_fits(member)]


def _fits(value: Value) -> list[str]:
    if not value.int32:
        return []
    name = quoted(value.column.name)
    check = f"{name} BETWEEN {-(2**31)} AND {2**31 - 1}"
    return [f"({name} IS NULL OR {check})" if value.column.nullable else check]
