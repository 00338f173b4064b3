"""The kinds of columns: which values each can hold, and the plain value that is stored for them. Pure.

A check returns the value that a store returns, or raises TypeError, ValueError or OverflowError.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

from twofold.codec.form import MAX_DECIMAL_PLACES
from twofold.codec.jsontext import json_text
from twofold.codec.single import moment
from twofold.failures import shown

# A new kind needs entries in KINDS, CHECKS and as_kept._IS_CANONICAL; in _TYPES of tables.py (postgres, sqlite) and in
# sqlalchemy/schema.py; in operate/keys._TYPES; and perhaps in annotations.kind_of (no class of its own),
# cursor._CURSOR_READERS and web/rows.py (not a value of JSON), definition.FROM_ID and Projection._try_initial (a key).
Kind = Literal["text", "integer", "real", "boolean", "decimal", "timestamp", "date", "uuid", "bytes", "json"]

KINDS: dict[type, Kind] = {
    str: "text",
    bool: "boolean",
    int: "integer",
    float: "real",
    Decimal: "decimal",
    datetime: "timestamp",
    date: "date",
    UUID: "uuid",
    bytes: "bytes",
}

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_SHORT = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?")


def canonical_decimal(value: Decimal) -> str:
    """Plain digits without trailing zeros, so that equal numbers have equal texts."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def member(value: Any) -> str | int:
    """The value to search for in a list: a text or an integer. Raises: TypeError, ValueError."""
    if isinstance(value, Enum):
        value = value.value
    return text(value) if isinstance(value, str) else integer(value)


def text(value: Any) -> str:
    """A str without NUL, in UTF-8."""
    if type(value) is not str:
        if not isinstance(value, str):
            raise TypeError(f"not text: {shown(value)}")
        value = str.__str__(value)
    if "\x00" in value:
        raise ValueError(f"holds a NUL character, which not every store can keep: {shown(value)}")
    if not value.isascii():
        value.encode()  # a lone surrogate cannot be stored; UnicodeEncodeError is a ValueError
    return value  # type: ignore[no-any-return]


def integer(value: Any) -> int:
    """An int of 64 bits."""
    if type(value) is not int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"not an integer: {shown(value)}")
        return integer(int.__index__(value))
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"does not fit in 64 bits: {shown(value)}")
    return value


def _real(value: Any) -> float:
    """A finite float, or an int that is exactly a float. Zero has no sign, which not every store keeps."""
    if type(value) is not float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"not a number: {shown(value)}")
        number = float(value)
        if isinstance(value, int) and number != int.__index__(value):
            raise ValueError(f"no float is exactly {shown(value)}")
        value = number
    if not math.isfinite(value):
        raise ValueError(f"not a finite number: {value}")
    return 0.0 if value == 0 and math.copysign(1, value) < 0 else value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError(f"neither True nor False: {shown(value)}")
    return value


def _decimal(value: Any) -> Decimal:
    """A Decimal in canonical digits, the same on every store."""
    if type(value) is not Decimal:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise TypeError(f"not a Decimal: {shown(value)}")
        value = Decimal(value)
    digits = str(value)
    short = _SHORT.fullmatch(digits)
    if short is not None and digits[0] != "-":  # the fast path for most numbers
        return Decimal(digits.rstrip("0").rstrip(".")) if short[1] and digits[-1] == "0" else value
    if not value.is_finite() or abs(value.adjusted()) > MAX_DECIMAL_PLACES:
        raise ValueError(f"not a finite number of reasonable size: {shown(value)}")
    digits = canonical_decimal(value)
    if len(digits.partition(".")[2]) > MAX_DECIMAL_PLACES:
        raise ValueError(f"has more than {MAX_DECIMAL_PLACES} digits after the decimal point: {shown(value)}")
    return Decimal(digits)


def _timestamp(value: Any) -> datetime:
    """A moment, in UTC."""
    if type(value) is datetime and value.tzinfo is UTC:
        return value
    if not isinstance(value, datetime):
        raise TypeError(f"not a datetime: {shown(value)}")
    if value.utcoffset() is None:
        raise ValueError(f"a time without a zone: {value.isoformat()}")
    return moment(value)


def _date(value: Any) -> date:
    if type(value) is date:
        return value
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError(f"not a date: {shown(value)}")
    return date(value.year, value.month, value.day)


def _uuid(value: Any) -> UUID:
    if type(value) is UUID:
        return value
    if not isinstance(value, UUID):
        raise TypeError(f"not a UUID: {shown(value)}")
    return UUID(int=value.int)


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"not bytes: {shown(value)}")
    return value if type(value) is bytes else bytes(value)


def _json(value: Any) -> str:
    """The value as JSON. The field, which knows the type, checks that it can be read again."""
    written = json_text(value)
    if _NUL.search(written):
        raise ValueError("holds a NUL character, which not every store can keep")
    return written


CHECKS: dict[Kind, Callable[[Any], Any]] = {
    "text": text,
    "integer": integer,
    "real": _real,
    "boolean": _boolean,
    "decimal": _decimal,
    "timestamp": _timestamp,
    "date": _date,
    "uuid": _uuid,
    "bytes": _bytes,
    "json": _json,
}
