"""The schema of an Api."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, get_type_hints

import graphql as g

from twofold.api import Api, Related, ServedCall, ServedCommand, ServedPage, ServedRow
from twofold.api.served import Input, NewId
from twofold.errors import ConfigurationError
from twofold.graphql.arguments import (
    BACKWARD,
    FORWARD,
    LIMIT,
    ORDER_BY,
    Argument,
    orders,
    page_arguments,
    relation_arguments,
)
from twofold.graphql.behind import (
    BEHIND,
    Behind,
    ColumnField,
    CommandField,
    LiveField,
    OneField,
    OwnField,
    RowField,
    RowsField,
    behind,
)
from twofold.graphql.names import camel, free
from twofold.graphql.scalars import JSON
from twofold.graphql.types import Types
from twofold.read.annotations import annotated_fields
from twofold.read.projection import Projection


def schema_of(api: Api) -> g.GraphQLSchema:
    """The schema. Raises: ConfigurationError for names that GraphQL cannot have, or has twice."""
    return _Making(api).schema


def sdl(api: Api) -> str:
    """The schema as text."""
    return g.print_schema(schema_of(api)) + "\n"


class _Making:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._types = Types(self._row_of)
        self._rows: dict[int, g.GraphQLObjectType] = {}
        self._connections: dict[int, g.GraphQLObjectType] = {}
        self._rounds: dict[int, g.GraphQLObjectType] = {}
        self._projections = list(
            {id(one): one for one in [*_read_by(api), *[each.to for each in api.related]]}.values()
        )

    @cached_property
    def schema(self) -> g.GraphQLSchema:
        query, mutation = self._queries(), self._mutations()
        if not query:
            query = {"_": g.GraphQLField(g.GraphQLBoolean, description="There is nothing to be read.")}
        made = g.GraphQLSchema(
            query=g.GraphQLObjectType("Query", query),
            mutation=g.GraphQLObjectType("Mutation", mutation) if mutation else None,
            subscription=g.GraphQLObjectType("Subscription", live) if (live := self._live(query)) else None,
            description=self._api.description or None,
        )
        errors = g.validate_schema(made)
        if errors:
            raise ConfigurationError(f"GraphQL cannot serve {self._api.app.name}: {errors[0].message}")
        return made

    # ---- rows

    def _row_of(self, cls: type) -> g.GraphQLObjectType | None:
        """The type of a class that is the row of exactly one projection."""
        found = [one for one in self._projections if one.row is cls]
        return self._row(found[0]) if len(found) == 1 else None

    def _row(self, projection: Projection[Any]) -> g.GraphQLObjectType:
        known = self._rows.get(id(projection))
        if known is not None:
            return known
        shared = sum(one.row is projection.row for one in self._projections) > 1
        name = self._types.named(projection.name if shared else projection.row.__name__, projection)
        made = self._rows[id(projection)] = g.GraphQLObjectType(name, lambda: self._fields(projection, name))
        return made

    def _fields(self, projection: Projection[Any], owner: str) -> dict[str, g.GraphQLField]:
        hints, keys, found = annotated_fields(projection.row), projection.table.key, dict[str, g.GraphQLField]()
        for place, field in enumerate(projection.format.fields):
            type_ = self._types.output(hints[field.name], field.name, owner, keys)
            self._put(found, field.name, type_, {}, ColumnField(place, field))
        for related in self._api.related:
            if related.of is projection:
                self._relation(found, related)
        return found

    def _relation(self, found: dict[str, g.GraphQLField], related: Related) -> None:
        if not related.many:
            self._put(found, related.name, self._row(related.to), {}, OneField(related))
            return
        conditions = relation_arguments(related, self._types)
        self._lists(found, related.name, related, conditions, related.limit, ordered=orders(related))

    def _lists(
        self,
        found: dict[str, g.GraphQLField],
        name: str,
        source: ServedPage | Related,
        conditions: Mapping[str, tuple[g.GraphQLArgument, Argument]],
        limit: int,
        *,
        ordered: bool,
    ) -> None:
        """A field for the plain list, and one for the connection."""
        given = {name: declared for name, (declared, _) in conditions.items()}
        means = {name: argument for name, (_, argument) in conditions.items()}
        plain = RowsField(source, means)
        row = self._row(plain.projection)
        if ordered:
            given[ORDER_BY] = g.GraphQLArgument(g.GraphQLList(g.GraphQLNonNull(g.GraphQLString)), description=_ORDER)
        rows = g.GraphQLNonNull(g.GraphQLList(g.GraphQLNonNull(row)))
        most = {LIMIT: g.GraphQLArgument(g.GraphQLNonNull(g.GraphQLInt), default_value=limit, description=_LIMIT)}
        self._put(found, name, rows, {**given, **most}, plain)
        places = {n: g.GraphQLArgument(g.GraphQLInt) for n in (FORWARD[0], BACKWARD[0])}
        places |= {n: g.GraphQLArgument(g.GraphQLString) for n in (FORWARD[1], BACKWARD[1])}
        connection = g.GraphQLNonNull(self._connection(plain.projection))
        self._put(found, f"{name}_connection", connection, {**given, **places}, RowsField(source, means, True))

    def _connection(self, projection: Projection[Any]) -> g.GraphQLObjectType:
        known = self._connections.get(id(projection))
        if known is not None:
            return known
        row = self._row(projection)
        edge_name, name = (
            self._types.named(f"{row.name}{what}", (projection, what)) for what in ("Edge", "Connection")
        )
        edge = g.GraphQLObjectType(
            edge_name,
            lambda: {
                "node": g.GraphQLField(g.GraphQLNonNull(row)),
                "cursor": g.GraphQLField(g.GraphQLNonNull(g.GraphQLString)),
            },
        )
        made = self._connections[id(projection)] = g.GraphQLObjectType(
            name,
            {
                "edges": g.GraphQLField(g.GraphQLNonNull(g.GraphQLList(g.GraphQLNonNull(edge)))),
                "nodes": g.GraphQLField(g.GraphQLNonNull(g.GraphQLList(g.GraphQLNonNull(row)))),
                "pageInfo": g.GraphQLField(g.GraphQLNonNull(self._page_info)),
            },
        )
        return made

    @cached_property
    def _page_info(self) -> g.GraphQLObjectType:
        flag, cursor = g.GraphQLNonNull(g.GraphQLBoolean), g.GraphQLString
        fields: dict[str, Any] = {
            "hasNextPage": flag,
            "hasPreviousPage": flag,
            "startCursor": cursor,
            "endCursor": cursor,
        }
        name = self._types.named("PageInfo", "PageInfo")
        return g.GraphQLObjectType(name, {name: g.GraphQLField(type_) for name, type_ in fields.items()})

    # ---- queries

    def _queries(self) -> dict[str, g.GraphQLField]:
        found: dict[str, g.GraphQLField] = {}
        for served in self._api.served:
            if isinstance(served, ServedRow):
                self._row_field(found, served)
            elif isinstance(served, ServedPage):
                self._page_field(found, served)
        self._own(found, "query")
        return found

    def _row_field(self, found: dict[str, g.GraphQLField], served: ServedRow) -> None:
        hints, projection = annotated_fields(served.projection.row), served.projection
        given, key = dict[str, g.GraphQLArgument](), []
        for parameter, field in zip(served.key, projection.table.key, strict=True):
            type_ = self._types.input(hints[field], field, projection.row.__name__, projection.table.key)
            given[camel(parameter)] = g.GraphQLArgument(type_)
            kind = next(one.column.kind for one in projection.format.fields if one.name == field)
            key.append(Argument(field, False, kind, parameter))
        returned = self._returned(served, self._row(projection))
        self._put(found, served.name, returned, given, RowField(served, tuple(key), tuple(given)))

    def _page_field(self, found: dict[str, g.GraphQLField], served: ServedPage) -> None:
        conditions = page_arguments(served, self._types)
        if served.returns is None:
            self._lists(found, served.name, served, conditions, served.limit, ordered=orders(served))
            return
        given = {name: declared for name, (declared, _) in conditions.items()}
        given[LIMIT] = g.GraphQLArgument(g.GraphQLNonNull(g.GraphQLInt), default_value=served.limit, description=_LIMIT)
        one = self._returned(served, None)
        returned = one if served.returns_pages else g.GraphQLNonNull(g.GraphQLList(one))
        means = {name: argument for name, (_, argument) in conditions.items()}
        self._put(found, served.name, returned, given, RowsField(served, means))

    def _returned(self, served: ServedRow | ServedPage, row: Any) -> Any:
        """The type of what `returns` makes of a row; a row may not exist."""
        if served.returns is None:
            return row
        made = self._types.output(get_type_hints(served.returns, include_extras=True)["return"], owner=served.name)
        return made.of_type if isinstance(served, ServedRow) and g.is_non_null_type(made) else made

    # ---- subscriptions

    def _live(self, queries: Mapping[str, g.GraphQLField]) -> dict[str, g.GraphQLField]:
        """A subscription for every row and list that is returned as it is stored."""
        found: dict[str, g.GraphQLField] = {}
        for name, field in queries.items():
            made = behind(field)
            if not isinstance(made, RowField | RowsField) or made.returns is not None:
                continue
            if made.projection.unwatchable is not None:
                continue
            if isinstance(made, RowField):
                type_: Any = field.type
            elif made.connection:
                continue
            else:
                type_ = g.GraphQLNonNull(self._changes(made.projection))
            given = {name: one for name, one in field.args.items() if name not in (LIMIT, ORDER_BY)}
            given = {**given, AFTER: g.GraphQLArgument(g.GraphQLString, description=_AFTER)}
            text = "The row, and again whenever it changes." if isinstance(made, RowField) else _LIVE
            found[name] = g.GraphQLField(type_, given, description=text, extensions={BEHIND: LiveField(made)})
        return found

    def _changes(self, projection: Projection[Any]) -> g.GraphQLObjectType:
        known = self._rounds.get(id(projection))
        if known is not None:
            return known
        row, flag = self._row(projection), g.GraphQLNonNull(g.GraphQLBoolean)
        key: Any = g.GraphQLID if len(projection.table.key) == 1 else JSON
        made = self._rounds[id(projection)] = g.GraphQLObjectType(
            self._types.named(f"{row.name}Changes", (projection, "Changes")),
            {
                "rows": g.GraphQLField(g.GraphQLNonNull(g.GraphQLList(g.GraphQLNonNull(row)))),
                "gone": g.GraphQLField(g.GraphQLNonNull(g.GraphQLList(g.GraphQLNonNull(key))), description=_GONE),
                "snapshot": g.GraphQLField(flag, description=_SNAPSHOT),
                "token": g.GraphQLField(g.GraphQLString, description=_RESUMES),
                "parked": g.GraphQLField(g.GraphQLNonNull(g.GraphQLInt), description=_PARKED),
            },
        )
        return made

    # ---- mutations

    def _mutations(self) -> dict[str, g.GraphQLField]:
        found: dict[str, g.GraphQLField] = {}
        for served in self._api.served:
            if isinstance(served, ServedCommand | ServedCall):
                self._command(found, served)
        self._own(found, "mutation")
        return found

    def _command(self, found: dict[str, g.GraphQLField], served: ServedCommand | ServedCall) -> None:
        inputs = {name: one for name, one in served.fields.items() if name != served.by}
        ids = _ids_of(served)
        text = {name: g.GraphQLArgument(g.GraphQLNonNull(g.GraphQLID)) for name in ids}
        given = {**text, **self._types.arguments(inputs, served.sent.__name__)}
        made = CommandField(served, {camel(name): name for name in inputs}, {camel(name): name for name in ids})
        named = {camel(name): argument for name, argument in given.items()}
        self._put(found, served.name, self._result(served), named, made)

    def _result(self, served: ServedCommand | ServedCall) -> Any:
        """Nullable, so that a refusal leaves the results of other mutations."""
        if served.returns is None:
            return self._command_result
        hint = get_type_hints(served.returns, include_extras=True)["return"]
        return g.get_nullable_type(self._types.output(hint, owner=served.name))

    @cached_property
    def _command_result(self) -> g.GraphQLObjectType:
        event = g.GraphQLObjectType(
            self._types.named("RecordedEvent", "RecordedEvent"),
            {
                "type": g.GraphQLField(g.GraphQLNonNull(g.GraphQLString)),
                "data": g.GraphQLField(g.GraphQLNonNull(JSON)),
            },
        )
        return g.GraphQLObjectType(
            self._types.named("CommandResult", "CommandResult"),
            {
                "id": g.GraphQLField(g.GraphQLNonNull(g.GraphQLID), description="The id of the stream."),
                "version": g.GraphQLField(g.GraphQLNonNull(g.GraphQLInt), description="Its version now."),
                "events": g.GraphQLField(g.GraphQLNonNull(g.GraphQLList(g.GraphQLNonNull(event)))),
            },
        )

    # ---- resolvers of your own

    def _own(self, found: dict[str, g.GraphQLField], kind: str) -> None:
        for resolver in self._api.resolvers:
            if resolver.kind != kind:
                continue
            given = self._types.arguments(resolver.inputs, resolver.name)
            made = OwnField(resolver, {camel(name): name for name in given})
            returned = self._types.output(resolver.returns, owner=resolver.name)
            named = {camel(name): argument for name, argument in given.items()}
            doc = (resolver.function.__doc__ or "").strip() or None
            self._put(found, resolver.name, returned, named, made, doc)

    def _put(
        self,
        found: dict[str, g.GraphQLField],
        name: str,
        type_: Any,
        given: Mapping[str, g.GraphQLArgument],
        made: Behind,
        description: str | None = None,
    ) -> None:
        wanted = free(camel(name), found)
        found[wanted] = g.GraphQLField(type_, dict(given), description=description, extensions={BEHIND: made})


AFTER = "after"
_AFTER = "The token of earlier changes, to resume from there"
_LIVE = "All rows that match, then their changes."
_GONE = "The keys of rows that no longer match or exist"
_SNAPSHOT = "These rows replace everything before them"
_RESUMES = "Resumes after these changes; null while more of them follow"
_PARKED = "How many rows of the read model are parked, and may be out of date"
_LIMIT = "How many rows at most, 1 to 500"
_ORDER = "Names of fields; a leading `-` for descending order"


def _ids_of(served: ServedCommand | ServedCall) -> dict[str, Input]:
    """The argument that only names the stream, if there is one."""
    if isinstance(served, ServedCall) or isinstance(served.id, NewId) or served.id in served.fields:
        return {}
    return {served.id: Input(str, True)}


def _read_by(api: Api) -> list[Projection[Any]]:
    return [one.projection for one in api.served if isinstance(one, ServedRow | ServedPage)]
