"""The port to a store that runs SQL commands, and what their errors mean to a caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from twofold.errors import (
    CommandFailed,
    ConfigurationError,
    Contended,
    InvalidEvent,
    InvalidInput,
    Rejected,
    TwofoldError,
    Unavailable,
    VersionConflict,
)
from twofold.messages import Meta, Position, Stream

MAX_BATCH = 60
"""Commands in a transaction: a session of PostgreSQL caches 64 subtransactions."""

SAYS_NO = "TF422"
CONFLICT = "TF004"
WAITED = ("55P03", "40P01", "40001")  # a lock that was not free in time, a deadlock, a serialization failure
IDS = "calls_pkey"
"""The constraint that keeps a command id from being used twice."""
_INVALID = ("TF006", "TF007", "TF008")
_UNAVAILABLE = ("08", "25006", "53", "55", "57", "58", "XX")
_WRONG_ISOLATION = "TF001"


class Call(msgspec.Struct, frozen=True):
    """A SQL command to run: its function by names, the arguments as a JSON object, and who asks and why.

    `is_named`: the caller chose the command id, and may send it again. Otherwise it is forgotten once the caller has
    the result.
    """

    command: Any
    arguments: str
    key: str
    meta: Meta
    is_named: bool = True


class Answered(msgspec.Struct, frozen=True):
    """A command that is done. `answer` is JSON, None from a function that returns nothing."""

    answer: str | None
    position: Position
    repeated: bool


class Failed(msgspec.Struct, frozen=True):
    """An error of a command that changed nothing."""

    sqlstate: str
    message: str = ""
    detail: str | None = None
    constraint: str | None = None


class SqlCalls(Protocol):
    """SQL commands on the database of a log."""

    async def check_functions(self, commands: Sequence[Any]) -> None:
        """Raises: ConfigurationError for a command whose function does not exist, or takes other parameters."""
        ...

    async def run(self, calls: Sequence[Call], *, wait_ms: int) -> Sequence[Answered | Failed]:
        """Run at most `MAX_BATCH` commands in one transaction, in order; each has an outcome of its own.

        `wait_ms` is how long a command waits for a lock. The command ids must be different.

        Raises: BatchRefused if the transaction as a whole was rolled back because of one of several commands.
        Unavailable, LogReplaced, ConfigurationError: nothing was changed. OutcomeUnknown.
        """
        ...


@runtime_checkable
class RunsSql(Protocol):
    """A log that runs SQL commands."""

    @property
    def sql(self) -> SqlCalls:
        """Runs them."""
        ...


def error_of(
    failed: Failed,
    owner: str,
    errors: Mapping[str, str | tuple[str, str]],
    otherwise: tuple[str, str] | None,
) -> TwofoldError:
    """The error for a caller, from the SQLSTATE, DETAIL and constraint of the function's: never from its text.

    What `otherwise` hides is its cause.
    """
    state = failed.sqlstate
    named = errors.get(failed.constraint or "") or errors.get(state)
    if named is not None:
        code, sentence = named if isinstance(named, tuple) else (named, _words(named))
        return Rejected(sentence, code=code)
    if state == SAYS_NO:
        return Rejected(failed.message, code=failed.detail or None)
    if state.startswith("TF"):
        return _of_twofold(failed, owner)
    if state in WAITED:
        return Contended(f"{owner}: another transaction is in the way: {failed.message}")
    if state.startswith(_UNAVAILABLE):
        return Unavailable(f"{owner}: {failed.message}")
    why = f"{owner}: its function failed with SQLSTATE {state}: {failed.message}"
    unexpected = CommandFailed(why, state, failed.detail, failed.constraint)
    if otherwise is None:
        return unexpected
    rejected = Rejected(otherwise[1], code=otherwise[0])
    rejected.__cause__ = unexpected
    return rejected


def _of_twofold(failed: Failed, owner: str) -> TwofoldError:
    match failed.sqlstate:
        case state if state == CONFLICT and (conflict := _conflict(failed.detail)) is not None:
            return conflict
        case "TF005":
            return InvalidInput(f"{failed.message}: what it did then is stored, and a new command needs a new id")
        case state if state in _INVALID:
            return InvalidEvent(f"{owner}: its function notes what cannot be stored: {failed.message}")
        case state if state == _WRONG_ISOLATION:
            return ConfigurationError(f"{owner}: {failed.message}: set default_transaction_isolation to it")
        case state:
            return CommandFailed(f"{owner}: SQLSTATE {state}: {failed.message}", state, failed.detail, None)


class _Stale(msgspec.Struct):
    stream: str
    expected: int
    actual: int


def _conflict(detail: str | None) -> VersionConflict | None:
    """The conflict that `twofold.note` raised; None if a function raised its SQLSTATE by itself."""
    try:
        about = msgspec.json.decode(detail or "", type=_Stale)
        return VersionConflict(Stream.parse(about.stream), about.expected, about.actual)
    except (msgspec.DecodeError, InvalidInput):
        return None


def _words(code: str) -> str:
    """`DUPLICATE_EMAIL` as `Duplicate email`."""
    return code.replace("_", " ").capitalize()
