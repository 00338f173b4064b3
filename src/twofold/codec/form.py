"""The stored form of one event class: its JSON, the proof that it is read back unchanged, its schemas. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from twofold.codec.exact import exactly
from twofold.codec.fields import equality_tells_all, holds_itself, kinds, refuse_places
from twofold.codec.jsontext import json_bytes, json_in_utc, json_reader
from twofold.codec.roundtrip import KEY, TooDeep, difference, parts
from twofold.errors import ConfigurationError, InvalidEvent, NewerSchema
from twofold.failures import error_text, failure, reraise_if_interrupt, shown
from twofold.messages import Encoded

Step = Callable[[dict[str, Any]], dict[str, Any]]

MAX_EVENT_BYTES = 16 * 1024 * 1024
MAX_DECIMAL_PLACES = 1_000  # on either side of the point: 1E+1000 and 1E-1000 are accepted, 1E+1001 and 1E-1001 are not

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,99}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MSGSPEC_PATH = re.compile(r"(?:`key` in )?`\$(.*)`")
_NOT_UTC = re.compile(rb'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?[^Z.\d]')
_EXPONENT = re.compile(rb"\dE[+-]\d")
_BACKSLASH = ord("\\")  # a number in bytes is found about ten times as fast as bytes in bytes
_LONG_NUMBER = re.compile(rb"\d{1001}")


@dataclass(frozen=True, slots=True)
class Stored:
    """How a class is stored, if not under its own name at schema 1.

    `upcasters[0]` turns the JSON object of schema 1 into one of schema 2, and so on: there are `schema - 1` of them.

    `write` is the schema that new events are written with; the default is `schema`. During a deployment it can be a
    schema that the old code still reads. `downcasters` lead down to it: the last one turns the JSON object of `schema`
    into one of `schema - 1`, the one before it goes one schema further down, and so on. An event that the old schema
    cannot hold is refused (`InvalidEvent`).

    Raises: ConfigurationError.
    """

    name: str
    schema: int = 1
    upcasters: Sequence[Step] = ()
    downcasters: Sequence[Step] = ()
    write: int | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"{self.name!r} cannot be a stored name: use a letter, then letters, digits, _ and . (at most 100)"
            )
        if self.schema != len(self.upcasters) + 1:
            raise ConfigurationError(
                f"{self.name}: schema {self.schema} needs {self.schema - 1} upcasters, one for each step, "
                f"but has {len(self.upcasters)}"
            )
        if type(self.written) is not int or not 1 <= self.written <= self.schema:
            raise ConfigurationError(
                f"{self.name}: write={self.write!r} is not one of its schemas, 1 to {self.schema}: leave it out, or "
                f"give the schema that the oldest running process reads"
            )
        if not self.schema - self.written <= len(self.downcasters) < self.schema:
            raise ConfigurationError(
                f"{self.name}: writing schema {self.written} of {self.schema} needs {self.schema - self.written} "
                f"downcasters, one for each step down, but has {len(self.downcasters)}: give functions that turn the "
                f"JSON object of a schema into that of the schema before"
            )

    @property
    def written(self) -> int:
        """The schema that new events are written with."""
        return self.schema if self.write is None else self.write


class Form:
    """How one class is written as JSON and read back. Raises: ConfigurationError if that is impossible."""

    def __init__(self, cls: type, stored: Stored) -> None:
        self.cls, self.name, self.schema, self.upcasters = cls, stored.name, stored.schema, stored.upcasters
        self.written = stored.written
        self.steps_down = stored.downcasters[::-1][: self.schema - self.written]
        try:
            refuse_places(cls)
            self.read = json_reader(cls)
            found = kinds(cls)
            walk = holds_itself(cls) or not equality_tells_all(cls)
            self.exactly = (
                None if walk else exactly(msgspec.inspect.type_info(cls))
            )  # None: always compare part by part
        except (TypeError, NameError) as error:
            raise ConfigurationError(
                f"{cls.__module__}.{cls.__qualname__} cannot be stored as JSON: {error}"
            ) from error
        self.has_times = not found.isdisjoint({msgspec.inspect.DateTimeType, msgspec.inspect.CustomType})
        self.has_decimals = not found.isdisjoint({msgspec.inspect.DecimalType, msgspec.inspect.CustomType})

    def encode(self, event: object) -> Encoded:
        """An event ready to be stored. Raises: InvalidEvent with the path of what would not be read back as it is."""
        try:
            data = json_bytes(event)
            if self.has_times and _NOT_UTC.search(data):
                data = json_in_utc(event)
            if self.steps_down:
                data = self._stepped_down(data)
            read = self.decode(self.written, data) if self.steps_down else self.read(data)
            try:  # enough for nearly every event: if all classes are those of the annotations, equal means same
                same = self.exactly is not None and self.exactly(event) and read == event
                if same and self.has_decimals:  # except that a float equals the Decimal that is read back
                    same = json_bytes(read) == data
            except BaseException as error:  # a user's __eq__ failed; `difference` does without it
                reraise_if_interrupt(error)
                same = False
            if not same:
                data, read = self._compared(event, data, read)
            if _BACKSLASH in data or self.has_decimals or len(data) > MAX_EVENT_BYTES:
                self._check_limits(read, data)
            return Encoded(self.name, self.written, data, read)
        except BaseException as error:  # __post_init__, properties and downcasters are user code
            raise self._refusal(event, failure(error)) from error

    def _compared(self, event: object, data: bytes, read: Any) -> tuple[bytes, Any]:
        """The data to store and the event read back from it, compared part by part. Raises: InvalidEvent."""
        found = difference(event, read, self.name)
        if found is not None and self.has_times:  # JSON leaves out the seconds of an offset
            data = self._stepped_down(json_in_utc(event))
            read = self.decode(self.written, data)
            found = difference(event, read, self.name)
        if found is not None:
            raise InvalidEvent(f"{found} (it is written with schema {self.written})" if self.steps_down else found)
        return data, read

    def _stepped_down(self, data: bytes) -> bytes:
        for step in self.steps_down:
            data = json_bytes(step(msgspec.json.decode(data)))
        return data

    def _check_limits(self, read: object, data: bytes) -> None:
        """Raises: InvalidEvent for what can be read back, but not kept by every store."""
        if b"\\u0000" in data or (self.has_decimals and _may_be_large(data)):
            self._check_parts(read)
        if len(data) > MAX_EVENT_BYTES:
            raise InvalidEvent(f"{self.name} takes {len(data)} bytes, more than {MAX_EVENT_BYTES}: split it")

    def _check_parts(self, event: object) -> None:
        for path, part in parts(event, self.name):
            fault = _fault(part)
            if fault is not None:
                raise InvalidEvent(f"{path} {fault}")

    def _refusal(self, event: object, error: BaseException) -> InvalidEvent:
        """What is wrong with the event, with its path if that can be found."""
        path, why = _misread(error)
        try:
            self._check_parts(event)
            if not path and not isinstance(error, InvalidEvent):
                self._check_parts_alone(event)
        except InvalidEvent as by_path:
            return by_path
        except TooDeep as deep:
            return InvalidEvent(str(deep))
        except BaseException as other:  # properties are user code
            path, why = "", error_text(failure(other))
        if isinstance(error, InvalidEvent):
            return error
        return InvalidEvent(f"{self.name}{path} cannot be stored: {why} (the event: {shown(event)})")

    def _check_parts_alone(self, event: object) -> None:
        """Raises: InvalidEvent for the first part that cannot be written."""
        for path, part in parts(event, self.name):
            try:
                json_bytes({part: None} if path.endswith(KEY) else part)
            except BaseException as error:
                why = error_text(failure(error))
                raise InvalidEvent(f"{path} is {shown(part)}, which cannot be stored: {why}") from error

    def decode(self, schema: int, data: str | bytes) -> Any:
        """The event of JSON at this schema. Raises: NewerSchema, and whatever an upcaster or the class raises."""
        if schema == self.schema:
            return self.read(data)
        if schema > self.schema:
            raise NewerSchema(
                f"{self.name} was stored with schema {schema} by newer code, and this process knows schemas up to "
                f"{self.schema}: deploy the newer code here too, and next time deploy readers first"
            )
        value: dict[str, Any] = msgspec.json.decode(data)
        for upcast in self.upcasters[schema - 1 :]:
            value = upcast(value)
        return self.read(json_bytes(value))


def _misread(error: Any) -> tuple[str, str]:
    """The path of what could not be read back, from the error of msgspec or pydantic, and the reason."""
    if isinstance(error, msgspec.ValidationError):
        why, _, path = str(error).rpartition(" - at ")
        at = _MSGSPEC_PATH.fullmatch(path)
        return (at[1], why) if at else ("", str(error))
    if hasattr(error, "error_count"):
        first = error.errors(include_url=False)[0]
        return "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in first["loc"]), first["msg"]
    return "", error_text(error)


def _may_be_large(data: bytes) -> bool:
    """Whether a Decimal in this JSON may be infinite or have more than MAX_DECIMAL_PLACES."""
    if b"Infinity" in data or (b"E" in data and _EXPONENT.search(data)):
        return True
    return len(data) > MAX_DECIMAL_PLACES and _LONG_NUMBER.search(data) is not None


def _fault(value: object) -> str | None:
    """Why no event can hold this single value, and how to fix it; None if it can."""
    match value:
        case str() if "\x00" in value:
            return f"holds a NUL character, which not every store can keep: {shown(value)}"
        case str() if _SURROGATE.search(value):
            return f"holds half of a surrogate pair, which is no character: {shown(value)}"
        case datetime() if value.utcoffset() is None:
            return f"is a time without a zone, {value.isoformat()}: give it one, UTC for instance"
        case datetime():
            return _outside_utc(value)
        case float() if value != value or value in (float("inf"), float("-inf")):
            return f"is {value}, which is not a number that JSON can hold"
        case Decimal() if not value.is_finite():
            return f"is {value}, which is not a number"
        case Decimal() if abs(value.adjusted()) > MAX_DECIMAL_PLACES or _places(value) > MAX_DECIMAL_PLACES:
            return f"is {shown(value)}: a Decimal has at most {MAX_DECIMAL_PLACES} places on either side of the point"
        case _:
            return None


def _places(value: Decimal) -> int:
    """The number of digits after the point, without trailing zeros."""
    return len(format(value, "f").partition(".")[2].rstrip("0"))


def _outside_utc(value: datetime) -> str | None:
    try:
        value.astimezone(UTC)
    except OverflowError:
        return f"is {value.isoformat()}, which in UTC lies outside the years 1 to 9999"
    return None
