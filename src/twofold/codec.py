"""Message class ⇄ stored name and JSON, and the steps that bring old JSON up to date."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from twofold.errors import ConfigurationError, InvalidEvent, NewerSchema, UndecodableEvent
from twofold.messages import Encoded, Entry, Meta, Recorded, StoredEvent, Stream

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
T = TypeVar("T")

MAX_EVENT_BYTES = 16 * 1024 * 1024

_META_FROM = msgspec.json.Decoder(Meta).decode
_STREAM_FROM = Stream.parse
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,99}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_A_NUMBER = re.compile(rb'"-?(s?NaN|Infinity)')
_NOT_UTC = re.compile(rb'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?[^Z.\d]')


@dataclass(frozen=True, slots=True)
class Stored:
    """How a class is stored, where that differs from its own name at schema 1.

    `upcasters[0]` turns the JSON object of schema 1 into that of schema 2, and so on: `schema - 1` of them.
    """

    name: str
    schema: int = 1
    upcasters: Sequence[Upcaster] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(f"{self.name!r} cannot be a stored name: letters, digits, _ and . only")
        if self.schema != len(self.upcasters) + 1:
            raise ConfigurationError(
                f"{self.name}: schema {self.schema} needs {self.schema - 1} upcasters, one for each step, "
                f"and has {len(self.upcasters)}"
            )


class Codec:
    """The stored form of every event class of an App.

    Raises: ConfigurationError when two classes share a stored name or a class cannot be stored at all.
    """

    def __init__(self, types: Iterable[type], stored: Mapping[type, Stored]) -> None:
        self._by_type: dict[type, _Form] = {}
        self._by_name: dict[str, _Form] = {}
        for cls in dict.fromkeys(types):
            form = _Form(cls, stored.get(cls) or Stored(cls.__name__))
            clash = self._by_name.get(form.name)
            if clash is not None:
                raise ConfigurationError(
                    f"{_full_name(clash.cls)} and {_full_name(cls)} would both be stored as {form.name!r}: "
                    f"rename one, or give it a name with stored={{{cls.__name__}: Stored('…')}}"
                )
            self._by_type[cls] = self._by_name[form.name] = form
        for cls in stored:
            if cls not in self._by_type:
                raise ConfigurationError(f"stored= names {_full_name(cls)}, which nothing in this App records")

    @property
    def known(self) -> frozenset[str]:
        """The stored names of all classes."""
        return frozenset(self._by_name)

    def names(self, types: Iterable[type]) -> frozenset[str]:
        """The stored names of these classes."""
        return frozenset(self._by_type[cls].name for cls in types)

    def encode(self, event: object) -> Encoded:
        """Raises: InvalidEvent when what would be stored could not be read again, and the field at fault."""
        form = self._by_type.get(type(event))
        if form is None:
            raise InvalidEvent(f"{_full_name(type(event))} is not an event of this App: {event!r:.200}")
        return form.encode(event)

    def recorded(self, entry: Entry) -> Recorded:
        """Raises: UndecodableEvent."""
        meta = _META_FROM(entry.meta)
        return Recorded(
            self.decode(entry),
            _STREAM_FROM(entry.stream),
            entry.version,
            entry.position,
            entry.recorded_at,
            meta.command_id,
            meta.correlation_id,
            meta.causation_id,
            meta.actor,
        )

    def decode(self, entry: Entry) -> Any:
        """The event of an entry, brought up to date. Raises: UndecodableEvent."""
        form = self._by_name.get(entry.type)
        if form is None:
            raise _unknown(f"{entry.stream}@{entry.version}", entry.type)
        try:
            return form.decode(entry.schema, entry.data)
        except UndecodableEvent:
            raise
        except Exception as error:  # an upcaster or a __post_init__ is the user's: it may raise anything
            raise _undecodable(f"{entry.stream}@{entry.version}", entry.type, entry.schema, error) from error

    def events(self, stream: Stream, version: int, stored: Sequence[StoredEvent]) -> Iterator[Any]:
        """The events of a stream up to `version`, one at a time, brought up to date. Raises: UndecodableEvent."""
        forms = self._by_name
        for at, (name, schema, data) in enumerate(stored, start=version - len(stored) + 1):
            form = forms.get(name)
            if form is None:
                raise _unknown(f"{stream}@{at}", name)
            try:
                event = form.read(data) if schema == form.schema else form.decode(schema, data)
            except UndecodableEvent:
                raise
            except Exception as error:
                raise _undecodable(f"{stream}@{at}", name, schema, error) from error
            yield event


def _unknown(id_: str, name: str) -> NewerSchema:
    """Newer code may well have stored it; where the class was removed, it has to come back."""
    return NewerSchema(
        f"{id_} is a {name!r}, which this App has no class for: deploy the code that has it, readers first"
    )


def _undecodable(id_: str, name: str, schema: int, error: Exception) -> UndecodableEvent:
    return UndecodableEvent(f"{id_}, a {name} of schema {schema}, cannot be read: {type(error).__name__}: {error}")


class _Form:
    """One class: how it goes to JSON and comes back."""

    def __init__(self, cls: type, stored: Stored) -> None:
        self.cls, self.name, self.schema, self.upcasters = cls, stored.name, stored.schema, stored.upcasters
        try:
            kinds = _kinds(cls)
            self.read = json_reader(cls)
        except (TypeError, NameError) as error:
            raise ConfigurationError(f"{_full_name(cls)} cannot be stored as JSON: {error}") from error
        self.plain = not kinds & _TO_BE_LOOKED_AT
        self.has_times = self.plain and msgspec.inspect.DateTimeType in kinds
        self.has_decimals = msgspec.inspect.DecimalType in kinds
        self.may_change = kinds & _MAY_CHANGE

    def encode(self, event: object) -> Encoded:
        try:
            data = _ENCODER.encode(event) if self.plain else self._canonical(event)
            if (self.has_decimals and _NOT_A_NUMBER.search(data)) or (self.has_times and _NOT_UTC.search(data)):
                data = self._canonical(event)
            if b"\\u0000" in data:
                _refuse_text(plain_values(event), self.name)
            if len(data) > MAX_EVENT_BYTES:
                raise InvalidEvent(f"{self.name} takes {len(data)} bytes, more than {MAX_EVENT_BYTES}: split it")
            read = self.read(data)
            if self.has_times and read != event:  # seconds of an offset from UTC, which JSON leaves out
                data = self._canonical(event)
                read = self.read(data)
            if self.may_change:
                _refuse_change(_kept(event), _kept(read), self.name)
            return Encoded(self.name, self.schema, data, read)
        except UnicodeEncodeError as error:
            _refuse_text(plain_values(event), self.name)
            raise InvalidEvent(f"{self.name} cannot be stored: {error}") from error
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise InvalidEvent(f"{self.name} cannot be stored: {error} (the event: {event!r:.200})") from error

    def _canonical(self, event: object) -> bytes:
        values = msgspec.to_builtins(event, builtin_types=(datetime, time, Decimal), enc_hook=_plain)
        return _ENCODER.encode(_checked(values, self.name))

    def decode(self, schema: int, data: str | bytes) -> Any:
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
        return self.read(_ENCODER.encode(value))


def json_reader(cls: Any) -> Callable[[str | bytes], Any]:
    """A function from JSON to `cls`: msgspec's decoder, or pydantic's own for its models. Raises: TypeError."""
    if hasattr(cls, "model_validate_json"):
        read: Callable[[str | bytes], Any] = cls.model_validate_json
        return read
    _kinds(cls)
    return msgspec.json.Decoder(cls, dec_hook=_build).decode


def json_text(value: object) -> str:
    """A nested value of a row as JSON."""
    return _ENCODER.encode(value).decode()


def plain_values(value: object) -> Any:
    """What JSON would be made of: dicts, lists and single values."""
    return msgspec.to_builtins(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    raise TypeError(f"{type(value).__name__} is not a type that JSON can hold: {value!r:.80}")


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)


def _build(cls: type, value: Any) -> Any:
    if hasattr(cls, "model_validate_json"):
        return cls.model_validate_json(_ENCODER.encode(value))
    raise TypeError(f"{cls.__name__} is not a type that JSON can hold")


# Kinds whose values msgspec would store in a form that changes or loses them.
_TO_BE_LOOKED_AT = {
    msgspec.inspect.TimeType,
    msgspec.inspect.FloatType,
    msgspec.inspect.AnyType,
    msgspec.inspect.CustomType,
}


# Kinds whose values JSON may hold in a form that reads as something else: a model reads bytes its own way, a value of
# any type does not say what it was, an offset has no seconds.
_MAY_CHANGE = {msgspec.inspect.CustomType, msgspec.inspect.AnyType, msgspec.inspect.TimeType}


def _kinds(cls: type) -> set[type]:
    """The kinds of all types that `cls` is made of. Raises: TypeError for one that JSON cannot hold."""
    found: set[type] = set()
    seen: set[int] = set()
    open_: list[Any] = [msgspec.inspect.type_info(cls)]
    while open_:
        node = open_.pop()
        if isinstance(node, tuple | list):
            open_.extend(node)
        elif isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field) and id(node) not in seen:
            if isinstance(node, msgspec.inspect.CustomType) and not hasattr(node.cls, "model_validate_json"):
                raise TypeError(f"{node.cls.__name__} is not a type that JSON can hold")
            seen.add(id(node))
            found.add(type(node))
            open_.extend(getattr(node, name) for name in node.__struct_fields__ if name not in ("cls", "default"))
    return found


def _checked(value: Any, path: str) -> Any:
    """The value with every time in UTC. Raises: InvalidEvent, naming the path of what cannot be kept."""
    match value:
        case dict():
            return {key: _checked(inner, f"{path}.{key}") for key, inner in value.items()}
        case list() | tuple():
            return [_checked(inner, f"{path}[{index}]") for index, inner in enumerate(value)]
        case datetime():
            if value.tzinfo is None:
                raise InvalidEvent(
                    f"{path} is a time without a zone, {value.isoformat()}: give it one, UTC for instance"
                )
            try:
                return value.astimezone(UTC)
            except OverflowError:
                raise InvalidEvent(f"{path} is {value.isoformat()}, which in UTC is no year from 1 to 9999") from None
        case float() if value != value or value in (float("inf"), float("-inf")):
            raise InvalidEvent(f"{path} is {value}, which is not a number that JSON can hold")
        case Decimal() if not value.is_finite():
            raise InvalidEvent(f"{path} is {value}, which is not a number")
        case _:
            return value


def _kept(value: object) -> Any:
    """Dicts, lists and single values, these as they are."""
    return msgspec.to_builtins(
        value, builtin_types=(bytes, date, datetime, time, timedelta, Decimal, UUID), enc_hook=_plain
    )


def _refuse_change(value: Any, read: Any, path: str) -> None:
    """Raises: InvalidEvent, naming the path of what was not read again as it was."""
    match value, read:
        case (dict(), dict()) if value.keys() == read.keys():
            for key, inner in value.items():
                _refuse_change(inner, read[key], f"{path}.{key}")
        case (list() | tuple(), list() | tuple()) if len(value) == len(read):
            for index, inner in enumerate(value):
                _refuse_change(inner, read[index], f"{path}[{index}]")
        case _ if value != read:
            raise InvalidEvent(f"{path} is {value!r:.80}, and would be read again as {read!r:.80}")


def _refuse_text(value: Any, path: str) -> None:
    match value:
        case dict():
            for key, inner in value.items():
                _refuse_text(key, f"{path}.{key!r}")
                _refuse_text(inner, f"{path}.{key}")
        case list() | tuple():
            for index, inner in enumerate(value):
                _refuse_text(inner, f"{path}[{index}]")
        case str() if "\x00" in value:
            raise InvalidEvent(f"{path} holds a NUL character, which not every store can keep: {value!r:.80}")
        case str() if _SURROGATE.search(value):
            raise InvalidEvent(f"{path} holds half of a surrogate pair, which is no character: {value!r:.80}")
        case _:
            pass


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
