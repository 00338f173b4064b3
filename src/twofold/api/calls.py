"""One SQL command that clients may use; checked when it is declared. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, make_dataclass
from functools import cached_property
from typing import Any

from twofold.api.actors import Allow
from twofold.api.addresses import Address
from twofold.api.served import NO_BODY, Input, check_allow, check_returns, inputs_of
from twofold.errors import ConfigurationError
from twofold.sql.command import Called, SqlCommand


@dataclass(frozen=True, eq=False, kw_only=True)
class ServedCall:
    """A SQL command at an address.

    A client sends its fields: `inputs` in the body, those in `path` in the path. The field `by` gets the actor's id.
    `types` replace the annotations of fields.
    """

    name: str
    at: Address
    command: SqlCommand[Any, Any]
    by: str | None
    types: Mapping[str, Any]
    allow: Allow | None
    status: int
    returns: Callable[[Called[Any]], Any]

    new, etag, id = False, False, ""  # it has no stream

    @property
    def owner(self) -> str:
        """How errors name it."""
        return f"{self.command.owner} at {self.at}"

    @property
    def parts(self) -> list[Any]:
        """The parts of the App that it names."""
        return [self.command]

    @property
    def sent(self) -> type:
        """The class whose fields the client sends."""
        return self.command.command

    @cached_property
    def fields(self) -> dict[str, Input]:
        """All fields of the command, with their types at the edge. Raises: ConfigurationError."""
        return {
            name: Input(self.types.get(name, field.annotation), field.required)
            for name, field in inputs_of(self.sent, self.owner).items()
        }

    @cached_property
    def path(self) -> dict[str, Input]:
        """The fields that the path gives."""
        return {name: self.fields[name] for name in self.at.parameters}

    @cached_property
    def inputs(self) -> dict[str, Input]:
        """The fields of the body: those that neither the path nor the actor gives."""
        elsewhere = (*self.at.parameters, self.by)
        return {name: field for name, field in self.fields.items() if name not in elsewhere}

    @property
    def names(self) -> Iterable[str]:
        """What `types` may name."""
        return self.fields

    def check(self) -> None:
        """Raises: ConfigurationError."""
        for name in self.at.parameters:
            if name not in self.fields:
                raise ConfigurationError(f"{self.owner}: {self.sent.__name__} has no field {name!r:.80}")
        if self.by is not None and (self.by not in self.fields or self.by in self.at.parameters):
            raise ConfigurationError(
                f"{self.owner}: by={self.by!r:.80} must be a field of {self.sent.__name__} that the path does not give"
            )
        if type(self.status) is not int or not 200 <= self.status <= 299:
            raise ConfigurationError(f"{self.owner}: status must be 200 to 299, not {self.status!r:.80}")
        check_returns(self.returns, self.owner)
        check_allow(self.allow, self.owner)

    @property
    def has_body(self) -> bool:
        """Whether its response has a body."""
        return self.status not in NO_BODY


def check_no_stream(sql: SqlCommand[Any, Any], returns: Any, **given: object) -> None:
    """Raises: ConfigurationError for an argument that concerns a stream, which a SQL command does not have."""
    named = sorted(name for name, value in given.items() if value)
    if named:
        raise ConfigurationError(f"{sql.owner} has no stream of its own: leave out {'=, '.join(named)}=")
    if returns is not None and not callable(returns):
        raise ConfigurationError(f"{sql.owner}: returns={returns!r:.80} must be a function of Called")


def answer_of(command: SqlCommand[Any, Any], name: str) -> Callable[[Called[Any]], Any]:
    """The `returns=` of a SQL command without one: an object with the function's result."""
    pascal = "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", name))
    made: Any = make_dataclass(f"{pascal}Answer", [("answer", command.answers or type(None))], frozen=True)

    def returned(called: Called[Any]) -> Any:
        return made(called.answer)

    returned.__annotations__["return"] = made
    return returned
