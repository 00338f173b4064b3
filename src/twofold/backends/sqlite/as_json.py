"""Rows as JSON, written by SQLite: see `WritesJson`.

`format` writes a row faster than `json_object` does. A text that does not look like what its column should hold, since
the table was changed by hand, is left to Python, which says so; and so is a decimal that is not written as its digits
alone. Patterns of digits would tell more, and take as long as the rest (measured).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Literal

import apsw
import msgspec

from twofold.backends.sqlite.tables import TableSql, table_sql
from twofold.backends.statements import quoted, statements
from twofold.feed.checkpoints import Checkpoint, FollowerId, Parked
from twofold.messages import Position
from twofold.read.columns import Column
from twofold.read.projection import Key, Table
from twofold.read.store import Query, QueryResult
from twofold.read.written import LONGEST_DECIMAL, LONGEST_NUMBER, UNUSUAL, Member, Shape, written_rows

Asked = tuple[Table, Shape, Key | Query]

ARGUMENTS = 90  # of a function, which may be limited to 100; and an expression has at most 1,000 levels

_SQL = statements("twofold.backends.sqlite", "tables.sql")
_DAY = "????-??-??"
_MOMENT = f"{_DAY}T??:??:??.??????Z"


_ABOUT_SQL = _SQL["about"].format(name="?1", version="?2")
_ABOUT_ROLLUP = _SQL["about"].format(name="?3", version="?4")


class _About(msgspec.Struct):
    """The result of `about` in tables.sql."""

    checkpoints: list[tuple[int, str, int, str | None, int, int, str | None]]
    parked: list[tuple[Literal["row", "stream"], str, int, int, str, datetime, int]]


_ABOUT = msgspec.json.Decoder(_About)


class JsonSql:
    """The statements for rows of one table in one shape."""

    def __init__(self, sql: TableSql, shape: Shape) -> None:
        self._sql = sql
        about, self.whose = about_of(sql.table)
        names = sql.table.key
        asked = ["k.value"] if len(names) == 1 else [f"k.value ->> {place}" for place in range(len(names))]
        same = " AND ".join(f"{quoted(name)} = {value}" for name, value in zip(names, asked, strict=True))
        row = f"SELECT {written(shape)} AS j FROM {quoted(sql.name)}"
        one = f"coalesce(({row} WHERE {same}), '')"
        self.get = f"SELECT ({about}), (SELECT group_concat({one}, char(10) ORDER BY k.key) FROM json_each(?) k)"
        self._page = f"SELECT ({about}), (SELECT group_concat(j, char(10)) FROM ({row}", "))"

    def find(self, query: Query) -> tuple[str, list[Any]]:
        """A query's statement, and its parameters after name and version."""
        statement, values = self._sql.find(query)
        return statement.removeprefix(self._sql.select).join(self._page), values

    def keys(self, keys: Sequence[Key]) -> str:
        """The last parameter of `get`."""
        stored = [self._sql.key_to_sqlite(key) for key in keys]
        return msgspec.json.encode([key[0] for key in stored] if len(stored[0]) == 1 else stored).decode()


def about_of(table: Table) -> tuple[str, tuple[Any, ...]]:
    """What is selected beside rows, and its parameters: whose checkpoints, and of a rollup whose parked keys."""
    of = (table.parks,) if table.declared is not None else ()
    whose = tuple(value for one in (table.follows, *of) for value in (one.name, one.version))
    return (_ABOUT_ROLLUP if of else _ABOUT_SQL), whose


@cache
def json_sql(table: Table, shape: Shape) -> JsonSql:
    """The statements, cached."""
    return JsonSql(table_sql(table), shape)


def may_get(table: Table) -> bool:
    """Whether its keys can be sent as JSON."""
    kinds = {column.kind for column in table.columns if column.name in table.key}
    return kinds <= {"text", "integer", "date", "timestamp", "uuid"}


def answered(db: apsw.Connection, asked: Iterable[Asked]) -> list[QueryResult | None]:
    """See `WritesJson`; one statement for all keys of a table."""
    results: list[QueryResult | None] = []
    keys: dict[tuple[Table, Shape], list[tuple[int, Key]]] = {}
    for place, (table, shape, what) in enumerate(asked):
        if isinstance(what, Query):
            results.append(_found(db, table, shape, what))
        else:
            keys.setdefault((table, shape), []).append((place, what))
            results.append(None)
    for (table, shape), some in keys.items():
        found = _got(db, table, shape, [key for _, key in some])
        for (place, _), result in zip(some, found, strict=True):
            results[place] = result
    return results


def _found(db: apsw.Connection, table: Table, shape: Shape, query: Query) -> QueryResult | None:
    sql = json_sql(table, shape)
    statement, values = sql.find(query)
    about, text = _one(db, statement, (*sql.whose, *values))
    checkpoints, parked = standing_of(table.follows, about)
    rows = written_rows(text)
    return None if rows is None else QueryResult(checkpoints, rows, parked)


def _got(db: apsw.Connection, table: Table, shape: Shape, keys: Sequence[Key]) -> Iterator[QueryResult | None]:
    sql = json_sql(table, shape)
    about, text = _one(db, sql.get, (*sql.whose, sql.keys(keys)))
    checkpoints, parked = standing_of(table.follows, about)
    for line in (text or "").split("\n"):
        rows = written_rows(line)
        yield None if rows is None else QueryResult(checkpoints, rows, parked)


def _one(db: apsw.Connection, statement: str, values: tuple[Any, ...]) -> tuple[str, str | None]:
    """The only row of a statement."""
    [row] = db.execute(statement, values).fetchall()
    return row  # type: ignore[return-value]


def standing_of(follows: FollowerId, text: str) -> tuple[list[Checkpoint], list[Parked]]:
    """Checkpoints and parked keys, in order."""
    about = _ABOUT.decode(text)
    checkpoints = [
        Checkpoint(follows.in_partition(partition), log_id, Position(partition, offset), owner, epoch, beats, wanted)
        for partition, log_id, offset, owner, epoch, beats, wanted in sorted(about.checkpoints, key=lambda row: row[0])
    ]
    parked = [
        Parked(kind, key, Position(partition, position), error, since, tries)
        for kind, key, partition, position, error, since, tries in about.parked
    ]
    return checkpoints, sorted(parked, key=lambda entry: (entry.position, entry.kind, entry.key))


def written(shape: Shape) -> str:
    """The JSON of a row as an expression, or a mark if one of its values is left to Python."""
    members = [(member.name, *part_of(member)) for member in shape.members]
    return object_of(members, [checks_of(member) for member in shape.members], f"'{UNUSUAL}'")


def object_of(members: Sequence[tuple[str, str, str]], usual: Sequence[Sequence[str]], otherwise: str) -> str:
    """The JSON of an object as an expression. Of each member: its name, the place for its value in a template, and the
    text of the value. `otherwise` if not all checks are true, of which there may be some for each member.
    """
    places = range(0, len(members), ARGUMENTS)
    text = " || ',' || ".join([_formatted(members[n : n + ARGUMENTS]) for n in places])
    text = f"'{{' || {text} || '}}'" if members else "'{}'"
    checks = [" AND ".join([c for some in usual[n : n + ARGUMENTS] for c in some]) for n in places]
    if not any(checks):
        return text
    return f"CASE WHEN {' AND '.join([f'({check})' for check in checks if check])} THEN {text} ELSE {otherwise} END"


def _formatted(members: Sequence[tuple[str, str, str]]) -> str:
    template = ",".join([f"{_name(name)}:{place}" for name, place, _ in members])
    return f"format('{template}', {', '.join([value for _, _, value in members])})"


def _name(name: str) -> str:
    return msgspec.json.encode(name).decode().replace("'", "''").replace("%", "%%")


def part_of(member: Member) -> tuple[str, str]:
    """The place of a value in the template, and its text."""
    column, text = member.column, _text(member)
    if column.kind == "text":
        return "%s", text
    in_quotes = column.kind in ("decimal", "timestamp", "date", "uuid") and not member.number
    if not column.nullable:
        return ('"%s"' if in_quotes else "%s"), text
    return "%s", f"coalesce('\"' || {text} || '\"', 'null')" if in_quotes else f"coalesce({text}, 'null')"


def _text(member: Member) -> str:
    """The text of a value; NULL of NULL."""
    name = quoted(member.column.name)
    match member.column.kind:
        case "text":
            return f"json_quote({name})"
        case "boolean":
            return f"CASE WHEN {name} = 0 THEN 'false' WHEN {name} IS NOT NULL THEN 'true' END"
        case "timestamp":
            return f"replace({name}, '.000000Z', 'Z')"
        case "json":  # changed by hand, it may have several lines
            return f"replace({name}, char(10), ' ')"
        case _:
            return name


def checks_of(member: Member) -> list[str]:
    """Conditions under which a value can be written here."""
    column: Column = member.column
    name = quoted(column.name)
    longest = LONGEST_NUMBER if member.number else LONGEST_DECIMAL
    check = {
        "decimal": f"{name} GLOB '[-0-9]*' AND octet_length({name}) <= {longest}",
        "timestamp": f"{name} GLOB '{_MOMENT}'",
        "date": f"{name} GLOB '{_DAY}'",
        "uuid": f"octet_length({name}) = 36",
    }.get(column.kind)
    if check is None:
        return []
    return [f"({name} IS NULL OR {check})" if column.nullable else check]
