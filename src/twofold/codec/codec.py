"""Finds the stored form of an event class by its class or stored name, to encode and decode events. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from twofold.codec.form import Form, Stored
from twofold.errors import ConfigurationError, InvalidEvent, NewerSchema, UndecodableEvent
from twofold.failures import error_text, failure, shown
from twofold.messages import Encoded, Entry, Meta, Recorded, StoredEvent, Stream

_META_FROM = msgspec.json.Decoder(Meta).decode
_STREAM_FROM = Stream.parse


class Codec:
    """The stored forms of all event classes of an App.

    Raises: ConfigurationError if two classes share a stored name, or a class cannot be stored.
    """

    def __init__(self, types: Iterable[type], stored: Mapping[type, Stored]) -> None:
        self._by_type: dict[type, Form] = {}
        self._by_name: dict[str, Form] = {}
        for cls in dict.fromkeys(types):
            form = Form(cls, stored.get(cls) or Stored(cls.__name__))
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
    def forms(self) -> Sequence[Form]:
        """The stored forms of all event classes."""
        return list(self._by_name.values())

    @property
    def known(self) -> frozenset[str]:
        """The stored names of all event classes."""
        return frozenset(self._by_name)

    def names(self, types: Iterable[type]) -> frozenset[str]:
        """The stored names of these classes."""
        return frozenset(self._by_type[cls].name for cls in types)

    def encode(self, event: object) -> Encoded:
        """An event ready to be stored. Raises: InvalidEvent, naming the field that would not be read back as it is."""
        form = self._by_type.get(type(event))
        if form is None:
            raise InvalidEvent(f"{_full_name(type(event))} is not an event of this App: {shown(event)}")
        return form.encode(event)

    def recorded(self, entry: Entry) -> Recorded:
        """The event of an entry with its metadata. Raises: UndecodableEvent."""
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
        """The event of an entry, upcast to its current schema. Raises: UndecodableEvent."""
        form = self._by_name.get(entry.type)
        if form is None:
            raise _unknown(f"{entry.stream}@{entry.version}", entry.type)
        try:
            return form.decode(entry.schema, entry.data)
        except BaseException as error:  # upcasters and __post_init__ are user code, which may raise anything
            if entry.schema > form.schema:
                raise
            raise _undecodable(f"{entry.stream}@{entry.version}", entry.type, entry.schema, error) from error

    def events(self, stream: Stream, version: int, stored: Sequence[StoredEvent]) -> Iterator[Any]:
        """The events of a stream up to `version`, decoded one at a time, upcast. Raises: UndecodableEvent."""
        forms = self._by_name
        for at, (name, schema, data) in enumerate(stored, start=version - len(stored) + 1):
            form = forms.get(name)
            if form is None:
                raise _unknown(f"{stream}@{at}", name)
            try:
                event = form.read(data) if schema == form.schema else form.decode(schema, data)
            except BaseException as error:
                if schema > form.schema:
                    raise
                raise _undecodable(f"{stream}@{at}", name, schema, error) from error
            yield event


def _unknown(id_: str, name: str) -> NewerSchema:
    """Newer code may have stored it. If the class was removed instead, it has to come back."""
    return NewerSchema(
        f"{id_} is a {name!r}, and this App has no class for it: deploy the code that has the class, readers first"
    )


def _undecodable(id_: str, name: str, schema: int, error: BaseException) -> UndecodableEvent:
    why = error_text(failure(error))
    return UndecodableEvent(f"{id_}, a {name} of schema {schema}, cannot be read: {why}")


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
