"""Execute a command: load, decide, append, and once more if somebody else was quicker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from twofold.ambient import Ambient
from twofold.codec import Codec
from twofold.errors import InvalidInput, OutcomeUnknown, Unavailable, VersionConflict
from twofold.failures import failure
from twofold.kept import Kept
from twofold.messages import Append, Encoded, Meta, Position, Receipt, Stream, checked_id, checked_name, unprintable
from twofold.write.decider import Decider, Done
from twofold.write.log import Log
from twofold.write.states import Known, States

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")

MAX_ATTEMPTS = 50
MAX_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class _Loaded(Generic[S]):
    state: Kept[S]
    version: int
    position: Position
    receipt: Receipt | None


@dataclass(frozen=True, slots=True)
class _Decision(Generic[S]):
    new: Sequence[Encoded]
    version: int
    after: S


class Executor:
    """Commands against one log. `append` is the group commit in front of it.

    `repeated` counts the commands that were answered as the first time, for metrics.
    """

    def __init__(
        self, log: Log, append: Callable[[Append], Awaitable[Receipt]], codec: Codec, ambient: Ambient
    ) -> None:
        self._log, self._append, self._codec, self._ambient = log, append, codec, ambient
        self._states = States(log)
        self.repeated = 0
        self._turns: WeakValueDictionary[Stream, asyncio.Lock] = WeakValueDictionary()

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
        check_version(expected_version)
        stored = await self._stored(decider, id, command, meta, expected_version, ask_again=command_id is not None)
        return stored if isinstance(stored, Done) else await self._answer_again(decider, stored)

    async def carry_out(self, decider: Decider[C, Any, Any], id: str, command: C, meta: Meta) -> Receipt:
        """As `execute`, for who need not know the answer: a command that comes again costs one look. For reactors."""
        stored = await self._stored(decider, id, command, meta, None, ask_again=True)
        return stored.receipt if isinstance(stored, Done) else stored

    async def _stored(
        self,
        decider: Decider[C, S, E],
        id: str,
        command: C,
        meta: Meta,
        expected_version: int | None,
        ask_again: bool,
    ) -> Done[S, E] | Receipt:
        """What was decided and appended; or the receipt, where the command id was used before.

        It is first decided on the state that is remembered, if any: the append demands its version and looks for the
        command id, so where it succeeds the stream need not be loaded at all. Whatever else comes of that decision
        does not count, for it may have been made on an older state.
        """
        stream = decider.stream(id)
        async with self._turns.setdefault(stream, asyncio.Lock()):  # callers of one process need not race each other
            decision = self._decided_from_memory(decider, stream, command) if expected_version is None else None
            for attempt in range(1, MAX_ATTEMPTS + 1):
                if decision is None:
                    loaded = await self._loaded(decider, stream, meta.command_id if ask_again else None)
                    if loaded.receipt is not None:
                        return self._known(loaded.receipt)
                    if loaded.version == 0:
                        checked_name(stream.id, "the id of a stream")
                    if expected_version is not None and loaded.version != expected_version:
                        raise VersionConflict(stream, expected_version, loaded.version)
                    decision = self._decided(decider, command, loaded.state, loaded.version)
                    if not decision.new and not ask_again:  # nobody could ever ask for this answer again
                        return Done(self._nothing_done(stream, loaded, meta), loaded.state.own(), ())
                try:
                    receipt = await self._append(Append(stream, decision.new, decision.version, meta))
                except VersionConflict:
                    self._states.forget(decider, stream)
                    if expected_version is not None or attempt == MAX_ATTEMPTS:
                        raise
                    await asyncio.sleep(self._ambient.random() * min(MAX_PAUSE_S, 0.001 * 2**attempt))
                    decision = None
                    continue
                if receipt.repeated:
                    return self._known(receipt)
                known = Known(Kept(decision.after), receipt.version, receipt.position)
                self._states.keep(decider, stream, known)
                return Done(receipt, decision.after, tuple(encoded.event for encoded in decision.new))
        raise AssertionError("the last attempt returns or raises")

    def _decided(self, decider: Decider[C, S, Any], command: C, state: Kept[S], version: int) -> _Decision[S]:
        """What is to be appended to a stream at this version, and the state after it."""
        new = [self._codec.encode(event) for event in decider.to_record(command, state.own())]
        return _Decision(new, version, decider.after(state.own(), decider.handed([encoded.event for encoded in new])))

    def _decided_from_memory(self, decider: Decider[C, S, Any], stream: Stream, command: C) -> _Decision[S] | None:
        known = self._states.get(decider, stream)
        if known.version == 0:
            return None
        try:
            decision = self._decided(decider, command, known.state, known.version)
        except BaseException as error:  # asked again with the state as it is now, it raises if it still does
            failure(error)
            return None
        return decision if decision.new else None

    def _known(self, receipt: Receipt) -> Receipt:
        self.repeated += 1
        return receipt

    async def load(self, decider: Decider[Any, S, Any], id: str) -> tuple[S, int]:
        """State and version of a stream. Raises: InvalidInput, UndecodableEvent, Unavailable."""
        loaded = await self._loaded(decider, decider.stream(id), None)
        return loaded.state.own(), loaded.version

    async def _loaded(self, decider: Decider[Any, S, Any], stream: Stream, command_id: str | None) -> _Loaded[S]:
        """The stream's state as it is now: what is known of it, and what was appended since."""
        known = self._states.get(decider, stream)
        last = 1 if decider.stored == "state" else None
        loaded = await self._log.load(stream, command_id, last, after=known.version)
        if not loaded.events:
            return _Loaded(known.state, known.version, known.position, loaded.receipt)
        events = self._codec.events(stream, loaded.version, loaded.events)
        state = Kept(decider.after(known.state.own(), events))
        self._states.keep(decider, stream, Known(state, loaded.version, loaded.position))
        return _Loaded(state, loaded.version, loaded.position, loaded.receipt)

    async def check_name(self, stream: Stream) -> None:
        """Raises: InvalidInput where a stream that does not exist yet has a name that cannot be read."""
        if unprintable(stream.id) is not None and not await self._log.read_stream(stream, 1, 1):
            checked_name(stream.id, "the id of a stream")

    def meta(
        self,
        command_id: str | None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
    ) -> Meta:
        """Raises: InvalidInput when one of the ids cannot be one."""
        if command_id is not None:
            checked_name(command_id, "command_id")
        if actor is not None:
            checked_name(actor, "actor")
        if correlation_id is not None:
            checked_id(correlation_id, "correlation_id")
        if causation_id is not None:
            checked_id(causation_id, "causation_id")  # with the name of an older stream in it, perhaps
        command_id = command_id or self._ambient.new_id()
        return Meta(command_id, correlation_id or command_id, causation_id, actor)

    async def _answer_again(self, decider: Decider[Any, S, E], receipt: Receipt) -> Done[S, E]:
        """The answer of that time, from what was recorded then.

        That time may be this very call, whose first answer was lost. So where it cannot be read now, it would be wrong
        to say that nothing was changed. Raises: OutcomeUnknown.
        """
        first = max(1, receipt.version) if decider.stored == "state" else 1
        try:
            entries = await self._log.read_stream(receipt.stream, first, receipt.version - first + 1)
        except Unavailable as error:
            raise OutcomeUnknown(receipt.command_id, str(error)) from error
        recorded = [self._codec.decode(entry) for entry in entries]
        state = decider.after(decider.first.own(), decider.handed(recorded))
        return Done(receipt, state, tuple(recorded[len(recorded) - receipt.events :]))

    def _nothing_done(self, stream: Stream, loaded: _Loaded[Any], meta: Meta) -> Receipt:
        return Receipt(stream, loaded.version, 0, loaded.position, meta.command_id, self._log.log_id)


def check_version(expected: int | None) -> None:
    """Raises: InvalidInput when this is no version."""
    if expected is not None and (type(expected) is not int or expected < 0):
        raise InvalidInput(f"expected_version is a number from 0 (the stream must not exist), not {expected!r:.80}")
