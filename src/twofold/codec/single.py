"""Single values, those without parts, and when two of them are the same. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import copysign
from typing import Any
from uuid import UUID


def is_single(value: object) -> bool:
    """Whether a value has no parts."""
    return isinstance(value, _SINGLE)


_SINGLE = (
    type(None), str, int, float, Decimal, datetime, date, time, timedelta, UUID, bytes, bytearray, memoryview, Enum
)  # fmt: skip


ALIKE_IF_EQUAL = {
    str,
    int,
    bool,
    type(None),
    bytes,
    date,
    timedelta,
    UUID,
}  # equal values of exactly these types are the same


def same_single(value: Any, read: Any) -> bool:
    """Whether two single values are the same, whatever the `__eq__` of a subclass says."""
    if value is read:
        return True
    match value:
        case bool() | None:
            return False
        case str():
            return isinstance(read, str) and str.__eq__(value, read)
        case int() | float() | Decimal():
            return _same_number(value, read)
        case datetime():
            return isinstance(read, datetime) and _same_moment(value, read)
        case date():
            return isinstance(read, date) and not isinstance(read, datetime) and date.__eq__(value, read)
        case time():
            return isinstance(read, time) and time.isoformat(value) == time.isoformat(read) and _same_zone(value, read)
        case timedelta():
            return isinstance(read, timedelta) and timedelta.__eq__(value, read)
        case UUID():
            return isinstance(read, UUID) and value.int == read.int
        case bytes() | bytearray() | memoryview():
            return isinstance(read, bytes | bytearray | memoryview) and bytes(value) == bytes(read)
        case _:  # an Enum without a plain value: a member is only itself
            return False


def _same_number(value: Any, read: Any) -> bool:
    if not isinstance(read, int | float | Decimal) or isinstance(read, bool):
        return False
    if isinstance(value, int) or isinstance(read, int):
        return bool(_number(value) == _number(read))
    if isinstance(value, float) and isinstance(read, float):
        return _number(value) == _number(read) and copysign(1, value) == copysign(1, read)
    return isinstance(value, Decimal) and isinstance(read, Decimal) and _number(value) == _number(read)


def _number(value: Any) -> Any:
    """The plain number for one of a subclass. Comparing a signalling NaN raises, so it becomes a quiet one."""
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return Decimal("NaN") if value.is_nan() else Decimal(value)


def _same_moment(value: datetime, read: datetime) -> bool:
    if value.utcoffset() is None or read.utcoffset() is None:
        return value.utcoffset() is read.utcoffset() and moment(value) == moment(read) and value.fold == read.fold
    return moment(value) == moment(read)


def _same_zone(value: time, read: time) -> bool:
    """JSON leaves out a zone with summer time, which means nothing without a date, and the fold of a naive time."""
    naive = value.tzinfo is None
    return naive == (read.tzinfo is None) and (not naive or value.fold == read.fold)


def moment(value: datetime) -> datetime:
    """A plain datetime, in UTC if it has a zone. Raises: OverflowError outside the years 1 to 9999."""
    if value.utcoffset() is not None:
        value = datetime.astimezone(value, UTC)
    if type(value) is datetime:
        return value
    return datetime.combine(date(value.year, value.month, value.day), datetime.timetz(value))
