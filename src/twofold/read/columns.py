"""Row class ⇄ columns: which type each field has in a table, and how a row becomes values and a row again. Pure.

A row crosses the port to a store as a tuple of plain values, one for each column, in these Python types:

    text str · integer int · real float · boolean bool · decimal Decimal · timestamp datetime (UTC) · date date
    uuid UUID · bytes bytes · json str (JSON text)
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from twofold.errors import ConfigurationError
from twofold.jsontext import json_reader, json_text, plain_values

Kind = Literal["text", "integer", "real", "boolean", "decimal", "timestamp", "date", "uuid", "bytes", "json"]
Values = tuple[Any, ...]

_KINDS: dict[type, Kind] = {
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
_LARGEST_EXPONENT = 1_000


class Column(msgspec.Struct, frozen=True):
    """One column: `elements` tells that a json column is a list that can be searched."""

    name: str
    kind: Kind
    nullable: bool
    elements: bool = False


class Field:
    """One field of a row class, and the two ways between its value and the column's."""

    def __init__(self, owner: str, name: str, annotation: Any) -> None:
        cls, nullable = _without_none(annotation)
        self.owner, self.name = owner, name
        self.enum = cls if isinstance(cls, type) and issubclass(cls, Enum) else None
        kind = _kind(cls)
        self.column = Column(name, kind, nullable, elements=kind == "json" and _is_list(cls))
        self.write = self._written(_CHECKS[kind])
        try:
            self.read_json = json_reader(cls) if kind == "json" else None
        except TypeError as error:
            raise ConfigurationError(f"{owner}: field {name} cannot be kept as JSON: {error}") from error

    def to_column(self, value: Any) -> Any:
        """Raises: ValueError, naming the field and the value."""
        try:
            return self.write(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"{self.owner}.{self.name}: {error}") from error

    def _written(self, check: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """`check`, for values that may also be None or members of an Enum."""
        enum = self.enum
        by_value = check if enum is None else lambda value: check(value.value if isinstance(value, enum) else value)
        return (lambda value: None if value is None else by_value(value)) if self.column.nullable else by_value

    @property
    def from_column(self) -> Callable[[Any], Any] | None:
        """How a column's value becomes the field's; None where it is the same."""
        return self.read_json or self.enum


class RowFormat:
    """All fields of a row class. Raises: ConfigurationError, naming the field."""

    def __init__(self, row: type) -> None:
        self.row = row
        self.fields = [Field(row.__name__, name, annotation) for name, annotation in _annotations(row).items()]
        self.columns = tuple(field.column for field in self.fields)
        self._writes = tuple(field.write for field in self.fields)
        names = [field.name for field in self.fields]
        self._fields_of = attrgetter(*names) if len(names) > 1 else lambda row: (getattr(row, names[0]),)
        self._readers = tuple(
            (index, field.from_column) for index, field in enumerate(self.fields) if field.from_column is not None
        )

    def to_values(self, row: Any) -> Values:
        """Raises: ValueError when a field holds what its column cannot."""
        values = self._fields_of(row)
        try:
            return tuple([write(value) for write, value in zip(self._writes, values, strict=True)])
        except Exception:  # once more, for the name of the field
            return tuple([field.to_column(value) for field, value in zip(self.fields, values, strict=True)])

    def from_values(self, values: Values) -> Any:
        """The row again."""
        if self._readers:
            fields = list(values)
            for index, read in self._readers:
                if fields[index] is not None:
                    fields[index] = read(fields[index])
            return self.row(*fields)
        return self.row(*values)


def _annotations(row: type) -> dict[str, Any]:
    if not (dataclasses.is_dataclass(row) or issubclass(row, msgspec.Struct)):
        raise ConfigurationError(f"row {row.__name__} must be a frozen dataclass or a msgspec Struct")
    try:
        hints = get_type_hints(row, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"row {row.__name__}: its annotations cannot be read ({error}); define the types at module level"
        ) from error
    if dataclasses.is_dataclass(row):
        return {field.name: hints[field.name] for field in dataclasses.fields(row)}
    return {name: hints[name] for name in row.__struct_fields__}


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if hasattr(annotation, "__value__"):
        return _without_none(annotation.__value__)
    origin = get_origin(annotation)
    if origin is Annotated:
        return _without_none(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        nullable = len(parts) < len(get_args(annotation))
        if len(parts) == 1:
            return _without_none(parts[0])[0], nullable
        return annotation, nullable
    if origin is not Literal and isinstance(annotation, type) is False and origin is None:
        return annotation, annotation is Any
    return annotation, False


def _kind(cls: Any) -> Kind:
    if get_origin(cls) is Literal:
        values = get_args(cls)
        return "text" if all(isinstance(v, str) for v in values) else _all_integers(values)
    if isinstance(cls, type) and issubclass(cls, Enum):
        values = tuple(member.value for member in cls)
        return "text" if all(isinstance(v, str) for v in values) else _all_integers(values)
    return _KINDS.get(cls, "json") if isinstance(cls, type) else "json"


def _all_integers(values: tuple[Any, ...]) -> Kind:
    return "integer" if all(type(v) is int for v in values) else "json"


def _is_list(cls: Any) -> bool:
    return (get_origin(cls) or cls) in (list, tuple, set, frozenset)


def canonical_decimal(value: Decimal) -> str:
    """Plain digits without trailing zeros: one text for each number, so that equal numbers are equal text."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def member(value: Any) -> str | int:
    """What a member of a list is looked for by: a text or an integer. Raises: TypeError, ValueError."""
    return _text(value) if isinstance(value, str) else _integer(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r:.80}")
    if "\x00" in value:
        raise ValueError(f"holds a NUL character, which not every store can keep: {value!r:.80}")
    if not value.isascii():
        value.encode()  # a lone surrogate cannot be stored; UnicodeEncodeError is a ValueError
    return value


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"not an integer: {value!r:.80}")
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"does not fit in 64 bits: {value}")
    return value


def _real(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"not a number: {value!r:.80}")
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"not a finite number: {value}")
    return float(value)


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError(f"neither True nor False: {value!r:.80}")
    return value


def _decimal(value: Any) -> Decimal:
    if type(value) is int:
        return Decimal(value)
    if not isinstance(value, Decimal):
        raise TypeError(f"not a Decimal: {value!r:.80}")
    if not value.is_finite() or abs(value.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError(f"not a finite number of reasonable size: {value!r:.80}")
    return Decimal(canonical_decimal(value))  # the same digits wherever they are kept


def _timestamp(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"not a datetime: {value!r:.80}")
    if value.tzinfo is None:
        raise ValueError(f"a time without a zone: {value.isoformat()}")
    return value.astimezone(UTC)


def _date(value: Any) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError(f"not a date: {value!r:.80}")
    return value


def _uuid(value: Any) -> UUID:
    if not isinstance(value, UUID):
        raise TypeError(f"not a UUID: {value!r:.80}")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"not bytes: {value!r:.80}")
    return value


def _json(value: Any) -> str:
    text = json_text(value)
    if "\\u0000" in text:
        raise ValueError("holds a NUL character, which not every store can keep")
    if "null" in text and _holds_infinity(plain_values(value)):  # written as null, which is no number
        raise ValueError("holds a number that is not finite")
    return text


def _holds_infinity(value: Any) -> bool:
    match value:
        case dict():
            return any(_holds_infinity(inner) for inner in value.values())
        case list() | tuple():
            return any(_holds_infinity(inner) for inner in value)
        case float():
            return not math.isfinite(value)
        case _:
            return False


_CHECKS: dict[Kind, Callable[[Any], Any]] = {
    "text": _text,
    "integer": _integer,
    "real": _real,
    "boolean": _boolean,
    "decimal": _decimal,
    "timestamp": _timestamp,
    "date": _date,
    "uuid": _uuid,
    "bytes": _bytes,
    "json": _json,
}
