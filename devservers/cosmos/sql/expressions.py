"""Expressions, made into functions of a row: a dictionary from alias to value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from devservers.cosmos.errors import Refused
from devservers.cosmos.keys import UNDEFINED
from devservers.cosmos.sql.functions import FUNCTIONS, call
from devservers.cosmos.sql.nodes import (
    ArrayOf,
    Call,
    Literal,
    Member,
    Name,
    Node,
    ObjectOf,
    Operation,
    Parameter,
    Query,
    Subquery,
)
from devservers.cosmos.sql.operators import OPERATORS, Row, Value
from devservers.cosmos.sql.values import compared, is_number

AGGREGATES = ("COUNT", "SUM", "AVG", "MIN", "MAX", "COUNTIF")
GROUPED = "*group"  # the alias under which a row holds the rows of its group


@dataclass(frozen=True, slots=True)
class Context:
    """What expressions need besides the row: the parameters, the aliases there are, and how to run a subquery."""

    parameters: dict[str, Any]
    aliases: frozenset[str]
    run: Callable[[Query, Row, Context], Iterator[Any]]


def made(node: Node, context: Context) -> Value:
    """Raises: Refused for names and functions that do not exist."""
    return _MAKERS[type(node)](node, context)


def _literal(node: Literal, context: Context) -> Value:
    return lambda row: node.value


def _parameter(node: Parameter, context: Context) -> Value:
    if node.name not in context.parameters:
        raise Refused(400, f"the query names the parameter {node.name}, which was not given.")
    value = context.parameters[node.name]
    return lambda row: value


def _name(node: Name, context: Context) -> Value:
    name = node.name
    if name not in context.aliases:
        names = ", ".join(sorted(context.aliases)) or "none"
        raise Refused(400, f"Identifier '{name}' could not be resolved; there are: {names}.")
    return lambda row: row[name]


def _member(node: Member, context: Context) -> Value:
    of, key = made(node.of, context), made(node.key, context)
    if isinstance(node.key, Literal) and isinstance(node.key.value, str):
        name = node.key.value

        def named(row: Row) -> Any:
            value = of(row)
            return value.get(name, UNDEFINED) if isinstance(value, dict) else UNDEFINED

        return named
    return lambda row: _at(of(row), key(row))


def _at(value: Any, key: Any) -> Any:
    if isinstance(value, dict) and isinstance(key, str):
        return value.get(key, UNDEFINED)
    if isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
        return value[key]
    return UNDEFINED


def _array(node: ArrayOf, context: Context) -> Value:
    items = [made(item, context) for item in node.items]
    return lambda row: [value for item in items if (value := item(row)) is not UNDEFINED]


def _object(node: ObjectOf, context: Context) -> Value:
    fields = [(name, made(value, context)) for name, value in node.fields]
    return lambda row: {name: found for name, value in fields if (found := value(row)) is not UNDEFINED}


def _subquery(node: Subquery, context: Context) -> Value:
    if node.kind == "EXISTS":
        return lambda row: next(context.run(node.query, row, context), UNDEFINED) is not UNDEFINED
    if node.kind == "ARRAY":
        return lambda row: list(context.run(node.query, row, context))
    return lambda row: next(context.run(node.query, row, context), UNDEFINED)


def _call(node: Call, context: Context) -> Value:
    arguments = [made(argument, context) for argument in node.arguments]
    if node.name in AGGREGATES:
        if len(arguments) != 1:
            raise Refused(400, f"{node.name} takes one argument.")
        argument, name = arguments[0], node.name
        return lambda row: aggregated(name, [argument(each) for each in row.get(GROUPED, [row])])
    if node.name not in FUNCTIONS:
        raise Refused(400, f"'{node.name}' is not a recognized built-in function name.")
    return lambda row: call(node.name, [argument(row) for argument in arguments])


def aggregated(name: str, values: list[Any]) -> Any:
    """An aggregate of the values of a group."""
    defined = [value for value in values if value is not UNDEFINED]
    if name == "COUNT":
        return len(defined)
    if name == "COUNTIF":
        return sum(value is True for value in defined)
    if name in ("SUM", "AVG"):
        if not all(map(is_number, defined)) or (name == "AVG" and not defined):
            return UNDEFINED
        return sum(defined) if name == "SUM" else sum(defined) / len(defined)
    best: Any = UNDEFINED
    for value in defined:
        order = -1 if best is UNDEFINED else compared(value, best)
        if order is None:
            return UNDEFINED
        if best is UNDEFINED or ((order < 0) == (name == "MIN") and order != 0):
            best = value
    return best


def aggregates_in(node: Any) -> bool:
    """Whether an expression aggregates; what a subquery does inside is its own."""
    if isinstance(node, Call):
        return node.name in AGGREGATES or any(map(aggregates_in, node.arguments))
    if isinstance(node, Operation):
        return any(map(aggregates_in, node.operands))
    if isinstance(node, Member):
        return aggregates_in(node.of) or aggregates_in(node.key)
    if isinstance(node, ArrayOf):
        return any(map(aggregates_in, node.items))
    return isinstance(node, ObjectOf) and any(aggregates_in(value) for _, value in node.fields)


def _operation(node: Operation, context: Context) -> Value:
    operands = [made(operand, context) for operand in node.operands]
    return OPERATORS[node.sign](*operands)


_MAKERS: dict[type, Callable[[Any, Context], Value]] = {
    Literal: _literal,
    Parameter: _parameter,
    Name: _name,
    Member: _member,
    ArrayOf: _array,
    ObjectOf: _object,
    Subquery: _subquery,
    Call: _call,
    Operation: _operation,
}
