"""Row class ⇄ columns: the type of each field in a table, and how a row becomes values and a row again. Pure.

A row crosses the port to a store as a tuple of plain values, one for each column, in these Python types:

    text str · integer int · real float · boolean bool · decimal Decimal · timestamp datetime (UTC) · date date
    uuid UUID · bytes bytes · json str (JSON text)

A value that a column would return as another one is refused. Harmless changes remain: a Decimal loses its trailing
zeros, a time is converted to UTC, an IntEnum in an int field becomes its number. To hide them, a fold always gets the
row as it would be read back (`Projection.as_read_back`), no matter where a page of the feed ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from operator import attrgetter
from typing import Any

import msgspec

from twofold.codec.exact import exactly
from twofold.codec.fields import equality_tells_all, holds_itself, refuse_places
from twofold.codec.jsontext import json_reader, json_text
from twofold.codec.roundtrip import difference
from twofold.errors import ConfigurationError
from twofold.failures import error_text, failure, reraise_if_interrupt, shown
from twofold.read.annotations import annotated_fields, by_position, column_type, is_list, kind_of, nothing_beside
from twofold.read.as_kept import as_kept
from twofold.read.kinds import CHECKS, Kind

Values = tuple[Any, ...]
Convert = Callable[[Any], Any]


class Unreadable(str):
    """A stored value that is not of its column's kind, since the table was changed by hand. Never in a row."""

    __slots__ = ()


class Broken(tuple[Any, ...]):
    """The values of a row of which at least one is `Unreadable`."""

    __slots__ = ()


def read_values(values: list[Any], reads: Iterable[tuple[int, Convert]]) -> Values:
    """A row's values for the port, from the stored ones; `reads` by place in the row."""
    broken = False
    for place, read in reads:
        held = values[place]
        if held is not None:
            try:
                values[place] = read(held)
            except (ValueError, TypeError, ArithmeticError):
                values[place], broken = Unreadable(held), True
    return Broken(values) if broken else tuple(values)


class Column(msgspec.Struct, frozen=True):
    """One column. `elements`: a json column that is a list and can be searched."""

    name: str
    kind: Kind
    nullable: bool
    elements: bool = False


class Field:
    """One field of a row class, and the conversions between its value and the column's.

    `write` converts a field's value to the column's, and raises if another one would be read back. `from_column`
    converts a column's value to the field's; None if they are the same.
    """

    def __init__(self, owner: str, name: str, annotation: Any) -> None:
        cls, nullable = column_type(annotation)
        self.owner, self.name = owner, name
        kind = kind_of(cls)
        self.enum = cls if kind != "json" and isinstance(cls, type) and issubclass(cls, Enum) else None
        self.column = Column(name, kind, nullable, elements=kind == "json" and is_list(cls))
        self.read_json = self._json_reader(cls) if kind == "json" else None
        self.from_column: Convert | None = self.read_json or self.enum
        check = CHECKS[kind]
        self._check_members(check)
        self._compared = _or_none(check if self.enum is None else lambda v: check(_plain(v)), nullable)
        self.write = _or_none(self._written(cls, check), nullable)

    def to_column(self, value: Any) -> Any:
        """A value to compare with those in the column. Raises: ValueError, naming the field and the value."""
        return self._named(self._compared, value)

    def written(self, value: Any) -> Any:
        """Like `write`. Raises: ValueError, naming the field and the value."""
        return self._named(self.write, value)

    def read(self, value: Any) -> Any:
        """The field's value for a column's. Raises: ValueError, naming the field and the value."""
        try:
            return value if value is None or self.from_column is None else self.from_column(value)
        except BaseException as error:  # a validator or `_missing_` is user code
            why = error_text(failure(error))
            raise ValueError(
                f"{self.owner}.{self.name} cannot be read: the column holds {shown(value)}: {why}"
            ) from error

    def _named(self, convert: Convert, value: Any) -> Any:
        try:
            return convert(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"{self.owner}.{self.name}: {error}") from error
        except BaseException as error:  # a validator, `__eq__` or `_missing_` is user code
            raise ValueError(f"{self.owner}.{self.name}: {error_text(failure(error))}") from error

    def _json_reader(self, cls: Any) -> Convert:
        try:
            refuse_places(cls)
            return json_reader(cls)
        except (TypeError, NameError) as error:
            raise ConfigurationError(f"{self.owner}: field {self.name} cannot be kept as JSON: {error}") from error

    def _check_members(self, check: Convert) -> None:
        """Raises: ConfigurationError if a member of an Enum could not be stored."""
        for one in self.enum or ():
            try:
                if type(check(one.value)) is not type(one.value):
                    raise TypeError(f"a {type(one.value).__name__}, not a plain value")
            except (TypeError, ValueError) as error:
                raise ConfigurationError(f"{self.owner}: field {self.name}: {one} cannot be kept: {error}") from error

    def _written(self, cls: Any, check: Convert) -> Convert:
        """`write` for values other than None."""
        enum = self.enum
        if self.read_json is not None:
            return _compared(cls, self.name, check, self.read_json)
        if enum is None:
            return check

        def write(value: Any) -> Any:
            plain = check(_plain(value))
            if type(value) is not enum and enum(plain).value != plain:  # raises where there is no such member
                raise ValueError(f"is {shown(value)}, and would be read back as {shown(enum(plain))}")
            return plain

        return write


class RowFormat:
    """All fields of a row class. Raises: ConfigurationError, naming the field."""

    shape: Any = None
    """How a store may write the rows itself (see written.py); None: it may not."""

    def __init__(self, row: type) -> None:
        self.row = row
        self.fields = [Field(row.__name__, name, annotation) for name, annotation in annotated_fields(row).items()]
        self.columns = tuple(field.column for field in self.fields)
        self.as_kept = as_kept((field.column.kind, field.column.nullable, field.enum) for field in self.fields)
        self._enums = tuple(index for index, field in enumerate(self.fields) if field.enum is not None)
        self._writes = tuple(field.write for field in self.fields)
        names = [field.name for field in self.fields]
        self.fields_of = attrgetter(*names) if len(names) > 1 else lambda row: (getattr(row, names[0]),)
        self.by_position = by_position(row, names)
        self.nothing_beside = nothing_beside(row, len(names))
        self.make: Callable[..., Any] = (
            row if self.by_position else lambda *values: row(**dict(zip(names, values, strict=True)))
        )
        self._readers = tuple(
            (index, field.from_column) for index, field in enumerate(self.fields) if field.from_column is not None
        )

    def to_values(self, row: Any) -> Values:
        """The row as values. Raises: ValueError if a field has a value that its column cannot hold."""
        values: Values = self.fields_of(row)
        if self.as_kept(*values):
            return self._of_members(values) if self._enums else values
        try:
            return tuple([write(value) for write, value in zip(self._writes, values, strict=True)])
        except BaseException as error:  # once more, for the name of the field
            reraise_if_interrupt(error)
            return tuple([field.written(value) for field, value in zip(self.fields, values, strict=True)])

    def _of_members(self, fields: Values) -> Values:
        values = list(fields)
        for index in self._enums:
            if values[index] is not None:
                values[index] = values[index].value
        return tuple(values)

    def from_values(self, values: Values) -> Any:
        """The row from its values. Raises: ValueError, naming the field; what the row class raises."""
        if type(values) is Broken:
            raise ValueError(self._unreadable(values))
        if self._readers:
            fields = list(values)
            for index, read in self._readers:
                if fields[index] is not None:
                    try:
                        fields[index] = read(fields[index])
                    except BaseException as error:  # once more, for the name of the field
                        reraise_if_interrupt(error)
                        self.fields[index].read(values[index])
                        raise
            return self.make(*fields)
        return self.make(*values)

    def values_at(self, row: Values, places: Iterable[int]) -> Values:
        """Some of the values of a row as a store returned it."""
        return tuple([row[place] for place in places])

    def _unreadable(self, values: Values) -> str:
        field, value = next(pair for pair in zip(self.fields, values, strict=True) if type(pair[1]) is Unreadable)
        return f"{field.owner}.{field.name}: the column holds {value!r:.80}, which is not a valid {field.column.kind}"


def _or_none(convert: Convert, nullable: bool) -> Convert:
    return (lambda value: None if value is None else convert(value)) if nullable else convert


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _compared(cls: Any, path: str, write: Convert, read: Convert) -> Convert:
    """A function from a value to its JSON. It raises ValueError, naming the path of a value that would change."""
    always_walk = holds_itself(cls) or not equality_tells_all(cls)
    exact = None if always_walk else exactly(msgspec.inspect.type_info(cls))

    def written(value: Any) -> Any:
        text = write(value)
        try:
            again = read(text)
        except BaseException as error:  # a validator is user code
            why = error_text(failure(error))
            raise ValueError(f"is {shown(value)}, which cannot be read again: {why}") from error
        surely_same = not always_walk and (exact is None or exact(value)) and again == value
        what = None if surely_same and json_text(again) == text else difference(value, again, path)
        if what is not None:
            raise ValueError(what)
        return text

    return written
