"""A command whose decision is a function in PostgreSQL. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec

from twofold.codec.fields import is_model
from twofold.codec.jsontext import json_bytes, plain_values
from twofold.errors import ConfigurationError, InvalidInput, TwofoldError
from twofold.failures import shown
from twofold.sql.calls import Failed, error_of

C = TypeVar("C")
A = TypeVar("A")

Code = str | tuple[str, str]
"""What a client gets: a code, and a sentence where the code in words is not enough."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_FUNCTION = re.compile(r"(?:([A-Za-z_][A-Za-z0-9_$]*)\.)?([A-Za-z_][A-Za-z0-9_$]*)")


@dataclass(frozen=True, eq=False)
class SqlCommand(Generic[C, A]):
    """A command that a PostgreSQL function decides, which notes its events with `twofold.note`.

    The function is called in named notation: each field of the command gives the parameter of its name after `prefix`,
    and `actor` names the one that gets the caller's id. Its result is read as `answers`; None for a function that
    returns nothing. `records` are the event classes that it notes, unless a decider of the App has them.

    A function says no with `RAISE EXCEPTION 'a sentence' USING ERRCODE = 'TF422', DETAIL = 'CODE'`. `errors` gives a
    code, or a code and a sentence, for the name of a constraint or an SQLSTATE; `otherwise` for every other error of
    the function, which is logged. All of them are `Rejected` with that code.

    `key` is the field that tells which row the function locks, by default the first: commands that run together do so
    in its order, so that they do not wait for each other in a circle.

    Raises: ConfigurationError.
    """

    name: str
    command: type[C]
    function: str
    answers: type[A] | Any = None
    errors: Mapping[str, Code] = field(default_factory=dict)
    otherwise: tuple[str, str] | None = None
    prefix: str = "p_"
    actor: str | None = None
    key: str | None = None
    records: Sequence[type] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"the name of a SQL command is a letter, then letters, digits or _ (at most 63), not {self.name!r:.80}"
            )
        if not isinstance(self.function, str) or not _FUNCTION.fullmatch(self.function):
            raise ConfigurationError(
                f"{self.owner}: function={self.function!r:.80} must name a function, like app.create_user"
            )
        if self.key is not None and self.key not in self.fields:
            raise ConfigurationError(f"{self.owner}: {self.command.__name__} has no field key={self.key!r:.80}")
        if self.actor is not None and self.actor in self.parameters.values():
            raise ConfigurationError(
                f"{self.owner}: actor={self.actor!r} is the parameter of a field: the command would say who asks"
            )
        if self.otherwise is not None and (isinstance(self.otherwise, str) or len(self.otherwise) != 2):
            raise ConfigurationError(
                f"{self.owner}: otherwise must be a code and a sentence, not {self.otherwise!r:.80}"
            )
        try:
            msgspec.json.Decoder(Any if self.answers is None else self.answers)
        except TypeError as error:
            raise ConfigurationError(
                f"{self.owner}: a result of type {self.answers!r:.80} cannot be read: {error}"
            ) from None

    @property
    def owner(self) -> str:
        """How errors name this command."""
        return f"SQL command {self.name!r}"

    @property
    def named(self) -> tuple[str | None, str]:
        """Schema, if one is given, and name of the function, as PostgreSQL stores them."""
        schema, name = _FUNCTION.fullmatch(self.function).groups()  # type: ignore[union-attr]
        return None if schema is None else schema.lower(), name.lower()

    @cached_property
    def fields(self) -> Sequence[str]:
        """The names of the command's fields. Raises: ConfigurationError."""
        cls: Any = self.command
        if dataclasses.is_dataclass(cls):
            return [each.name for each in dataclasses.fields(cls)]
        if isinstance(cls, type) and issubclass(cls, msgspec.Struct):
            return [each.name for each in msgspec.structs.fields(cls)]
        if is_model(cls):
            return list(cls.model_fields)
        raise ConfigurationError(
            f"{self.owner}: command={cls!r:.80} must be a dataclass, a msgspec Struct or a pydantic model"
        )

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """The function's parameter for each field."""
        return {name: f"{self.prefix}{name}" for name in self.fields}

    def arguments(self, command: C, actor: str | None) -> str:
        """The function's arguments as a JSON object. Raises: InvalidInput."""
        if not isinstance(command, self.command):
            raise InvalidInput(f"{self.owner} takes a {self.command.__name__}, not {shown(command, 200)}")
        values = {parameter: _plain(getattr(command, name)) for name, parameter in self.parameters.items()}
        if self.actor is not None:
            values[self.actor] = actor
        try:
            text = json_bytes(values).decode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(f"{self.owner}: {shown(command, 200)} cannot be written as JSON: {error}") from error
        if "\\u0000" in text:  # or a backslash, followed by u0000
            for name, parameter in self.parameters.items():
                if _holds_nul(values[parameter]):
                    raise InvalidInput(
                        f"{self.owner}: {name} contains a NUL character, which PostgreSQL cannot hold: remove it"
                    )
        return text

    def sort_key(self, command: C) -> str:
        """Commands with the same key come one after the other."""
        name = self.key or next(iter(self.fields), None)
        return "" if name is None else str(getattr(command, name))

    def error(self, failed: Failed) -> TwofoldError:
        """What a caller gets for an error of the function. The cause is for the log."""
        return error_of(failed, self.owner, self.errors, self.otherwise)


@dataclass(frozen=True, slots=True)
class Called(Generic[A]):
    """The result of a SQL command.

    A read with `after=token` includes what it did. `repeated`: the command id was used before, and `answer` is
    the first one.
    """

    answer: A
    token: str
    repeated: bool


def _plain(value: Any) -> Any:
    """A value as JSON has it; bytes as PostgreSQL reads them."""
    return f"\\x{value.hex()}" if isinstance(value, bytes) else plain_values(value)


def _holds_nul(value: Any) -> bool:
    """Whether a text in a plain value holds a NUL character."""
    match value:
        case str():
            return "\x00" in value
        case dict():
            return any(_holds_nul(each) for item in value.items() for each in item)
        case list() | tuple():
            return any(map(_holds_nul, value))
        case _:
            return False
