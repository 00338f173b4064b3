"""Execute a command: load, decide, append, and once more if somebody else was quicker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from twofold.ambient import Ambient
from twofold.codec import Codec
from twofold.errors import VersionConflict
from twofold.messages import BEGINNING, Append, Encoded, Entry, Meta, Receipt, checked_id
from twofold.write.decider import Decider, Done
from twofold.write.log import Loaded, Log

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")

MAX_ATTEMPTS = 50
MAX_PAUSE_S = 0.1


class Executor:
    """Commands against one log. `append` is the group commit in front of it."""

    def __init__(
        self, log: Log, append: Callable[[Append], Awaitable[Receipt]], codec: Codec, ambient: Ambient
    ) -> None:
        self._log, self._append, self._codec, self._ambient = log, append, codec, ambient

    async def execute(
        self,
        decider: Decider[C, S, E],
        id: str,
        command: C,
        *,
        command_id: str | None = None,
        expected_version: int | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
    ) -> Done[S, E]:
        """Decide `command` against the stream and append what follows from it.

        A command id that the stream knows gets the answer of that time (G3). Where somebody else appended in
        between, it is decided again, at most 50 times after ever longer random pauses; a caller who gave an
        expected version is told at once.

        Raises: Rejected, VersionConflict, InvalidInput, InvalidEvent, Unavailable, OutcomeUnknown.
        """
        meta = self.meta(command_id, actor, correlation_id, causation_id)
        stream = decider.stream(id)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            loaded = await self._log.load(stream, command_id, last=1 if decider.stored == "state" else None)
            if loaded.receipt is not None:
                return await self._answer_again(decider, loaded.receipt)
            if expected_version is not None and loaded.version != expected_version:
                raise VersionConflict(stream, expected_version, loaded.version)
            state = decider.loaded(self._events(loaded.entries))
            new = [self._codec.encode(event) for event in decider.to_record(command, state)]
            if not new and command_id is None:  # nobody could ever ask for this answer again
                return Done(_nothing_done(stream, loaded, meta, self._log.log_id), state, ())
            try:
                receipt = await self._append(Append(stream, new, loaded.version, meta))
            except VersionConflict:
                if expected_version is not None or attempt == MAX_ATTEMPTS:
                    raise
                await asyncio.sleep(self._ambient.random() * min(MAX_PAUSE_S, 0.001 * 2**attempt))
                continue
            if receipt.repeated:
                return await self._answer_again(decider, receipt)
            return Done(receipt, _after(decider, state, new), tuple(event.event for event in new))
        raise AssertionError("the last attempt returns or raises")

    async def load(self, decider: Decider[Any, S, Any], id: str) -> tuple[S, int]:
        """State and version of a stream. Raises: InvalidInput, UndecodableEvent, Unavailable."""
        loaded = await self._log.load(decider.stream(id), last=1 if decider.stored == "state" else None)
        return decider.loaded(self._events(loaded.entries)), loaded.version

    def meta(
        self,
        command_id: str | None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
    ) -> Meta:
        """Raises: InvalidInput when one of the ids cannot be one."""
        for what, value in (
            ("command_id", command_id),
            ("actor", actor),
            ("correlation_id", correlation_id),
            ("causation_id", causation_id),
        ):
            if value is not None:
                checked_id(value, what)
        command_id = command_id or self._ambient.new_id()
        return Meta(command_id, correlation_id or command_id, causation_id, actor)

    async def _answer_again(self, decider: Decider[Any, S, E], receipt: Receipt) -> Done[S, E]:
        """The answer of that time, from what was recorded then."""
        first = max(1, receipt.version) if decider.stored == "state" else 1
        recorded = self._events(await self._log.read_stream(receipt.stream, first, receipt.version - first + 1))
        state = decider.loaded(recorded)
        return Done(receipt, state, tuple(recorded[len(recorded) - receipt.events :]))

    def _events(self, entries: Sequence[Entry]) -> list[Any]:
        return [self._codec.decode(entry) for entry in entries]


def _after(decider: Decider[Any, S, Any], state: S, new: Sequence[Encoded]) -> S:
    events = [encoded.event for encoded in new]
    return decider.loaded(events or [state]) if decider.stored == "state" else decider.evolved(state, events)


def _nothing_done(stream: Any, loaded: Loaded, meta: Meta, log_id: str) -> Receipt:
    position = loaded.entries[-1].position if loaded.entries else BEGINNING
    return Receipt(stream, loaded.version, 0, position, meta.command_id, log_id)
