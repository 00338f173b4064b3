"""Conditions, order and limit of a query: from the arguments of `find` to a store's `Query`.

A store has fewer operators than `find`: `startswith` becomes a range, and `contains` one condition for each member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import msgspec

from twofold.errors import ConfigurationError, InvalidQuery
from twofold.read.columns import Column, Field
from twofold.read.kinds import Kind, member
from twofold.read.projection import Projection
from twofold.read.store import Condition, Query

MAX_LIMIT = 500
MAX_VALUES = 1_000  # of one `__in`
MAX_MEMBERS = 100  # of one `__contains`, each a condition of its own
MAX_CONDITIONS = 500  # of a query; SQLite refuses a term of more than 1,000 parts
MAX_VALUES_TOGETHER = 10_000  # of a query; a statement of PostgreSQL takes 32,767 parameters


class Takes(msgspec.Struct, frozen=True):
    """What an operator of `find` takes.

    `suffix` follows the name of a field. `kinds` are those of the columns that it compares; `members`: it searches list
    columns instead. `several`: it takes a list of at most `most` values, and `contains` one value as well. `none`: None
    is one of its values. `eq` and `ne` take None on every column.
    """

    suffix: str
    kinds: frozenset[Kind]
    members: bool = False
    several: bool = False
    most: int = 1
    none: bool = False

    def suits(self, column: Column) -> bool:
        """Whether it can be used on this column."""
        return column.elements if self.members else column.kind in self.kinds


_COMPARED = frozenset(get_args(Kind)) - {"json"}

OPERATORS: Mapping[str, Takes] = {
    "eq": Takes("", _COMPARED, none=True),
    "ne": Takes("__ne", _COMPARED, none=True),
    "gt": Takes("__gt", _COMPARED),
    "ge": Takes("__ge", _COMPARED),
    "lt": Takes("__lt", _COMPARED),
    "le": Takes("__le", _COMPARED),
    "in": Takes("__in", _COMPARED, several=True, most=MAX_VALUES, none=True),
    "startswith": Takes("__startswith", frozenset({"text"})),
    "contains": Takes("__contains", frozenset(), members=True, several=True, most=MAX_MEMBERS),
}
"""The operators of `find`, by name."""

_SUFFIXES = ", ".join(takes.suffix for takes in OPERATORS.values() if takes.suffix)
_LISTS = (list, tuple, set, frozenset)
_LAST = chr(0x10FFFF)


def query_of(
    projection: Projection[Any],
    conditions: Mapping[str, Any],
    order_by: str | Sequence[str],
    limit: int,
    scope: Mapping[str, Any] = {},
) -> Query:
    """The query for a store; see `conditions_of`. Raises: InvalidQuery, naming the argument. ConfigurationError."""
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise InvalidQuery(f"limit is a number from 1 to {MAX_LIMIT}, not {limit!r:.80}")
    return Query(
        conditions_of(projection, conditions, scope),
        _order(projection, (order_by,) if isinstance(order_by, str) else tuple(order_by)),
        limit,
    )


def conditions_of(
    projection: Projection[Any], conditions: Mapping[str, Any], scope: Mapping[str, Any] = {}
) -> list[Condition]:
    """The conditions for a store: those of the caller, and those of `scope`, which it cannot choose. All must hold.

    Raises: InvalidQuery, naming the argument. ConfigurationError if the fault is in `scope`.
    """
    check_projection(projection)
    found = [one for name, value in conditions.items() for one in _conditions(projection, name, value)]
    if scope:
        found += _in_scope(projection, scope)
    if len(found) > MAX_CONDITIONS:
        raise InvalidQuery(
            f"a query has at most {MAX_CONDITIONS} conditions, not {len(found)}; each member of a __contains counts"
        )
    values = sum([len(one.value) for one in found if one.operator == "in"])
    if values > MAX_VALUES_TOGETHER:
        raise InvalidQuery(f"the __in of a query hold at most {MAX_VALUES_TOGETHER:,} values together, not {values:,}")
    return found


def check_projection(projection: object) -> None:
    """Raises: InvalidQuery for a name, or anything else that is not a read model."""
    if not isinstance(projection, Projection):
        raise InvalidQuery(
            f"pass the Projection, Rollup or View itself, not {projection!r:.80}; running.app.projection(name) finds a "
            f"projection by its name"
        )


def _in_scope(projection: Projection[Any], scope: Mapping[str, Any]) -> list[Condition]:
    try:
        return [one for name, value in scope.items() for one in _conditions(projection, name, value)]
    except InvalidQuery as error:  # not a fault of the caller
        raise ConfigurationError(f"the scope of {projection.name} is not a condition of find: {error}") from error


def _conditions(projection: Projection[Any], name: str, value: Any) -> list[Condition]:
    field_name, _, operator = name.rpartition("__") if "__" in name else (name, "", "eq")  # of `from___gt` the last two
    takes = OPERATORS.get(operator)
    if takes is None:
        raise InvalidQuery(f"{name:.80}: the operators are {_SUFFIXES}")
    field = field_named(projection, field_name)
    if value is None and operator in ("eq", "ne"):  # of any field
        return [Condition(field_name, operator, None)]  # type: ignore[arg-type]
    if not takes.suits(field.column):
        raise InvalidQuery(f"{name}: {field_name} {_unsuited(field.column, operator)}")
    if operator == "contains":
        return _members(name, field_name, value)
    if value is None and not takes.none:
        raise InvalidQuery(f"{name}: None can only be compared for equality; write {field_name}=None")
    try:
        if operator == "in":
            return [Condition(field_name, "in", _values(name, field, value))]
        if operator == "startswith":
            return _beginning(field_name, field.to_column(value))
        return [Condition(field_name, operator, field.to_column(value))]  # type: ignore[arg-type]
    except ValueError as error:
        raise InvalidQuery(str(error)) from error


def _unsuited(column: Column, operator: str) -> str:
    if operator == "contains":
        return "is not a list"
    if column.kind == "json":
        return "is kept as JSON and can only be compared with None"
    return "is not a text"


def _members(name: str, field: str, value: Any) -> list[Condition]:
    """A list holds several members if it holds each of them; every list holds all of none."""
    wanted = value if isinstance(value, _LISTS) else (value,)
    if len(wanted) > MAX_MEMBERS:
        raise InvalidQuery(f"{name} takes at most {MAX_MEMBERS} members, not {len(wanted):,}; search for fewer")
    try:
        members = dict.fromkeys([member(one) for one in wanted])
    except (TypeError, ValueError) as error:
        raise InvalidQuery(f"{name}: the value to search for must be a text or an integer: {error}") from error
    return [Condition(field, "contains", one) for one in members] or [Condition(field, "ne", None)]


def _values(name: str, field: Field, value: Any) -> tuple[Any, ...]:
    """Each value once and in order, so that a cursor does not depend on the order of a set. Raises: ValueError."""
    if not isinstance(value, _LISTS):
        raise ValueError(f"{name} takes a list of values, not {value!r:.80}; for equality write {field.name}=")
    if len(value) > MAX_VALUES:
        raise ValueError(f"{name} takes at most {MAX_VALUES:,} values, not {len(value):,}; ask in several queries")
    values = {field.to_column(one) for one in value if one is not None}
    return (*((None,) if None in value else ()), *sorted(values))


def _beginning(field: str, prefix: str) -> list[Condition]:
    """The texts that begin with a prefix are a range in the order of code points, which every store has."""
    end = _after_all(prefix)
    return [Condition(field, "ge", prefix)] + ([] if end is None else [Condition(field, "lt", end)])


def _after_all(prefix: str) -> str | None:
    """The first text after all that begin with the prefix; None if there is none."""
    rest = prefix.rstrip(_LAST)
    if not rest:
        return None
    last = ord(rest[-1])
    return rest[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)  # no text holds the surrogates in between


def _order(projection: Projection[Any], names: Sequence[str]) -> list[tuple[str, bool]]:
    order: list[tuple[str, bool]] = []
    for name in names:
        try:
            field = field_named(projection, name.removeprefix("-"))
        except InvalidQuery as error:
            raise InvalidQuery(f"order_by: {error}") from None
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
