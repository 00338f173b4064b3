"""The functions of queries. Each gets the values of its arguments; any that do not fit make the result undefined."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from devservers.cosmos.keys import UNDEFINED
from devservers.cosmos.sql.values import identity, is_number, kind, same

Function = Callable[..., Any]
TICKS_AT_EPOCH = 621_355_968_000_000_000


def call(name: str, values: list[Any]) -> Any:
    """The result of a function; undefined if the arguments are not what it takes."""
    try:
        return FUNCTIONS[name](*values)
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError, re.error):
        return UNDEFINED


def _of_number(function: Callable[[float], Any]) -> Function:
    def checked(value: Any) -> Any:
        return _whole(function(value)) if is_number(value) else UNDEFINED

    return checked


def _of_texts(function: Callable[..., Any], least: int) -> Function:
    """For text arguments, the first `least` of them; None and undefined make the result undefined."""

    def checked(*values: Any) -> Any:
        return function(*values) if all(isinstance(value, str) for value in values[:least]) else UNDEFINED

    return checked


def _of_arrays(function: Callable[..., Any], least: int = 1) -> Function:
    def checked(*values: Any) -> Any:
        return function(*values) if all(isinstance(value, list) for value in values[:least]) else UNDEFINED

    return checked


def _whole(value: Any) -> Any:
    if isinstance(value, float) and (math.isnan(value) or math.isinf(value)):
        return UNDEFINED
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _round(value: float) -> float:
    return math.copysign(math.floor(abs(value) + 0.5), value)


def _folds(text: str, ignore_case: Any) -> str:
    return text.lower() if ignore_case is True else text


def _contains(text: str, part: str, ignore_case: Any = False) -> bool:
    return _folds(part, ignore_case) in _folds(text, ignore_case)


def _starts(text: str, part: str, ignore_case: Any = False) -> bool:
    return _folds(text, ignore_case).startswith(_folds(part, ignore_case))


def _ends(text: str, part: str, ignore_case: Any = False) -> bool:
    return _folds(text, ignore_case).endswith(_folds(part, ignore_case))


def _equals(left: str, right: str, ignore_case: Any = False) -> bool:
    return _folds(left, ignore_case) == _folds(right, ignore_case)


def _substring(text: str, start: int, length: int) -> str:
    start = max(start, 0)
    return text[start : start + max(length, 0)]


def _matches(text: str, pattern: str, modifiers: str = "") -> bool:
    flags = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
    meant = re.RegexFlag(0)
    for sign in modifiers:
        meant |= flags[sign]
    return re.search(pattern, text, meant) is not None


def _to_string(value: Any) -> Any:
    if value is UNDEFINED or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _read(text: Any, kinds: tuple[int, ...]) -> Any:
    value = msgspec.json.decode(text) if isinstance(text, str) else UNDEFINED
    return value if kind(value) in kinds else UNDEFINED


def _within(items: list[Any], wanted: Any, partly: Any = False) -> bool:
    if partly is True and isinstance(wanted, dict):
        return any(
            isinstance(item, dict) and all(name in item and same(item[name], value) for name, value in wanted.items())
            for item in items
        )
    return any(same(item, wanted) for item in items)


def _slice(items: list[Any], start: int, length: int | None = None) -> list[Any]:
    start = max(len(items) + start, 0) if start < 0 else start
    return items[start:] if length is None else items[start : start + max(length, 0)]


def _unique(items: list[Any]) -> list[Any]:
    return list({identity(item): item for item in reversed(items)}.values())[::-1]


def _log(value: float, base: float = math.e) -> Any:
    return _whole(math.log(value, base)) if is_number(value) else UNDEFINED


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def _ticks() -> int:
    return TICKS_AT_EPOCH + time.time_ns() // 100


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _concat(*values: Any) -> Any:
    return "".join(values)


FUNCTIONS: dict[str, Function] = {
    "IS_DEFINED": lambda value: value is not UNDEFINED,
    "IS_NULL": lambda value: value is None,
    "IS_BOOL": lambda value: isinstance(value, bool),
    "IS_NUMBER": is_number,
    "IS_FINITE_NUMBER": is_number,
    "IS_INTEGER": lambda value: is_number(value) and float(value).is_integer(),
    "IS_STRING": lambda value: isinstance(value, str),
    "IS_ARRAY": lambda value: isinstance(value, list),
    "IS_OBJECT": lambda value: isinstance(value, dict),
    "IS_PRIMITIVE": lambda value: 0 < kind(value) < 5,
    "ABS": _of_number(abs),
    "ACOS": _of_number(math.acos),
    "ASIN": _of_number(math.asin),
    "ATAN": _of_number(math.atan),
    "ATN2": math.atan2,
    "CEILING": _of_number(math.ceil),
    "COS": _of_number(math.cos),
    "COT": _of_number(lambda value: 1 / math.tan(value)),
    "DEGREES": _of_number(math.degrees),
    "EXP": _of_number(math.exp),
    "FLOOR": _of_number(math.floor),
    "LOG": _log,
    "LOG10": _of_number(math.log10),
    "PI": lambda: math.pi,
    "POWER": lambda value, power: _whole(float(value) ** power),
    "RADIANS": _of_number(math.radians),
    "RAND": random.random,
    "ROUND": _of_number(_round),
    "SIGN": _of_number(lambda value: (value > 0) - (value < 0)),
    "SIN": _of_number(math.sin),
    "SQRT": _of_number(math.sqrt),
    "SQUARE": _of_number(lambda value: value * value),
    "TAN": _of_number(math.tan),
    "TRUNC": _of_number(math.trunc),
    "CONCAT": _concat,
    "CONTAINS": _of_texts(_contains, 2),
    "ENDSWITH": _of_texts(_ends, 2),
    "INDEX_OF": _of_texts(lambda text, part, start=0: text.find(part, start), 2),
    "LEFT": _of_texts(lambda text, length: text[: max(length, 0)], 1),
    "LENGTH": _of_texts(len, 1),
    "LOWER": _of_texts(str.lower, 1),
    "LTRIM": _of_texts(str.lstrip, 1),
    "REGEXMATCH": _of_texts(_matches, 2),
    "REPLACE": _of_texts(str.replace, 3),
    "REPLICATE": _of_texts(lambda text, times: text * times, 1),
    "REVERSE": _of_texts(lambda text: text[::-1], 1),
    "RIGHT": _of_texts(lambda text, length: text[-length:] if length > 0 else "", 1),
    "RTRIM": _of_texts(str.rstrip, 1),
    "STARTSWITH": _of_texts(_starts, 2),
    "STRINGEQUALS": _of_texts(_equals, 2),
    "STRINGJOIN": lambda items, between: between.join(items),
    "STRINGSPLIT": _of_texts(lambda text, between: text.split(between), 2),
    "STRINGTOARRAY": lambda text: _read(text, (5,)),
    "STRINGTOBOOLEAN": lambda text: _read(text, (2,)),
    "STRINGTONULL": lambda text: _read(text, (1,)),
    "STRINGTONUMBER": lambda text: _read(text, (3,)),
    "STRINGTOOBJECT": lambda text: _read(text, (6,)),
    "SUBSTRING": _of_texts(_substring, 1),
    "TOSTRING": _to_string,
    "TRIM": _of_texts(str.strip, 1),
    "UPPER": _of_texts(str.upper, 1),
    "ARRAY_CONCAT": _of_arrays(lambda *lists: [item for items in lists for item in items]),
    "ARRAY_CONTAINS": _of_arrays(_within),
    "ARRAY_CONTAINS_ANY": _of_arrays(lambda items, *wanted: any(_within(items, one) for one in wanted)),
    "ARRAY_CONTAINS_ALL": _of_arrays(lambda items, *wanted: all(_within(items, one) for one in wanted)),
    "ARRAY_LENGTH": _of_arrays(len),
    "ARRAY_SLICE": _of_arrays(_slice),
    "CHOOSE": lambda index, *values: values[index - 1] if index > 0 else UNDEFINED,
    "OBJECTTOARRAY": lambda value: [{"k": name, "v": item} for name, item in value.items()],
    "SETINTERSECT": _of_arrays(lambda one, two: [item for item in _unique(one) if _within(two, item)], 2),
    "SETUNION": _of_arrays(lambda one, two: _unique([*one, *two]), 2),
    "IIF": lambda condition, yes, no: yes if condition is True else no,
    "GETCURRENTDATETIME": _now,
    "GETCURRENTDATETIMESTATIC": _now,
    "GETCURRENTTICKS": _ticks,
    "GETCURRENTTICKSSTATIC": _ticks,
    "GETCURRENTTIMESTAMP": _milliseconds,
    "GETCURRENTTIMESTAMPSTATIC": _milliseconds,
}
