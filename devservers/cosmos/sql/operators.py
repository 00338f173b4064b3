"""Operators: each makes a function of a row from those of its operands. What does not fit is undefined."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any

from devservers.cosmos.keys import UNDEFINED
from devservers.cosmos.sql.functions import call
from devservers.cosmos.sql.values import compared, is_number, same

Row = dict[str, Any]
Value = Callable[[Row], Any]


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


OPERATORS: dict[str, Callable[..., Value]] = {
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
