"""Values to JSON text and back, with msgspec, or with pydantic for its own models. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from twofold.codec.fields import is_model, kinds, refuse_aliases


def json_reader(cls: Any) -> Callable[[str | bytes], Any]:
    """A function from JSON to `cls`.

    Raises: TypeError if JSON cannot hold the class, or if a pydantic model in it has aliases.
    """
    refuse_aliases(cls)
    if is_model(cls):
        read: Callable[[str | bytes], Any] = cls.model_validate_json
        return read
    kinds(cls)
    return msgspec.json.Decoder(cls, dec_hook=_build).decode


def json_text(value: object) -> str:
    """A nested value of a row as JSON."""
    return json_bytes(value).decode()


def plain_values(value: object) -> Any:
    """The same as dicts, lists and single values, as JSON would have it."""
    return msgspec.to_builtins(value, enc_hook=_plain)


def json_in_utc(value: object) -> bytes:
    """A value as JSON, with all times in UTC.

    Raises: ValueError for a time without a zone, OverflowError for one outside the years 1 to 9999 in UTC.
    """
    return json_bytes(_in_utc(msgspec.to_builtins(value, builtin_types=(datetime, time, Decimal), enc_hook=_plain)))


def _in_utc(value: Any) -> Any:
    if isinstance(value, dict):
        return {_in_utc(key): _in_utc(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_in_utc(inner) for inner in value]
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{value.isoformat()} is a time without a zone")
        return value.astimezone(UTC)
    return value


def _plain(value: Any) -> Any:
    """What msgspec writes for a value that it does not know: for a subclass, the plain value."""
    if is_model(type(value)):
        return value.model_dump(warnings=False)
    for base, plain in _PLAIN.items():
        if isinstance(value, base):
            return plain(value)
    raise TypeError(f"{type(value).__name__} is not a type that JSON can hold")


_PLAIN: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__index__,
    float: float.__float__,
    Decimal: Decimal,
    datetime: lambda it: datetime(
        it.year, it.month, it.day, it.hour, it.minute, it.second, it.microsecond, it.tzinfo, fold=it.fold
    ),
    date: lambda it: date(it.year, it.month, it.day),
    time: lambda it: time(it.hour, it.minute, it.second, it.microsecond, it.tzinfo, fold=it.fold),
    timedelta: lambda it: timedelta(it.days, it.seconds, it.microseconds),
    bytes: bytes,
}
json_bytes = msgspec.json.Encoder(enc_hook=_plain).encode
"""A value as JSON. Raises: TypeError, ValueError, RecursionError."""


def _build(cls: type, value: Any) -> Any:
    if is_model(cls):
        return cls.model_validate_json(json_bytes(value))  # type: ignore[attr-defined]
    raise TypeError(f"{cls.__name__} is not a type that JSON can hold")
