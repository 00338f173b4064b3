"""Every error a caller can meet.

TwofoldError
├── Rejected               the domain says no; raised by `decide`
├── ConfigurationError     the App, or its store, is misconfigured
│   └── Closed             the App was used after its `async with` block had ended
├── InvalidInput           an argument is invalid; nothing was changed
│   ├── InvalidEvent       an event that could not be stored and read again
│   ├── InvalidToken       not a token, a token of another log, or one beyond its head
│   ├── NotFound           what a request names does not exist; raised by code at the edge
│   ├── InvalidCursor      not a cursor, or a cursor of another query
│   └── InvalidQuery       a field, an operator or a value that the read model does not have
├── CommandFailed          the function of a SQL command failed; nothing was changed
├── VersionConflict        the stream is not at the version the append expected
├── OutcomeUnknown         the connection to the store was lost during a commit
├── Unavailable            the store cannot do this now; nothing was changed
│   └── Contended          the store works, but another worker or transaction is in the way
├── LogReplaced            stored positions belong to another log
├── ReadModelBehind        the read model did not reach a token in time
├── NotSettled             followers still had work when the time was up
├── NotReached             no row met the predicate of `until` in time
├── RowParked              the row is parked at an event that could not be folded
├── RowUnreadable          the row class does not accept a stored row
├── UndecodableEvent       stored JSON that no class of this App can read
│   └── NewerSchema        an event stored by newer code than this process runs
├── LeaseLost              another worker has taken over (internal)
├── BatchRefused           a commit failed because of its data (internal)
└── NameHeld               the public name cannot show a newer version yet (internal)
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol


class NamedStream(Protocol):
    """What errors need of a `Stream`, whose module imports this one."""

    @property
    def category(self) -> str:
        """The part of its name before the hyphen."""
        ...

    @property
    def id(self) -> str:
        """The part of its name after the hyphen."""
        ...


class TwofoldError(Exception):
    """The base class of every error that twofold raises on purpose."""


class Rejected(TwofoldError):
    """The domain says no. `decide` raises it with a sentence for the user; a `code` is for programs."""

    def __init__(self, *args: object, code: str | None = None) -> None:
        super().__init__(*args)
        self.code = code


class ConfigurationError(TwofoldError):
    """The App, or the store it was opened on, is misconfigured. The message says how to fix it."""


class Closed(ConfigurationError):
    """The App was used after its `async with` block had ended. Nothing was changed."""

    def __init__(self, what: object) -> None:
        super().__init__(f"{what} is closed: the block of `async with app.open(…)` has ended; call this inside it")


class InvalidInput(TwofoldError):
    """An argument is invalid. Nothing was changed."""


class InvalidEvent(InvalidInput):
    """An event that could not be stored and read again: the message names the field and the value."""


class InvalidToken(InvalidInput):
    """Not a consistency token, a token of another log, or one beyond the log's head.

    `token` is the rejected value, or None where only its position is available.
    """

    def __init__(self, why: str, token: object = None) -> None:
        super().__init__(why)
        self.token = token


class InvalidCursor(InvalidInput):
    """A cursor that `find` did not return for this query."""


class NotFound(InvalidInput):
    """What a request names does not exist. For code at the edge, such as `using=` of an `Api`."""


class InvalidQuery(InvalidInput):
    """`find` was asked for a field, an operator or a value that the read model does not have."""


class VersionConflict(TwofoldError):
    """The stream has changed: load it again and decide again."""

    def __init__(self, stream: NamedStream, expected: int, actual: int) -> None:
        super().__init__(f"{stream} is at version {actual}, not {expected}")
        self.stream, self.expected, self.actual = stream, expected, actual


class CommandFailed(TwofoldError):
    """The function of a SQL command raised an error that the command gives no code for. Nothing was changed.

    `sqlstate`, `detail` and `constraint` are those of PostgreSQL's error.
    """

    def __init__(self, why: str, sqlstate: str, detail: str | None, constraint: str | None) -> None:
        super().__init__(why)
        self.sqlstate, self.detail, self.constraint = sqlstate, detail, constraint


class OutcomeUnknown(TwofoldError):
    """The connection was lost during a commit. Repeat the command with the same id to learn the outcome."""

    def __init__(self, command_id: str, why: str) -> None:
        super().__init__(f"command {command_id} may or may not have been stored ({why}); repeat it with the same id")
        self.command_id = command_id


class Unavailable(TwofoldError):
    """The store cannot do this now, mostly because it cannot be reached. Nothing was changed; try again later."""


class Contended(Unavailable):
    """The store works, but another worker or transaction is in the way. Nothing was changed; try again later."""


class LogReplaced(TwofoldError):
    """Stored positions belong to another log: a restored backup, a deleted file, another database.

    `log_id` is the log that they belong to, if it is known.
    """

    def __init__(self, why: str, log_id: str | None = None) -> None:
        super().__init__(why)
        self.log_id = log_id


class ReadModelBehind(TwofoldError):
    """The read model did not reach the token in time."""

    def __init__(self, projection: str, lag_events: int, waited_s: float) -> None:
        events = "1 event" if lag_events == 1 else f"{lag_events} events"
        super().__init__(f"{projection} is still {events} behind the token after {waited_s:g} s")
        self.projection, self.lag_events, self.waited_s = projection, lag_events, waited_s


class NotSettled(TwofoldError):
    """Followers still had work when the time was up.

    `left` holds, for each of them, how many events it is behind and how many streams it is retrying. It is empty if
    events came in faster than they could be handled.
    """

    def __init__(self, left: dict[str, tuple[int, int]], waited_s: float) -> None:
        details = "; ".join(
            f"{name} is {behind} events behind and retries {trying} streams" for name, (behind, trying) in left.items()
        )
        super().__init__(
            f"not settled after {waited_s:g} s: {details or 'events keep coming in'}. Is a worker running? "
            f"See `twofold status`, or twofold.operate.status(running)"
        )
        self.left, self.waited_s = left, waited_s


class NotReached(TwofoldError):
    """No row met the predicate of `until` in time."""

    def __init__(self, projection: str, key: object, waited_s: float, parked: int = 0) -> None:
        perhaps = f"; {parked} of its rows and streams are parked, see `twofold parked APP list {projection}`"
        text = f"{projection}: no row {key!r:.80} has met the predicate within {waited_s:g} s"
        super().__init__(text + perhaps * (parked > 0))
        self.projection, self.key = projection, key


class RowParked(TwofoldError):
    """The row is parked at an event that could not be folded, so its values are out of date."""

    def __init__(self, projection: str, key: tuple[Any, ...], since: datetime, error: str) -> None:
        shown = key[0] if len(key) == 1 else key
        super().__init__(f"row {shown!r} of {projection} has been parked since {since:%Y-%m-%dT%H:%M:%SZ}: {error}")
        self.projection, self.key, self.since, self.error = projection, key, since, error


class RowUnreadable(TwofoldError):
    """The row class does not accept a stored row: the class or the table was changed.

    The row's next event is parked. Correct the row class, or raise the version of the projection.
    """

    def __init__(self, projection: str, key: tuple[Any, ...], error: str) -> None:
        shown = key[0] if len(key) == 1 else key
        super().__init__(
            f"row {shown!r} of {projection} cannot be read: {error}; "
            f"correct the row class, or raise the version of the projection, which folds the row again"
        )
        self.projection, self.key, self.error = projection, key, error


class UndecodableEvent(TwofoldError):
    """Stored JSON that no class of this App can read: add the class or an upcaster, or deploy the newer code."""


class NewerSchema(UndecodableEvent):
    """An event whose schema or name only newer code knows: a process that runs the newer code handles it."""


class LeaseLost(TwofoldError):
    """Another worker now holds the checkpoint of `follower`: nothing was written."""

    def __init__(self, follower: object, why: str) -> None:
        super().__init__(f"{follower} {why}")
        self.follower = follower


class BatchRefused(TwofoldError):
    """The store refused the data of one append or row in a commit. Nothing was changed; see `__cause__`."""


class NameHeld(TwofoldError):
    """The public name for SQL cannot show a newer version yet. The message says why, and what to do.

    Nothing was changed, and nothing else is held up.
    """
