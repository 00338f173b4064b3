"""One command, row or page that the outside may use; checked when it is declared. Pure."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

from twofold.api.actors import Allow
from twofold.api.addresses import Address
from twofold.errors import ConfigurationError, InvalidQuery
from twofold.read.conditions import MAX_LIMIT, field_named
from twofold.read.projection import Projection
from twofold.signatures import message_types
from twofold.write.decider import Decider, Done

Using = Callable[[Any, Any], Awaitable[Any]]


class NewId:
    """See `new_id`."""

    def __repr__(self) -> str:
        return "new_id"


new_id = NewId()
"""The `id=` of a command that begins a stream with an id made up by the server: with an Idempotency-Key always the same
one."""


@dataclass(frozen=True, slots=True)
class Input:
    """One field of what a client sends for a command: its annotation, and its default as `default` or `factory`."""

    annotation: Any
    default: Any = dataclasses.MISSING
    factory: Any = dataclasses.MISSING

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is dataclasses.MISSING and self.factory is dataclasses.MISSING


@dataclass(frozen=True, eq=False, kw_only=True)
class ServedCommand:
    """A command at an address.

    `sent` is the class whose fields the client sends: `inputs` in the body, those in `path` in the path. The field `by`
    gets the id of the actor instead. `using` makes the command of it, unless it is the command itself. The stream's id
    is the parameter or field `id`; a stream with this id must exist in `exists`. `types` replace annotations by name.
    """

    name: str
    at: Address
    decider: Decider[Any, Any, Any]
    command: type
    id: str | NewId
    new: bool
    exists: Decider[Any, Any, Any] | None
    by: str | None
    using: Using | None
    types: Mapping[str, Any]
    allow: Allow | None
    status: int
    etag: bool
    returns: Callable[[Done[Any, Any]], Any] | None

    @property
    def owner(self) -> str:
        """How errors name it."""
        return f"command {self.command.__name__} at {self.at}"

    @property
    def sent(self) -> type:
        """The class whose fields the client sends."""
        if self.using is None:
            return self.command
        return message_types(self.using, parameters=2, index=0, owner=f"{self.owner}, using", may_await=True)[0]

    @property
    def path(self) -> dict[str, Input]:
        """The parameters of the path that are fields of `sent`, or have a type."""
        inputs = self._fields
        path = {name: Input(self.types[name]) for name in self.at.parameters if name in self.types}
        return path | {name: inputs[name] for name in self.at.parameters if name in inputs}

    @property
    def inputs(self) -> dict[str, Input]:
        """The fields of the body: those that neither the path nor the actor gives."""
        elsewhere = (*self.at.parameters, self.by)
        return {name: field for name, field in self._fields.items() if name not in elsewhere}

    @property
    def _fields(self) -> dict[str, Input]:
        return {
            name: replace(field, annotation=self.types.get(name, field.annotation))
            for name, field in inputs_of(self.sent).items()
        }

    def check(self) -> None:
        """Raises: ConfigurationError."""
        if self.command not in self.decider.command_types:
            names = ", ".join(cls.__name__ for cls in self.decider.command_types)
            raise ConfigurationError(f"{self.owner}: {self.decider.owner} decides {names}")
        if self.command in self.decider.internal:
            raise ConfigurationError(f"{self.owner}: {self.decider.owner} marks it as internal=")
        if self.new and self.exists is not None:
            raise ConfigurationError(f"{self.owner}: with new=True no stream of this id can be demanded by exists=")
        if not 200 <= self.status <= 299:
            raise ConfigurationError(f"{self.owner}: status must be 200 to 299, not {self.status!r}")
        fields = inputs_of(self.sent)
        if self.by is not None and self.by not in fields:
            raise ConfigurationError(f"{self.owner}: {self.sent.__name__} has no field by={self.by!r}")
        for name in self.at.parameters:
            if name not in fields and name != self.id:
                raise ConfigurationError(
                    f"{self.owner}: {{{name}}} is neither a field of {self.sent.__name__} nor the id of the stream; "
                    f"write id={name!r} if it is the id"
                )
        if isinstance(self.id, str) and self.id not in (*self.at.parameters, *fields):
            raise ConfigurationError(
                f"{self.owner}: the path has no {{{self.id}}} and {self.sent.__name__} no field {self.id!r} for the "
                f"id of the stream: name one with id=, or let the server make it with id=new_id"
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class ServedRow:
    """One row of a projection at an address, whose parameters are the fields of the key, by name or in order.

    `etag` is the int field that holds the version of the stream, for If-Match.
    """

    name: str
    at: Address
    projection: Projection[Any]
    allow: Allow | None
    types: Mapping[str, Any]
    etag: str | None
    returns: Callable[[Any], Any] | None

    @property
    def owner(self) -> str:
        """How errors name it."""
        return f"row of {self.projection.owner} at {self.at}"

    @property
    def key(self) -> tuple[str, ...]:
        """The parameters of the path in the order of the key's fields."""
        fields = self.projection.table.key
        return fields if set(fields) == set(self.at.parameters) else self.at.parameters

    def check(self) -> None:
        """Raises: ConfigurationError."""
        key = self.projection.table.key
        if len(self.at.parameters) != len(key):
            raise ConfigurationError(f"{self.owner}: the path must have {len(key)} parameters, for {', '.join(key)}")
        if self.etag is not None and _field(self, self.etag).column.kind != "integer":
            raise ConfigurationError(f"{self.owner}: etag={self.etag!r} must be an int field, the stream's version")


@dataclass(frozen=True, eq=False, kw_only=True)
class ServedPage:
    """Pages of a projection at an address.

    `where` gives for a field (or a condition, as for `find`) the parameter of the path with its value. `filters` gives
    for a query parameter the condition that it sets; None: every field with every operator, under its own name. A
    stream whose id is the parameter of the path must exist in `exists`. `plain`: the response is the list of rows.
    """

    name: str
    at: Address
    projection: Projection[Any]
    where: Mapping[str, str]
    order_by: tuple[str, ...]
    filters: Mapping[str, str] | None
    exists: Decider[Any, Any, Any] | None
    types: Mapping[str, Any]
    plain: bool
    limit: int
    allow: Allow | None
    returns: Callable[[Any], Any] | None

    @property
    def owner(self) -> str:
        """How errors name it."""
        return f"page of {self.projection.owner} at {self.at}"

    def check(self) -> None:
        """Raises: ConfigurationError."""
        if sorted(self.where.values()) != sorted(self.at.parameters):
            raise ConfigurationError(
                f"{self.owner}: where= must give a field for each parameter of the path, as in "
                f'where={{"member_id": "id"}}'
            )
        if self.exists is not None and len(self.at.parameters) != 1:
            raise ConfigurationError(f"{self.owner}: exists= needs one parameter in the path, the id of the stream")
        if not 1 <= self.limit <= MAX_LIMIT:
            raise ConfigurationError(f"{self.owner}: limit must be 1 to {MAX_LIMIT}, not {self.limit!r}")
        for condition in (*self.where, *(self.filters or {}).values()):
            if condition != "order_by":
                _field(self, condition.partition("__")[0])
        for name in self.order_by:
            _field(self, name.removeprefix("-"))


Served = ServedCommand | ServedRow | ServedPage


def _field(served: ServedRow | ServedPage, name: str) -> Any:
    try:
        return field_named(served.projection, name)
    except InvalidQuery as error:
        raise ConfigurationError(f"{served.owner}: {error}") from None


def inputs_of(cls: type) -> dict[str, Input]:
    """The fields that a dataclass, a msgspec Struct or a pydantic model is made of. Empty for any other class."""
    hints = get_type_hints(cls, include_extras=True)
    if dataclasses.is_dataclass(cls):
        return {
            field.name: Input(hints[field.name], field.default, field.default_factory)
            for field in dataclasses.fields(cls)
            if field.init
        }
    names: Sequence[str] = getattr(cls, "__struct_fields__", ()) or getattr(cls, "model_fields", ())
    return {name: Input(hints[name], *_default(cls, name)) for name in names}


def _default(cls: type, name: str) -> tuple[Any, Any]:
    """The default of a Struct's or a model's field, as its signature shows it."""
    default = inspect.signature(cls).parameters[name].default
    return (dataclasses.MISSING if default is inspect.Parameter.empty else default), dataclasses.MISSING
