"""Queries, run over documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from devservers.cosmos.errors import Refused
from devservers.cosmos.keys import UNDEFINED
from devservers.cosmos.sql.expressions import GROUPED, Context, aggregates_in, made
from devservers.cosmos.sql.nodes import Member, Name, Node, Query, Source
from devservers.cosmos.sql.operators import Row, Value
from devservers.cosmos.sql.parser import parsed
from devservers.cosmos.sql.values import identity, sort_key

ROOT = "root"
Rows = Callable[[Iterable[Any]], Iterator[Any]]


def understood(body: dict[str, Any]) -> tuple[Query, dict[str, Any]]:
    """The query and its parameters, from the body of a request. Raises: Refused."""
    text, given = body.get("query"), body.get("parameters") or []
    if not isinstance(text, str) or not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise Refused(400, 'a query is sent as {"query": "SELECT …", "parameters": [{"name": "@x", "value": 1}]}.')
    return parsed(text), {str(one.get("name")): one.get("value") for one in given}


def select(body: dict[str, Any], documents: Iterable[Any]) -> list[Any]:
    """All results. Raises: Refused."""
    query, parameters = understood(body)
    return list(results(query, parameters, documents))


def streams(query: Query) -> bool:
    """Whether each document yields its results alone, whatever the others are."""
    whole = query.distinct or query.top is not None or query.group or query.order or query.offset is not None
    return not whole and not aggregates(query)


def aggregates(query: Query) -> bool:
    """Whether the results are made of groups of documents."""
    return any(aggregates_in(node) for node, _ in query.fields or ())


def results(query: Query, parameters: dict[str, Any], documents: Iterable[Any]) -> Iterator[Any]:
    """The results, one by one. Raises: Refused, before the first document is looked at."""
    alias = query.sources[0].alias if query.sources else ROOT
    first = next((_base(source) for source in query.sources), ROOT)
    context = Context(parameters, frozenset({alias, first, ROOT}), _nested)
    return _prepared(query, context)({first: it, ROOT: it, alias: it} for it in documents)


def condition(query: Query) -> Callable[[dict[str, Any]], bool]:
    """Whether a document meets the query's condition."""
    return lambda document: next(results(query, {}, [document]), False) is True


def _base(source: Source) -> str:
    node: Node | None = source.value
    while isinstance(node, Member):
        node = node.of
    return node.name if isinstance(node, Name) else ROOT


def _nested(query: Query, row: Row, context: Context) -> Iterator[Any]:
    return _prepared(query, context)([row])


def _prepared(query: Query, context: Context) -> Rows:
    """The clauses in the order in which they are applied."""
    steps: list[Rows] = []
    for source in query.sources:
        step, context = _from(source, context)
        steps.append(step)
    if query.where is not None:
        steps.append(_where(made(query.where, context)))
    if query.group or aggregates(query):
        steps.append(_grouped([made(node, context) for node in query.group]))
    if query.order:
        steps.append(_sorted([(made(node, context), down) for node, down in query.order]))
    steps.append(_selected(query, context))
    if query.distinct:
        steps.append(_distinct)
    steps += _cut(query, context)

    def run(rows: Iterable[Any]) -> Iterator[Any]:
        for step in steps:
            rows = step(rows)
        return iter(rows)

    return run


def _from(source: Source, context: Context) -> tuple[Rows, Context]:
    assert source.value is not None
    value, alias = made(source.value, context), source.alias
    inner = Context(context.parameters, context.aliases | {alias}, context.run)

    def one(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            found = value(row)
            if found is not UNDEFINED:
                yield {**row, alias: found}

    def each(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            found = value(row)
            for item in found if isinstance(found, list) else ():
                yield {**row, alias: item}

    if isinstance(source.value, Name) and not source.each and source.value.name == alias:
        return iter, inner
    return (each if source.each else one), inner


def _where(holds: Value) -> Rows:
    return lambda rows: (row for row in rows if holds(row) is True)


def _grouped(keys: list[Value]) -> Rows:
    def group(rows: Iterable[Row]) -> Iterator[Row]:
        groups: dict[bytes, list[Row]] = {} if keys else {identity([]): []}
        for row in rows:
            groups.setdefault(identity([key(row) for key in keys]), []).append(row)
        for members in groups.values():
            yield {**(members[0] if members else {}), GROUPED: members}

    return group


def _sorted(keys: list[tuple[Value, bool]]) -> Rows:
    def sort(rows: Iterable[Row]) -> Iterator[Row]:
        found = list(rows)
        for key, down in reversed(keys):
            found.sort(key=lambda row: sort_key(key(row)), reverse=down)
        return iter(found)

    return sort


def _selected(query: Query, context: Context) -> Rows:
    if query.fields is None:
        aliases = [source.alias for source in query.sources]
        if len(aliases) != 1:
            raise Refused(400, "'SELECT *' is only valid with a single input set: name what is wanted of each.")
        return lambda rows: (row[aliases[0]] for row in rows)
    if query.value:
        value = made(query.fields[0][0], context)
        return lambda rows: (found for row in rows if (found := value(row)) is not UNDEFINED)
    named = [(name or f"${index}", made(node, context)) for index, (node, name) in _numbered(query.fields)]
    return lambda rows: (
        {name: found for name, value in named if (found := value(row)) is not UNDEFINED} for row in rows
    )


def _numbered(fields: Iterable[tuple[Node, str | None]]) -> Iterator[tuple[int, tuple[Node, str | None]]]:
    """The fields, those without a name counted from 1."""
    unnamed = 0
    for node, name in fields:
        unnamed += name is None
        yield unnamed, (node, name)


def _distinct(rows: Iterable[Any]) -> Iterator[Any]:
    seen = set()
    for row in rows:
        if (known := identity(row)) not in seen:
            seen.add(known)
            yield row


def _cut(query: Query, context: Context) -> list[Rows]:
    """TOP, OFFSET and LIMIT. Raises: Refused."""
    top, offset, limit = counts(query, context.parameters)
    start, ends = offset or 0, [end for end in (top, limit) if end is not None]
    if not start and not ends:
        return []
    return [lambda rows: islice(rows, start, start + min(ends) if ends else None)]


def counts(query: Query, parameters: dict[str, Any]) -> tuple[int | None, int | None, int | None]:
    """TOP, OFFSET and LIMIT, None where they are missing. Raises: Refused."""
    context = Context(parameters, frozenset(), _nested)
    clauses = (("TOP", query.top), ("OFFSET", query.offset), ("LIMIT", query.limit))
    top, offset, limit = (None if node is None else _count(name, node, context) for name, node in clauses)
    return top, offset, limit


def _count(clause: str, node: Node, context: Context) -> int:
    value = made(node, context)({})
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Refused(400, f"{clause} takes a whole number from 0 on, not {value!r}.")
    return value
