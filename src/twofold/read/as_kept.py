"""Whether the fields of a row already have the values that a store would return. Pure.

Checked for every event after a row's first one in a page, where a call for each field took a third as long as the fold
itself. So the checks for all fields of a row class become one generated expression, as `dataclasses` generates
`__eq__`. Only the kinds of the columns go into it, nothing from the user's class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from math import copysign, isfinite
from uuid import UUID

from twofold.read.kinds import Kind

_IS_CANONICAL: dict[Kind, str] = {
    "text": "type({0}) is str and NUL not in {0} and ({0}.isascii() or encodes({0}))",
    "integer": "type({0}) is int and LEAST <= {0} <= MOST",
    "real": "type({0}) is float and isfinite({0}) and ({0} or copysign(1, {0}) > 0)",
    "boolean": "type({0}) is bool",
    "decimal": "type({0}) is Decimal and is_canonical({0})",
    "timestamp": "type({0}) is datetime and {0}.tzinfo is UTC",
    "date": "type({0}) is date",
    "uuid": "type({0}) is UUID",
    "bytes": "type({0}) is bytes",
    "json": "False",
}


def as_kept(fields: Iterable[tuple[Kind, bool, type[Enum] | None]]) -> Callable[..., bool]:
    """A function of the values of all fields, given as kind, nullable, and Enum class or None.

    If it returns True a store returns exactly these values; if False, the values may change or be refused.
    """
    names: list[str] = []
    checks: list[str] = []
    scope = dict(_SCOPE)
    for number, (kind, nullable, enum) in enumerate(fields):
        name = f"v{number}"
        names.append(name)
        scope[f"E{number}"] = enum
        check = _IS_CANONICAL[kind].format(name) if enum is None else f"type({name}) is E{number}"
        checks.append(f"({name} is None or {check})" if nullable else f"({check})")
    function: Callable[..., bool] = eval(f"lambda {', '.join(names)}: {' and '.join(checks)}", scope)  # noqa: S307 (see above)
    return function


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _is_canonical(number: Decimal) -> bool:
    if not number.is_finite():
        return False
    digits = str(number)
    if len(digits) > 300 or "E" in digits or digits == "-0":
        return False
    return digits[-1] != "0" or "." not in digits


_SCOPE = {
    "UTC": UTC,
    "date": date,
    "datetime": datetime,
    "Decimal": Decimal,
    "UUID": UUID,
    "NUL": "\x00",
    "LEAST": -(2**63),
    "MOST": 2**63 - 1,
    "copysign": copysign,
    "isfinite": isfinite,
    "encodes": _encodes,
    "is_canonical": _is_canonical,
}
