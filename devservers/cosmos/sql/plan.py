"""The plan of a query over several ranges: what a client asks of each, and how it puts the answers together."""

from __future__ import annotations

from typing import Any

from devservers.cosmos.errors import Refused
from devservers.cosmos.ranges import END, FIRST
from devservers.cosmos.sql.expressions import AGGREGATES
from devservers.cosmos.sql.nodes import Call, Query
from devservers.cosmos.sql.running import aggregates, counts
from devservers.cosmos.sql.values import as_text

FILTER = "{documentdb-formattableorderbyquery-filter}"  # clients put a condition in its place
NAMES = {"COUNT": "Count", "SUM": "Sum", "AVG": "Average", "MIN": "Min", "MAX": "Max", "COUNTIF": "CountIf"}


def plan(query: Query, parameters: dict[str, Any], supported: str) -> dict[str, Any]:
    """Raises: Refused for what the client cannot put together."""
    if query.group:
        raise Refused(
            400,
            f"Query contains GROUP BY, which this development server answers only within one partition key or range; "
            f"the client supports: {supported or 'nothing'}.",
        )
    top, offset, limit = counts(query, parameters)
    info: dict[str, Any] = {
        "distinctType": _distinct(query),
        "top": top,
        "offset": offset,
        "limit": limit,
        "orderBy": ["Descending" if down else "Ascending" for _, down in query.order],
        "orderByExpressions": _texts(query, "order", len(query.order)),
        "groupByExpressions": [],
        "groupByAliases": [],
        "aggregates": [NAMES[call.name] for call in _aggregate(query)],
        "groupByAliasToAggregateType": {},
        "rewrittenQuery": _rewritten(query, offset, limit),
        "hasSelectValue": query.value,
        "hasNonStreamingOrderBy": False,
    }
    everything = {"min": FIRST, "max": END, "isMinInclusive": True, "isMaxInclusive": False}
    return {"partitionedQueryExecutionInfoVersion": 2, "queryInfo": info, "queryRanges": [everything]}


def _distinct(query: Query) -> str:
    """Equal results come one after the other if they are in the order of what is selected."""
    if not query.distinct:
        return "None"
    ordered = len(query.order) == len(query.fields or ()) == 1 and query.written("field0") == query.written("order0")
    return "Ordered" if ordered else "Unordered"


def _aggregate(query: Query) -> list[Call]:
    """The one aggregate that is selected. Raises: Refused if there is more to it."""
    if not aggregates(query):
        return []
    assert query.fields is not None
    node = query.fields[0][0]
    if len(query.fields) > 1 or not isinstance(node, Call) or node.name not in AGGREGATES:
        raise Refused(400, "over several ranges an aggregate must be all that is selected: SELECT VALUE COUNT(1).")
    return [node]


def _rewritten(query: Query, offset: int | None, limit: int | None) -> str:
    """The query for one range; empty for the original."""
    found = _aggregate(query)
    if found:
        return _tail(query, f"VALUE [{{{_partial(query, found[0])}}}]")
    if query.order:
        items = ", ".join(f'{{"item": {text}}}' for text in _texts(query, "order", len(query.order)))
        alias = query.sources[0].alias
        rewritten = _tail(query, f"{alias}._rid, [{items}] AS orderByItems, {_payload(query)} AS payload", FILTER)
        return f"{rewritten} ORDER BY {query.written('order')}"
    if limit is not None:
        return f"{query.written('body')} OFFSET 0 LIMIT {(offset or 0) + limit}"
    return ""


def _partial(query: Query, call: Call) -> str:
    """What a range tells: the value, and what clients need where a range may have nothing to say."""
    text = query.written("field0")
    of = text[text.index("(") :]
    if call.name == "AVG":
        return f'"item": {{"sum": SUM{of}, "count": COUNT{of}}}'
    if call.name in ("MIN", "MAX"):
        return f'"item": {text}, "item2": {{"{call.name.lower()}": {text}, "count": COUNT{of}}}'
    return f'"item": {text}'


def _payload(query: Query) -> str:
    if query.fields is None:
        return query.sources[0].alias
    texts = _texts(query, "field", len(query.fields))
    if query.value:
        return texts[0]
    names = [name or f"${index + 1}" for index, (_, name) in enumerate(query.fields)]
    return "{" + ", ".join(f"{as_text(name)}: {text}" for name, text in zip(names, texts, strict=True)) + "}"


def _tail(query: Query, fields: str, condition: str = "") -> str:
    conditions = [f"({text})" for text in (query.written("where"), condition) if text]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {fields} FROM {query.written('from')}{where}"  # noqa: S608 (the client's own text)


def _texts(query: Query, part: str, count: int) -> list[str]:
    return [query.written(f"{part}{index}") for index in range(count)]
