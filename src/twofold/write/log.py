"""The port to the log."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from twofold.errors import InvalidEvent, OutcomeUnknown, TwofoldError, VersionConflict
from twofold.messages import Append, Entry, Position, Receipt, StoredEvent, Stream

MAX_APPEND_BYTES = 64 * 1024 * 1024  # PostgreSQL disconnects when it gets a message of a gigabyte
MAX_APPEND_EVENTS = 100_000


class LogLimits(msgspec.Struct, frozen=True):
    """What a log accepts. `reads_at_once`: how many reads of one process it runs concurrently; others wait."""

    event_bytes: int
    append_bytes: int
    append_events: int
    reads_at_once: int


def final(outcome: Receipt | TwofoldError, append: Append, doubt: str | None) -> Receipt | TwofoldError:
    """What is certain about an append that was sent again because of `doubt`: its first response was lost.

    The first request may still be on its way. If the append expects a later version than the stream's, the stream may
    be at that version by then, so it may still be stored. Any other conflict is final.
    """
    if doubt is None or not isinstance(outcome, VersionConflict) or outcome.expected < outcome.actual:
        return outcome
    return OutcomeUnknown(append.command_id, doubt)


class Loaded(msgspec.Struct, frozen=True):
    """A snapshot of a stream, with the receipt of a command id if the stream has it.

    Events contain only what a state is folded from; `version` and `position` are those of the last one.
    """

    events: Sequence[StoredEvent]
    version: int
    position: Position
    receipt: Receipt | None


class Log(Protocol):
    """Streams of events, and the order in which they were committed.

    An empty stream is at version 0. An append is durable before its receipt is returned (G1). Within a partition the
    order of positions is the order of commits (G4).
    """

    @property
    def limits(self) -> LogLimits:
        """The limits: larger appends are refused before they reach the store."""
        ...

    @property
    def log_id(self) -> str:
        """16 random hex digits, chosen when the log was created; positions are valid only together with it."""
        ...

    async def commit(self, batch: Sequence[Append]) -> Sequence[Receipt | TwofoldError]:
        """Write the appends in order, in one commit, each of them atomic. Returns one outcome for each.

        A command id that its stream already has returns its original receipt and appends nothing, whatever version is
        expected (G3). A version other than the expected one is a `VersionConflict` (G2). An append sees those before
        it in the batch.

        Raises: BatchRefused if the data of one of the appends cannot be stored, Unavailable: in both cases nothing of
        the batch is stored. OutcomeUnknown if the batch may have been stored.
        """
        ...

    async def load(
        self, stream: Stream, command_id: str | None = None, last: int | None = None, after: int = 0
    ) -> Loaded:
        """The stream's events in order, with the receipt of `command_id`, from one snapshot.

        Only the `last` events if that is given, and only those of a version above `after`. If there are none, the
        version is `after` and the position is the beginning.

        Raises: Unavailable.
        """
        ...

    async def read_stream(self, stream: Stream, from_version: int, limit: int) -> Sequence[Entry]:
        """At most `limit` events of a stream in order, starting with `from_version`. Raises: Unavailable."""
        ...


@runtime_checkable
class CommitsApart(Protocol):
    """A log in which each stream is committed by itself: appends that were grouped would only wait for one another."""

    @property
    def apart(self) -> bool:
        """True."""
        ...


@runtime_checkable
class ShowsStates(Protocol):
    """A log whose store others read, too: it shows them the newest state of each state-stored write model."""

    def show_states(self, categories: Collection[str]) -> None:
        """Show those of these categories from now on, with each append."""
        ...


def checked_size(append: Append, limits: LogLimits) -> int:
    """The bytes of its events' JSON. Raises: InvalidEvent for an append that is larger than the log accepts."""
    size = sum([len(event.data) for event in append.events])
    if size > limits.event_bytes or len(append.events) > limits.append_events:  # else no limit is exceeded
        _check_size(append, size, limits)
    return size


def _check_size(append: Append, size: int, limits: LogLimits) -> None:
    for event in append.events:
        if len(event.data) > limits.event_bytes:
            raise InvalidEvent(
                f"{append.stream}: an event {event.type} has {len(event.data):,} bytes of JSON, but this store "
                f"accepts at most {limits.event_bytes:,}: split it"
            )
    if size > limits.append_bytes:
        raise InvalidEvent(
            f"{append.stream}: the events of one append have {size:,} bytes of JSON, but this store accepts at most "
            f"{limits.append_bytes:,} at once: append them with several commands"
        )
    if len(append.events) > limits.append_events:
        raise InvalidEvent(
            f"{append.stream}: one append has {len(append.events):,} events, but this store accepts at most "
            f"{limits.append_events:,} at once: append them with several commands"
        )
