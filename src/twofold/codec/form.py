"""One event class: how it goes to JSON and comes back as it was, and the steps between its schemas. Pure."""

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
from twofold.codec.roundtrip import KEY, TooDeep, difference, parts, shown
from twofold.errors import ConfigurationError, InvalidEvent, NewerSchema
from twofold.failures import error_text, failure
from twofold.messages import Encoded

Step = Callable[[dict[str, Any]], dict[str, Any]]

MAX_EVENT_BYTES = 16 * 1024 * 1024
MAX_DECIMAL_PLACES = 1_000  # on either side of the point: 1E+1000 and 1E-1000 are taken, 1E+1001 and 1E-1001 are not

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,99}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MSGSPEC_PATH = re.compile(r"(?:`key` in )?`\$(.*)`")
_NOT_UTC = re.compile(rb'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?[^Z.\d]')
_EXPONENT = re.compile(rb"\dE[+-]\d")
_LONG_NUMBER = re.compile(rb"\d{1001}")


@dataclass(frozen=True, slots=True)
class Stored:
    """How a class is stored, where that differs from its own name at schema 1.

    `upcasters[0]` turns the JSON object of schema 1 into that of schema 2, and so on: `schema - 1` of them.

    `write` is the schema that new events are written with, `schema` if it is not given. During a deployment it can be
    the one that processes of the old code read. `downcasters` lead there: the last one turns the JSON object of
    `schema` into that of `schema - 1`, the one before it goes a schema further down, and so on. An event that the old
    schema cannot hold is refused (`InvalidEvent`).

    Raises: ConfigurationError.
    """

    name: str
    schema: int = 1
    upcasters: Sequence[Step] = ()
    downcasters: Sequence[Step] = ()
    write: int | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(f"{self.name!r} cannot be a stored name: letters, digits, _ and . only")
        if self.schema != len(self.upcasters) + 1:
            raise ConfigurationError(
                f"{self.name}: schema {self.schema} needs {self.schema - 1} upcasters, one for each step, "
                f"and has {len(self.upcasters)}"
            )
        if type(self.written) is not int or not 1 <= self.written <= self.schema:
            raise ConfigurationError(
                f"{self.name}: write={self.write!r} is not one of its schemas, 1 to {self.schema}: leave it out, or "
                f"name the schema that the oldest running process reads"
            )
        if not self.schema - self.written <= len(self.downcasters) < self.schema:
            raise ConfigurationError(
                f"{self.name}: writing schema {self.written} of {self.schema} needs {self.schema - self.written} "
                f"downcasters, one for each step down, and has {len(self.downcasters)}: give functions that turn the "
                f"JSON object of a schema into that of the schema before"
            )

    @property
    def written(self) -> int:
        """The schema that new events are written with."""
        return self.schema if self.write is None else self.write


class Form:
    """One class: how it goes to JSON and comes back. Raises: ConfigurationError when it cannot."""

    def __init__(self, cls: type, stored: Stored) -> None:
        self.cls, self.name, self.schema, self.upcasters = cls, stored.name, stored.schema, stored.upcasters
        self.written = stored.written
        self.steps_down = stored.downcasters[::-1][: self.schema - self.written]
        try:
            refuse_places(cls)
            self.read = json_reader(cls)
            found = kinds(cls)
            walk = holds_itself(cls) or not equality_tells_all(cls)
            self.exactly = None if walk else exactly(msgspec.inspect.type_info(cls))  # None: always walk
        except (TypeError, NameError) as error:
            raise ConfigurationError(
                f"{cls.__module__}.{cls.__qualname__} cannot be stored as JSON: {error}"
            ) from error
        self.has_times = not found.isdisjoint({msgspec.inspect.DateTimeType, msgspec.inspect.CustomType})
        self.has_decimals = not found.isdisjoint({msgspec.inspect.DecimalType, msgspec.inspect.CustomType})

    def encode(self, event: object) -> Encoded:
        """Raises: InvalidEvent, naming the path of what could not be read again as it is."""
        try:
            data = json_bytes(event)
            if self.has_times and _NOT_UTC.search(data):
                data = json_in_utc(event)
            if self.steps_down:
                data = self._stepped_down(data)
            read = self.read(data) if self.written == self.schema else self.decode(self.written, data)
            if not self._surely_same(event, read, data):
                data, read = self._compared(event, data, read)
            self._check_limits(read, data)
            return Encoded(self.name, self.written, data, read)
        except BaseException as error:  # an __eq__ or a __post_init__ is the user's: it may raise anything
            raise self._refusal(event, failure(error)) from error

    def _surely_same(self, event: object, read: object, data: bytes) -> bool:
        """The quick way, for nearly every event.

        Where all classes are those of the annotations, what is equal is also written again alike, but for numbers: a
        float equals the Decimal that is read of it.
        """
        try:
            if self.exactly is None or not self.exactly(event) or read != event:
                return False
            return not self.has_decimals or json_bytes(read) == data
        except BaseException as error:  # an __eq__ of the user's; the walk does without
            failure(error)
            return False

    def _compared(self, event: object, data: bytes, read: Any) -> tuple[bytes, Any]:
        """What is stored and what is read of it, if nothing would be read as something else. Raises: InvalidEvent."""
        found = difference(event, read, self.name)
        if found is not None and self.has_times:  # the seconds of an offset, which JSON leaves out
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
        """Raises: InvalidEvent for what every reader can read, but not every store can keep."""
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
        """What is wrong with the event, by its path where that can be told."""
        path, why = _misread(error)
        try:
            self._check_parts(event)
            if not path and not isinstance(error, InvalidEvent):
                self._check_parts_alone(event)
        except InvalidEvent as by_path:
            return by_path
        except TooDeep as deep:
            return InvalidEvent(str(deep))
        except BaseException as other:  # a property of the user's
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
        """Raises: NewerSchema, and whatever an upcaster or the class itself raises."""
        if schema == self.schema:
            return self.read(data)
        if schema > self.schema:
            raise NewerSchema(
                f"{self.name} was stored with schema {schema} by newer code, and this process knows up to "
                f"{self.schema}: deploy the newer code here too, and next time deploy readers first"
            )
        value: dict[str, Any] = msgspec.json.decode(data)
        for upcast in self.upcasters[schema - 1 :]:
            value = upcast(value)
        return self.read(json_bytes(value))


def _misread(error: Any) -> tuple[str, str]:
    """The path of what could not be read again, as msgspec or pydantic tells it, and why."""
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
    """Why no event can hold this single value, and the way out; None if it can."""
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
    """How many digits there are behind the point, zeros at the end not counted."""
    return len(format(value, "f").partition(".")[2].rstrip("0"))


def _outside_utc(value: datetime) -> str | None:
    try:
        value.astimezone(UTC)
    except OverflowError:
        return f"is {value.isoformat()}, which in UTC is no year from 1 to 9999"
    return None
