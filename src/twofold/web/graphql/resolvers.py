"""An operation field by field: every field that something stands behind, with one query for each level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import graphql as g

from twofold.api import Related, ServedPage
from twofold.graphql.behind import ColumnField, CommandField, LiveField, OneField, OwnField, RowField, RowsField, behind
from twofold.read.conditions import MAX_LIMIT
from twofold.read.cursor import Cursors, Start
from twofold.read.query import Page, check_not_parked
from twofold.read.store import Condition, Query
from twofold.web.forms import JsonForm
from twofold.web.graphql.connections import Connection, Slice, slice_of
from twofold.web.graphql.context import Context, Info
from twofold.web.graphql.levels import Level, Loader, level
from twofold.web.graphql.live import live_resolver
from twofold.web.graphql.mutations import command_resolver, own_resolver
from twofold.web.graphql.reading import key_of, one_query, rows_query
from twofold.web.graphql.rows import column_resolver, readable, related_value, stored

Resolve = Callable[..., Any]


def resolve(schema: g.GraphQLSchema, form: JsonForm) -> None:
    """Set the resolvers of a schema."""
    for type_ in schema.type_map.values():
        if not isinstance(type_, g.GraphQLObjectType):
            continue
        for field in type_.fields.values():
            match behind(field):
                case ColumnField() as made:
                    field.resolve = column_resolver(made, field.type)
                case RowField() as made:
                    field.resolve = _row(made)
                case RowsField(source=Related() as related) as made:
                    field.resolve = _many(made, related)
                case RowsField() as made:
                    field.resolve = _page(made)
                case OneField() as made:
                    field.resolve = _one(made)
                case LiveField() as made:
                    field.resolve = live_resolver(made)
                case CommandField() as made:
                    field.resolve = command_resolver(made, form)
                case OwnField() as made:
                    field.resolve = own_resolver(made, form)


def _path(info: Info) -> str:
    """The response path without indexes."""
    return ".".join([one for one in info.path.as_list() if isinstance(one, str)])


# ---- at the root


def _row(made: RowField) -> Resolve:
    async def row(source: Any, info: Info, **arguments: Any) -> Any:
        context: Context = info.context
        key = await key_of(made, context, arguments)
        read = stored(made.projection) if made.returns is None else made.projection
        scope = await context.scope(made.projection)
        found = await context.queries.get(read, key, scope=scope, **context.freshly)
        return found if found is None or made.returns is None else made.returns(found)

    return row


def _page(made: RowsField) -> Resolve:
    async def rows(source: Any, info: Info, **arguments: Any) -> Any:
        context: Context = info.context
        query = await rows_query(made, context, arguments)
        if made.returns is not None:
            return await _returned(made, context, arguments, info)
        page = await context.queries.page_from(made.projection, query, Start(), **context.freshly)
        found = readable(made.projection, page.rows)
        context.count_parked(_path(info), len(page.parked) + len(page.rows) - len(found))
        return found

    async def connection(source: Any, info: Info, **arguments: Any) -> Connection:
        context: Context = info.context
        asked = slice_of(arguments)
        query = await rows_query(made, context, arguments, asked.limit)
        return await _connection(made, context, query, asked, _path(info))

    return connection if made.connection else rows


async def _returned(made: RowsField, context: Context, arguments: Any, info: Info) -> Any:
    """What `returns` makes of rows, or of their page."""
    source = made.source
    query = await rows_query(made, context, arguments)
    page = await context.queries.page_from(made.projection, query, Start(), **context.freshly)
    rows = [made.projection.format.from_values(row.values) for row in readable(made.projection, page.rows)]
    parked = len(page.parked) + len(page.rows) - len(rows)
    context.count_parked(_path(info), parked)
    if made.returns is None:
        raise AssertionError("checked before")
    if isinstance(source, ServedPage) and source.returns_pages:
        return made.returns(Page(rows, page.following, parked, page.previous))
    return [made.returns(row) for row in rows]


async def _connection(made: RowsField, context: Context, query: Query, asked: Slice, path: str) -> Connection:
    projection = made.projection
    start = asked.start(projection, query)
    page = await context.queries.page_from(projection, query, start, **context.freshly)
    rows = readable(projection, page.rows)
    context.count_parked(path, len(page.parked) + len(page.rows) - len(rows))
    more = (page.previous if asked.backward else page.following) is not None
    return Connection(rows, Cursors(projection, query), asked, more=more)


# ---- below


def _many(made: RowsField, related: Related) -> Resolve:
    def loader(info: Info, arguments: dict[str, Any], limit: int | None) -> Loader[Level]:
        context: Context = info.context
        path = _path(info)

        async def load(values: Any) -> Level:
            query = await rows_query(made, context, arguments, limit)
            if limit is not None and slice_of(arguments).backward:
                query = Query(query.conditions, [(name, not down) for name, down in query.order], query.limit)
            found = await level(context, related, query, values)
            context.count_parked(path, len(found.parked))
            return found

        return context.loaders.setdefault(path, Loader(load))  # type: ignore[no-any-return]

    async def rows(source: Any, info: Info, **arguments: Any) -> Any:
        value = related_value(source, related.of, related.own)
        found = await loader(info, arguments, None).load(value)
        return readable(related.to, found.rows.get(value, ()))

    async def connection(source: Any, info: Info, **arguments: Any) -> Connection:
        value = related_value(source, related.of, related.own)
        asked = slice_of(arguments)
        query = await rows_query(made, info.context, arguments, asked.limit)
        if asked.cursor is not None or asked.limit >= MAX_LIMIT:  # a cursor is a place among the rows of one parent
            among = Query([Condition(related.theirs, "eq", value), *query.conditions], query.order, query.limit)
            return await _connection(made, info.context, among, asked, _path(info))
        found = (await loader(info, arguments, asked.limit + 1).load(value)).rows.get(value, ())
        some = readable(related.to, found[: asked.limit])
        some = some[::-1] if asked.backward else some
        among = Query([Condition(related.theirs, "eq", value), *query.conditions], query.order, query.limit)
        return Connection(some, Cursors(related.to, among), asked, more=len(found) > asked.limit)

    return connection if made.connection else rows


def _one(made: OneField) -> Resolve:
    related = made.source

    async def row(source: Any, info: Info) -> Any:
        context: Context = info.context

        async def load(values: Any) -> Level:
            return await level(context, related, await one_query(made, context), values)

        value = related_value(source, related.of, related.own)
        if value is None:
            return None
        loader: Loader[Level] = context.loaders.setdefault(_path(info), Loader(load))
        found = await loader.load(value)
        rows = readable(related.to, found.rows.get(value, ()))
        certain = bool(rows) or context.api.scope is None
        check_not_parked(related.to, (value,), found.parked, found.covers, certain=certain)
        return rows[0] if rows else None

    return row
