"""Conditions, order and limit of a query: from the arguments of `find` to a store's `Query`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from twofold.errors import InvalidQuery
from twofold.read.columns import Field
from twofold.read.kinds import member
from twofold.read.projection import Projection
from twofold.read.store import Condition, Operator, Query

MAX_LIMIT = 500


def query_of(
    projection: Projection[Any], conditions: Mapping[str, Any], order_by: str | Sequence[str], limit: int
) -> Query:
    """The query for a store. Raises: InvalidQuery, naming the argument."""
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise InvalidQuery(f"limit is a number from 1 to {MAX_LIMIT}, not {limit!r:.80}")
    return Query(
        [_condition(projection, name, value) for name, value in conditions.items()],
        _order(projection, (order_by,) if isinstance(order_by, str) else tuple(order_by)),
        limit,
    )


def _condition(projection: Projection[Any], name: str, value: Any) -> Condition:
    field_name, _, operator = name.rpartition("__") if "__" in name else (name, "", "eq")  # of `from___gt` the last two
    if operator not in get_args(Operator):
        raise InvalidQuery(f"{name}: the operators are __gt, __ge, __lt, __le and __contains")
    field = field_named(projection, field_name)
    if operator == "contains":
        if not field.column.elements:
            raise InvalidQuery(f"{name}: {field_name} is not a list")
        try:
            return Condition(field_name, "contains", member(value))
        except (TypeError, ValueError) as error:
            raise InvalidQuery(f"{name}: the value to search for must be a text or an integer: {error}") from error
    if field.column.kind == "json":
        raise InvalidQuery(f"{name}: {field_name} is kept as JSON and cannot be compared")
    if value is None:
        if operator != "eq":
            raise InvalidQuery(f"{name}: None can only be compared for equality; write {field_name}=None")
        return Condition(field_name, "eq", None)
    try:
        return Condition(field_name, operator, field.to_column(value))  # type: ignore[arg-type]
    except ValueError as error:
        raise InvalidQuery(str(error)) from error


def _order(projection: Projection[Any], names: Sequence[str]) -> list[tuple[str, bool]]:
    order: list[tuple[str, bool]] = []
    for name in names:
        field = field_named(projection, name.removeprefix("-"))
        if field.column.kind == "json":
            raise InvalidQuery(f"order_by: {field.name} is kept as JSON and has no order")
        if field.name not in dict(order):
            order.append((field.name, name.startswith("-")))
    descending = bool(order) and order[-1][1]
    return order + [(name, descending) for name in projection.table.key if name not in dict(order)]


def field_named(projection: Projection[Any], name: str) -> Field:
    """The field of the rows with this name. Raises: InvalidQuery, listing those that exist."""
    for field in projection.format.fields:
        if field.name == name:
            return field
    names = ", ".join(field.name for field in projection.format.fields)
    raise InvalidQuery(f"{projection.name} has no field {name!r:.80}; it has {names}")
