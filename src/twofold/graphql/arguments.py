"""The conditions of pages as arguments, and arguments as conditions of `find`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import graphql as g

from twofold.api.reads import ORDER, ServedPage, operators_of, split
from twofold.api.relations import Related
from twofold.errors import InvalidQuery
from twofold.graphql.names import argument, camel
from twofold.graphql.scalars import PLAIN
from twofold.graphql.types import Types, list_member
from twofold.read.annotations import annotated_fields, column_type, kind_of
from twofold.read.conditions import OPERATORS, field_named
from twofold.read.projection import Projection

LIMIT, ORDER_BY = "limit", "orderBy"
FORWARD, BACKWARD = ("first", "after"), ("last", "before")
_TAKEN = {LIMIT, ORDER_BY, *FORWARD, *BACKWARD}


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument that sets a condition; `named` is the parameter of the path that it stands for."""

    condition: str
    several: bool
    kind: Any
    named: str | None = None

    def conditions(self, value: Any) -> dict[str, Any]:
        """The condition for a value; none for null, which is as if it were not given."""
        if value is None:
            return {}
        field, operator = split(self.condition)
        if operator == "null":
            return {field if value else f"{field}__ne": None}
        plain = PLAIN.get(self.kind)
        if plain is None:
            return {self.condition: value}
        try:
            if not self.several:
                return {self.condition: plain(value)}
            return {self.condition: [None if one is None else plain(one) for one in value]}
        except ValueError:  # an ID is any text
            raise InvalidQuery(f"{argument(self.condition)}: {value!r:.80} is not a {self.kind}") from None


def page_arguments(served: ServedPage, types: Types) -> dict[str, tuple[g.GraphQLArgument, Argument]]:
    """The arguments of a page that set conditions, by name: those of its path are required."""
    found = {}
    for condition, parameter in served.where.items():
        found[camel(parameter)] = _argument(served.projection, condition, types, named=parameter)
    for name, condition in _filters(served.projection, served.filters, {**served.where, **served.only}):
        if name not in found:
            found[name] = _argument(served.projection, condition, types)
    return found


def relation_arguments(related: Related, types: Types) -> dict[str, tuple[g.GraphQLArgument, Argument]]:
    """The arguments of a relation that set conditions."""
    named = _filters(related.to, related.filters, {related.theirs: ""})
    return {name: _argument(related.to, condition, types) for name, condition in named}


def orders(served: ServedPage | Related) -> bool:
    """Whether a client may choose the order."""
    return served.filters is None or ORDER in served.filters.values()


def _filters(
    projection: Projection[Any], filters: Mapping[str, str] | None, fixed: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Names of arguments, and the conditions that they set."""
    if filters is not None:
        for name, condition in filters.items():
            if condition != ORDER:
                yield argument(name), condition
        return
    hints = annotated_fields(projection.row)
    for field in projection.format.fields:
        for operator in operators_of(field):
            condition = field.name if operator == "eq" else f"{field.name}__{operator}"
            if operator == "contains" and not _searchable(hints[field.name]):
                continue
            if argument(condition) not in _TAKEN and not _fixes(condition, fixed):
                yield argument(condition), condition


def _fixes(condition: str, fixed: Mapping[str, Any]) -> bool:
    field, operator = split(condition)
    return condition in fixed or (operator == "null" and (field in fixed or f"{field}__ne" in fixed))


def _searchable(annotation: Any) -> bool:
    return kind_of(column_type(_member(annotation))[0]) in ("text", "integer")


def _member(annotation: Any) -> Any:
    cls = column_type(annotation)[0]
    return list_member(cls) or next(iter(get_args(cls)), str)


def _argument(
    projection: Projection[Any], condition: str, types: Types, named: str | None = None
) -> tuple[g.GraphQLArgument, Argument]:
    field, operator = split(condition)
    hint, kind = annotated_fields(projection.row)[field], field_named(projection, field).column.kind
    several = operator != "null" and OPERATORS[operator].several
    if operator == "null":
        type_: Any = g.GraphQLBoolean
    elif operator == "startswith":
        type_ = g.GraphQLString
    else:
        one = _member(hint) if operator == "contains" else hint
        required, keys = several or named is not None, projection.table.key
        type_ = types.input(one, field, projection.row.__name__, keys, required=required)
        type_ = g.GraphQLList(type_) if several else type_
    made = g.GraphQLArgument(type_)
    return made, Argument(condition, several, "text" if operator in ("contains", "startswith") else kind, named)
