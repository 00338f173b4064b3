"""Fields that read rows: from their arguments to a query, after the rules have allowed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twofold.api import ServedPage
from twofold.errors import InvalidQuery
from twofold.graphql.arguments import LIMIT, ORDER_BY
from twofold.graphql.behind import OneField, RowField, RowsField
from twofold.graphql.names import camel
from twofold.read.conditions import query_of
from twofold.read.query import DEFAULT_LIMIT, key_values, query_of_key
from twofold.read.store import Query
from twofold.web.graphql.context import Context
from twofold.web.identity import check_allowed, check_login, existing


async def key_of(made: RowField, context: Context, arguments: Mapping[str, Any]) -> tuple[Any, ...]:
    """The key of the row that is asked for. Raises: as `rows_query`."""
    served = made.served
    await check_login(context.request, served.allow)
    found: dict[str, Any] = {}
    for one, name in zip(made.key, made.names, strict=True):
        found |= one.conditions(arguments[name])
    named = {str(one.named): found[one.condition] for one in made.key}
    await check_allowed(context.request, served.allow, named)
    return key_values(made.projection, tuple([found[one.condition] for one in made.key]))


async def row_query(made: RowField, context: Context, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], Query]:
    """The key of a row, and the query for it. Raises: as `rows_query`."""
    key = await key_of(made, context, arguments)
    return key, query_of_key(made.projection, key, await context.scope(made.projection))


async def rows_query(
    made: RowsField, context: Context, arguments: Mapping[str, Any], limit: int | None = None
) -> Query:
    """The query for a list. Raises: Problem 401, Problem 403, NotFound, InvalidQuery, and whatever rules raise."""
    source = made.source
    await check_login(context.request, source.allow)
    conditions, named = conditions_of(made, arguments)
    await check_allowed(context.request, source.allow, {**conditions, **named})
    if isinstance(source, ServedPage) and source.exists is not None:
        await existing(context.request, source.exists, *(str(value) for value in named.values()))
    scope = await context.scope(made.projection)
    asked = arguments.get(LIMIT, DEFAULT_LIMIT) if limit is None else limit
    return query_of(made.projection, conditions, order_of(made, arguments), asked, scope)


def conditions_of(made: RowsField, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The conditions that always hold or that arguments set, and the parameters of the path. Raises: InvalidQuery."""
    conditions: dict[str, Any] = {}
    named: dict[str, Any] = {}
    for name, one in made.arguments.items():
        if name not in arguments:
            continue
        found = one.conditions(arguments[name])
        if found.keys() & conditions.keys():
            raise InvalidQuery(f"{name}: another argument already sets this condition: send one of them")
        conditions |= found
        if one.named is not None:
            named[one.named] = next(iter(found.values()))
    always = made.source.only if isinstance(made.source, ServedPage) else {}
    return {**always, **conditions}, named


def order_of(made: RowsField, arguments: Mapping[str, Any]) -> Sequence[str]:
    """The fields to order by, which a client names as GraphQL does. Raises: InvalidQuery."""
    asked = arguments.get(ORDER_BY)
    if asked is None:
        return made.source.order_by
    known = {camel(f.name): f.name for f in made.projection.format.fields if f.column.kind != "json"}
    for name in asked:
        if name.removeprefix("-") not in known:
            raise InvalidQuery(
                f"orderBy: write fields that have an order, like `-{next(iter(known))}`, not {name!r:.80}"
            )
    return ["-" * name.startswith("-") + known[name.removeprefix("-")] for name in asked]


async def one_query(made: OneField, context: Context) -> Query:
    """The query for the related row, whose key is joined. Raises: as `rows_query`."""
    related = made.source
    await check_login(context.request, related.allow)
    await check_allowed(context.request, related.allow, {})
    return query_of(related.to, {}, (), 1, await context.scope(related.to))
