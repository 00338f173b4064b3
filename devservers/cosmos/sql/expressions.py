"""Expressions, made into functions of a row: a dictionary from alias to value."""

from __future__ import annotations

import math
import operator
import re
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
from devservers.cosmos.sql.values import compared, is_number, same

Row = dict[str, Any]
Value = Callable[[Row], Any]
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


# ---- operators ----------------------------------------


def _operation(node: Operation, context: Context) -> Value:
    operands = [made(operand, context) for operand in node.operands]
    return _OPERATORS[node.sign](*operands)


def _not(one: Value) -> Value:
    def negated(row: Row) -> Any:
        value = one(row)
        return not value if isinstance(value, bool) else UNDEFINED

    return negated


def _chain(decides: bool) -> Callable[..., Value]:
    """AND is decided by one false operand, OR by a true one; otherwise all must be of the other value."""

    def make(*operands: Value) -> Value:
        def answer(row: Row) -> Any:
            result: Any = not decides
            for operand in operands:
                value = operand(row)
                if value is decides:
                    return decides
                if value is not (not decides):
                    result = UNDEFINED
            return result

        return answer

    return make


def _equal(wanted: bool) -> Callable[[Value, Value], Value]:
    def make(one: Value, two: Value) -> Value:
        def answer(row: Row) -> Any:
            left, right = one(row), two(row)
            if left is UNDEFINED or right is UNDEFINED:
                return UNDEFINED
            return same(left, right) is wanted

        return answer

    return make


def _ordered(holds: Callable[[int, int], bool]) -> Callable[[Value, Value], Value]:
    def make(one: Value, two: Value) -> Value:
        def answer(row: Row) -> Any:
            order = compared(one(row), two(row))
            return UNDEFINED if order is None else holds(order, 0)

        return answer

    return make


def _between(one: Value, low: Value, high: Value) -> Value:
    return _chain(False)(_ordered(operator.ge)(one, low), _ordered(operator.le)(one, high))


def _in(one: Value, *others: Value) -> Value:
    def answer(row: Row) -> Any:
        value = one(row)
        if value is UNDEFINED:
            return UNDEFINED
        return any(same(value, other) for each in others if (other := each(row)) is not UNDEFINED)

    return answer


def _like(one: Value, pattern: Value, escape: Value | None = None) -> Value:
    def answer(row: Row) -> Any:
        text, wanted = one(row), pattern(row)
        if not isinstance(text, str) or not isinstance(wanted, str):
            return UNDEFINED
        return _as_regex(wanted, "" if escape is None else escape(row)).fullmatch(text) is not None

    return answer


def _as_regex(pattern: str, escape: str) -> re.Pattern[str]:
    parts, signs = [], iter(re.findall(r"\[[^\]]+\]|.", pattern, re.DOTALL))
    for sign in signs:
        if sign == escape:
            parts.append(re.escape(next(signs, "")))
        elif len(sign) > 1:
            parts.append(sign)
        else:
            parts.append({"%": ".*", "_": "."}.get(sign) or re.escape(sign))
    return re.compile("".join(parts), re.DOTALL)


def _arithmetic(compute: Callable[[Any, Any], Any]) -> Callable[[Value, Value], Value]:
    def make(one: Value, two: Value) -> Value:
        def answer(row: Row) -> Any:
            left, right = one(row), two(row)
            if not is_number(left) or not is_number(right):
                return UNDEFINED
            try:
                return compute(left, right)
            except (ArithmeticError, ValueError):
                return UNDEFINED

        return answer

    return make


def _divided(left: float, right: float) -> float:
    result = left / right
    return int(result) if result.is_integer() else result


def _joined(one: Value, two: Value) -> Value:
    return lambda row: call("CONCAT", [one(row), two(row)])


def _choice(condition: Value, yes: Value, no: Value) -> Value:
    return lambda row: yes(row) if condition(row) is True else no(row)


def _coalesced(one: Value, two: Value) -> Value:
    return lambda row: two(row) if (value := one(row)) is UNDEFINED else value


def _signed(compute: Callable[[Any], Any]) -> Callable[[Value], Value]:
    def make(one: Value) -> Value:
        return lambda row: compute(value) if is_number(value := one(row)) else UNDEFINED

    return make


_OPERATORS: dict[str, Callable[..., Value]] = {
    "NOT": _not,
    "AND": _chain(False),
    "OR": _chain(True),
    "=": _equal(True),
    "!=": _equal(False),
    "<": _ordered(operator.lt),
    ">": _ordered(operator.gt),
    "<=": _ordered(operator.le),
    ">=": _ordered(operator.ge),
    "BETWEEN": _between,
    "IN": _in,
    "LIKE": _like,
    "+": _arithmetic(operator.add),
    "-": _arithmetic(operator.sub),
    "*": _arithmetic(operator.mul),
    "/": _arithmetic(_divided),
    "%": _arithmetic(math.fmod),
    "&": _arithmetic(lambda left, right: int(left) & int(right)),
    "|": _arithmetic(lambda left, right: int(left) | int(right)),
    "^": _arithmetic(lambda left, right: int(left) ^ int(right)),
    "<<": _arithmetic(lambda left, right: int(left) << int(right)),
    ">>": _arithmetic(lambda left, right: int(left) >> int(right)),
    ">>>": _arithmetic(lambda left, right: (int(left) & 0xFFFFFFFF) >> int(right)),
    "||": _joined,
    "?": _choice,
    "??": _coalesced,
    "-1": _signed(operator.neg),
    "+1": _signed(operator.pos),
    "~1": _signed(lambda value: ~int(value)),
}
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
