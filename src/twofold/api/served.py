"""One command that clients may use; checked when it is declared. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_type_hints

import msgspec

from twofold.api.actors import Allow
from twofold.api.addresses import Address
from twofold.errors import ConfigurationError
from twofold.signatures import check_accepts, is_coroutine_function, message_types
from twofold.write.decider import Decider, Done

Using = Callable[[Any, Any], Awaitable[Any]]

NO_BODY = (204, 205)
"""Statuses of responses that cannot have a body."""


class NewId:
    """See `new_id`."""

    def __repr__(self) -> str:
        return "new_id"


new_id = NewId()
"""The `id=` of a command that begins a stream with an id made up by the server: with an Idempotency-Key always the same
one."""


@dataclass(frozen=True, slots=True)
class Input:
    """One field of what a client sends for a command; `required`: it has no default."""

    annotation: Any
    required: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class ServedCommand:
    """A command at an address.

    `sent` is the class whose fields the client sends: `inputs` in the body, those in `path` in the path. `using` makes
    the command of it, unless it is the command itself. The field `by` gets the actor's id. The stream's id is the
    parameter or field `id`; the deciders in `exists` must have the streams that fields or parameters name. `types`
    replace the annotations of fields.
    """

    name: str
    at: Address
    decider: Decider[Any, Any, Any]
    command: type
    named: str | NewId | None
    new: bool
    demanded: Decider[Any, Any, Any] | Mapping[str, Decider[Any, Any, Any]] | None
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
    def parts(self) -> list[Any]:
        """The parts of the App that it names: its decider, and those that `exists=` demands."""
        if self.demanded is None:
            return [self.decider]
        return [self.decider, *(self.demanded.values() if isinstance(self.demanded, Mapping) else [self.demanded])]

    @cached_property
    def sent(self) -> type:
        """The class whose fields the client sends. Raises: ConfigurationError."""
        if self.using is None:
            return self.command
        if not is_coroutine_function(self.using):
            raise ConfigurationError(f"{self.owner}: using must be a coroutine function: async def (sent, running)")
        classes = message_types(self.using, parameters=2, index=0, owner=f"{self.owner}, using", may_await=True)
        if len(classes) != 1:
            names = " | ".join(cls.__name__ for cls in classes)
            raise ConfigurationError(f"{self.owner}: using must take one class, what the client sends, not {names}")
        return classes[0]

    @cached_property
    def fields(self) -> dict[str, Input]:
        """All fields of `sent`, with their types at the edge. Raises: ConfigurationError."""
        return {
            name: Input(self.types.get(name, field.annotation), field.required)
            for name, field in inputs_of(self.sent, self.owner).items()
        }

    @cached_property
    def id(self) -> str | NewId:
        """The parameter or field with the stream's id: the one named, `id`, or the only parameter that is no field."""
        others = [name for name in self.at.parameters if name not in self.fields]
        if self.named is not None:
            return self.named
        return others[0] if len(others) == 1 else "id"

    @cached_property
    def exists(self) -> Mapping[str, Decider[Any, Any, Any]]:
        """The deciders that must have a stream, by the parameter or field that names it."""
        if self.demanded is None or isinstance(self.demanded, Mapping):
            return self.demanded or {}
        return {str(self.id): self.demanded}

    @cached_property
    def path(self) -> dict[str, Input]:
        """The parameters of the path that are fields of `sent`."""
        return {name: self.fields[name] for name in self.at.parameters if name in self.fields}

    @cached_property
    def inputs(self) -> dict[str, Input]:
        """The fields of the body: those that neither the path nor the actor gives."""
        elsewhere = (*self.at.parameters, self.by)
        return {name: field for name, field in self.fields.items() if name not in elsewhere}

    @property
    def names(self) -> tuple[str, ...]:
        """All that `types` may name."""
        return (*self.at.parameters, *self.fields)

    def check(self) -> None:
        """Raises: ConfigurationError."""
        self._check_command()
        self._check_id()
        if self.by is not None and self.by not in self.fields:
            raise ConfigurationError(f"{self.owner}: {self.sent.__name__} has no field by={self.by!r:.80}")
        if self.by in self.at.parameters:
            raise ConfigurationError(f"{self.owner}: by={self.by!r} is a parameter of the path, which gives the field")
        if type(self.status) is not int or not 200 <= self.status <= 299:
            raise ConfigurationError(f"{self.owner}: status must be 200 to 299, not {self.status!r:.80}")
        if self.returns is not None and self.status in NO_BODY:
            raise ConfigurationError(f"{self.owner}: a response with status {self.status} has no body for returns=")
        check_returns(self.returns, self.owner)
        check_allow(self.allow, self.owner)

    def _check_command(self) -> None:
        if self.command not in self.decider.command_types:
            names = ", ".join(cls.__name__ for cls in self.decider.command_types)
            raise ConfigurationError(f"{self.owner}: {self.decider.owner} decides {names}")
        if self.command in self.decider.internal:
            raise ConfigurationError(f"{self.owner}: {self.decider.owner} lists it in internal=, so it is not served")

    def _check_id(self) -> None:
        sent, fields = self.sent.__name__, self.fields
        if not isinstance(self.id, str | NewId):
            raise ConfigurationError(f"{self.owner}: id= must be a name or new_id, not {self.id!r:.80}")
        for name in self.at.parameters:
            if name not in fields and name != self.id:
                raise ConfigurationError(
                    f"{self.owner}: {{{name}}} is neither a field of {sent} nor the id of the stream; "
                    f"write id={name!r} if it is the id"
                )
        if isinstance(self.id, str) and self.id not in (*self.at.parameters, *fields):
            raise ConfigurationError(
                f"{self.owner}: the path has no {{{self.id}}} and {sent} no field {self.id!r} for the "
                f"id of the stream: name one with id=, or let the server make it with id=new_id"
            )
        if self.new and str(self.id) in self.exists:
            raise ConfigurationError(f"{self.owner}: a new stream cannot exist already: leave out new=, or exists=")
        for name in self.exists:
            if name not in (*self.at.parameters, *fields):
                raise ConfigurationError(
                    f"{self.owner}: exists= names {name!r:.80}, which is neither a parameter of the path nor a field "
                    f"of {sent}"
                )


def inputs_of(cls: type, owner: str) -> dict[str, Input]:
    """The fields that a dataclass, a msgspec Struct or a pydantic model is made of. Raises: ConfigurationError."""
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"{owner}: the annotations of {cls.__name__} cannot be read ({error}); define the types at module level"
        ) from error
    if dataclasses.is_dataclass(cls):
        return {
            field.name: Input(hints[field.name], field.default is field.default_factory is dataclasses.MISSING)
            for field in dataclasses.fields(cls)
            if field.init
        }
    if issubclass(cls, msgspec.Struct):
        return {field.name: Input(hints[field.name], field.required) for field in msgspec.structs.fields(cls)}
    model_fields: dict[str, Any] | None = getattr(cls, "model_fields", None)
    if model_fields is None:
        raise ConfigurationError(
            f"{owner}: {cls.__name__} must be a dataclass, a msgspec Struct or a pydantic model to be sent as JSON; "
            f"if clients may not send it, list it in internal= of its decider"
        )
    return {name: Input(hints[name], field.is_required()) for name, field in model_fields.items()}


def check_allow(allow: Allow | None, owner: str) -> None:
    """Raises: ConfigurationError."""
    if allow is not None:
        check_accepts(allow, 2, f"{owner}, allow", may_await=True)


def check_returns(returns: Callable[[Any], Any] | None, owner: str) -> None:
    """Raises: ConfigurationError if the response could not be described in OpenAPI."""
    if returns is None:
        return
    check_accepts(returns, 1, f"{owner}, returns")
    try:
        annotated = "return" in get_type_hints(returns)
    except NameError as error:
        raise ConfigurationError(f"{owner}: the annotations of returns= cannot be read ({error})") from error
    if not annotated:
        raise ConfigurationError(f"{owner}: annotate what returns= returns: OpenAPI describes the response by it")
