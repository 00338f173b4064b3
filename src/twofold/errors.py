"""Every error a caller can meet.

TwofoldError
├── Rejected               the domain says no; raised by `decide`
├── ConfigurationError     the App, or its store, cannot work as it is written
│   └── Closed             the App was used after its `async with` had ended
├── InvalidInput           what was handed in is refused, nothing was changed
│   ├── InvalidEvent       an event that could not be stored and read again
│   ├── InvalidToken       a token that is not ours, of another log, or beyond its head
│   ├── InvalidCursor      a cursor that is not ours, or of another query
│   └── InvalidQuery       a field, an operator or a value that the read model does not have
├── VersionConflict        the stream is not at the version the append expected
├── OutcomeUnknown         the store went away while it was committing
├── Unavailable            the store cannot be reached just now; nothing was changed
├── LogReplaced            positions that were kept belong to another log
├── ReadModelBehind        a read with a token was not reached in time
├── NotSettled             followers had something left to handle when the time was over
├── RowParked              the row waits behind an event that could not be folded
├── RowUnreadable          the store holds a row that the row class cannot be made of
├── UndecodableEvent       stored JSON that no class of this App can read
│   └── NewerSchema        an event that newer code has stored; this process is the older one
├── LeaseLost              another worker has taken over (met by the engine only)
├── BatchRefused           a commit failed for the data in it (met by the engine only)
└── NameHeld               the public name cannot show a newer version yet (met by the engine only)
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol


class NamedStream(Protocol):
    """What an error knows of a stream. It is always a `Stream`, whose module stands above this one."""

    @property
    def category(self) -> str:
        """The first part of its name."""
        ...

    @property
    def id(self) -> str:
        """The second part of its name."""
        ...


class TwofoldError(Exception):
    """The root: catch it to catch whatever twofold raises on purpose."""


class Rejected(TwofoldError):
    """The domain says no. `decide` raises it with a sentence for the user."""


class ConfigurationError(TwofoldError):
    """The App, or the store it was opened on, cannot work as it is. The message names the way out."""


class Closed(ConfigurationError):
    """The App was used after its `async with` had ended. Nothing was changed."""

    def __init__(self, what: object) -> None:
        super().__init__(f"{what} is closed: the block of `async with app.open(…)` has ended; call this inside it")


class InvalidInput(TwofoldError):
    """What was handed in is refused. Nothing was changed."""


class InvalidEvent(InvalidInput):
    """An event that could not be stored and read again: the message names the field and the value."""


class InvalidToken(InvalidInput):
    """A consistency token that is not ours, belongs to another log, or lies beyond the log's head.

    `token` is what was passed for one; None if only its position is known where the error is raised.
    """

    def __init__(self, why: str, token: object = None) -> None:
        super().__init__(why)
        self.token = token


class InvalidCursor(InvalidInput):
    """A cursor that `find` did not give out for this very query."""


class InvalidQuery(InvalidInput):
    """`find` was asked for a field, an operator or a value that the read model does not have."""


class VersionConflict(TwofoldError):
    """The stream has moved on: load it again and decide again."""

    def __init__(self, stream: NamedStream, expected: int, actual: int) -> None:
        super().__init__(f"{stream} is at version {actual}, not {expected}")
        self.stream, self.expected, self.actual = stream, expected, actual


class OutcomeUnknown(TwofoldError):
    """The store went away during the commit. Execute again with the same command id to learn what happened."""

    def __init__(self, command_id: str, why: str) -> None:
        super().__init__(f"it is not known whether command {command_id} was stored ({why}); repeat it with this id")
        self.command_id = command_id


class Unavailable(TwofoldError):
    """The store cannot be reached just now. Nothing was changed; try again later."""


class LogReplaced(TwofoldError):
    """Positions that were kept belong to another log: a restored backup, a deleted file, another database.

    `log_id` names the log that they belong to, if it is known.
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
    """Followers had something left to handle when the time was over.

    `left` holds, for each of them, how many positions it is behind and how many streams it is trying again; it is
    empty where events came in faster than they could be handled.
    """

    def __init__(self, left: dict[str, tuple[int, int]], waited_s: float) -> None:
        told = "; ".join(
            f"{name} is {behind} events behind, {trying} streams are tried again"
            for name, (behind, trying) in left.items()
        )
        super().__init__(
            f"not settled after {waited_s:g} s: {told or 'events keep coming in'}. Does a process do the work? "
            f"See `twofold status`, or twofold.operate.status(running)"
        )
        self.left, self.waited_s = left, waited_s


class RowParked(TwofoldError):
    """The row waits behind an event that could not be folded; what it holds is older than it seems."""

    def __init__(self, projection: str, key: tuple[Any, ...], since: datetime, error: str) -> None:
        shown = key[0] if len(key) == 1 else key
        super().__init__(f"row {shown!r} of {projection} is parked since {since:%Y-%m-%dT%H:%M:%SZ}: {error}")
        self.projection, self.key, self.since, self.error = projection, key, since, error


class RowUnreadable(TwofoldError):
    """The store holds a row that its class cannot be made of: the class has changed, or somebody changed the table.

    Its next event is parked. Give the class back what it lacks, or raise the version of the projection.
    """

    def __init__(self, projection: str, key: tuple[Any, ...], error: str) -> None:
        shown = key[0] if len(key) == 1 else key
        super().__init__(
            f"row {shown!r} of {projection} cannot be read: {error}; "
            f"correct the row class, or raise the version of the projection so that the row is folded again"
        )
        self.projection, self.key, self.error = projection, key, error


class UndecodableEvent(TwofoldError):
    """Stored JSON that no class of this App can read; add the class, an upcaster, or deploy the newer code."""


class NewerSchema(UndecodableEvent):
    """An event of a schema or a name that only newer code knows: let a process of the newer code handle it."""


class LeaseLost(TwofoldError):
    """Another worker holds the checkpoint of `follower` now: what was being written for it was not written."""

    def __init__(self, follower: object, why: str) -> None:
        super().__init__(f"{follower} {why}")
        self.follower = follower


class BatchRefused(TwofoldError):
    """A commit changed nothing because of the data of one of its appends or rows; the cause says which error."""


class NameHeld(TwofoldError):
    """The public name for SQL cannot show a newer version yet; the message says why, and the way out.

    Nothing was changed, and nothing else waits for it.
    """
