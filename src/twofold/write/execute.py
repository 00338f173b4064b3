"""Execute a command: load, decide, append, and try again after a conflict."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

import msgspec

from twofold.ambient import Ambient
from twofold.codec import Codec
from twofold.errors import InvalidInput, OutcomeUnknown, Unavailable, VersionConflict
from twofold.failures import reraise_if_interrupt
from twofold.kept import Kept
from twofold.messages import Append, Encoded, Meta, Position, Receipt, Stream, checked_id, checked_name, unprintable
from twofold.write.decider import Decider, Done, check_decider
from twofold.write.log import Log
from twofold.write.states import KnownState, States

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E")

MAX_ATTEMPTS = 50
MAX_PAUSE_S = 0.1
PAUSES_S = [min(MAX_PAUSE_S, 0.001 * 2**attempt) for attempt in range(1, MAX_ATTEMPTS)]  # each times a random number


class _Envelope(msgspec.Struct, Generic[C, S, E], frozen=True):
    """A command, its stream, and what the caller said about it.

    `may_be_repeated`: the caller chose the command id, so it may send the command again. `is_new`: the stream probably
    does not exist.
    """

    decider: Decider[C, S, E]
    stream: Stream
    command: C
    meta: Meta
    expected_version: int | None
    may_be_repeated: bool
    is_new: bool = False


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
    """Executes commands on one log. `append` is the group commit in front of it.

    `repeated` counts the commands that returned their original answer, for metrics.
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
        is_new: bool = False,
    ) -> Done[S, E]:
        """See `Running.execute` (G3). A stream that `is_new` is not loaded: its append shows if that is wrong."""
        meta = self.meta(command_id, actor, correlation_id, causation_id)
        check_version(expected_version)
        check_decider(decider)
        stream = decider.stream(id)
        repeatable = command_id is not None
        is_new = is_new or expected_version == 0
        envelope = _Envelope(decider, stream, command, meta, expected_version, repeatable, is_new)
        receipt, decision = await self._decide_and_append(envelope)
        if decision is None:
            return await self._original(decider, receipt)
        return Done(receipt, decision.after, tuple(encoded.event for encoded in decision.new))

    async def carry_out(self, decider: Decider[C, Any, Any], id: str, command: C, meta: Meta) -> Receipt:
        """Like `execute`, but returns only the receipt; a repeated command costs one lookup. For reactors.

        Raises: like `execute`. An error that `decide` or `evolve` raised is marked (`failures.is_of_user_code`).
        """
        envelope = _Envelope(decider, decider.stream(id), command, meta, None, may_be_repeated=True)
        receipt, _ = await self._decide_and_append(envelope)
        return receipt

    async def _decide_and_append(self, envelope: _Envelope[C, S, E]) -> tuple[Receipt, _Decision[S] | None]:
        """The receipt and what was decided for it; no decision if the command id was used before.

        The first decision uses the cached state, if there is one, or that of a new stream. Its append checks the
        version and the command id, so the stream need not be loaded. After a conflict the decision is discarded, as it
        was made on an outdated state, and only the events since that state are loaded.
        """
        stream, meta = envelope.stream, envelope.meta
        pauses_s = iter(PAUSES_S if envelope.expected_version is None else ())
        async with self._turns.setdefault(stream, asyncio.Lock()):  # no races between callers of one process
            decision = self._decide_at_once(envelope)
            while True:
                if decision is None:
                    loaded = await self._load_for(envelope)
                    if loaded.receipt is not None:
                        return self._count_repeated(loaded.receipt), None
                    decision = self._decide(envelope, loaded.state, loaded.version)
                    if not decision.new and not envelope.may_be_repeated:
                        log_id = self._log.log_id
                        return Receipt(stream, loaded.version, 0, loaded.position, meta.command_id, log_id), decision
                try:
                    receipt = await self._append(Append(stream, decision.new, decision.version, meta))
                    break
                except VersionConflict as conflict:
                    self._states.check(envelope.decider, stream, conflict.actual)
                    pause_s, decision = next(pauses_s, None), None
                    if pause_s is None:
                        raise
                await asyncio.sleep(self._ambient.random() * pause_s)
            if receipt.repeated:
                return self._count_repeated(receipt), None
            known = KnownState(Kept(decision.after), receipt.version, receipt.position)
            self._states.keep(envelope.decider, stream, known)
        return receipt, decision

    def _decide_at_once(self, envelope: _Envelope[C, S, Any]) -> _Decision[S] | None:
        """A decision on the state that the stream probably has. Its append shows whether it has it."""
        known, stream = self._states.get(envelope.decider, envelope.stream), envelope.stream
        if envelope.expected_version not in (None, known.version):
            return None
        if known.version == 0 and (not envelope.is_new or unprintable(stream.id) is not None):
            return None
        try:
            decision = self._decide(envelope, known.state, known.version)
        except BaseException as error:  # decided again on the current state, it is raised if it still applies
            reraise_if_interrupt(error)
            return None
        return decision if decision.new else None

    async def _load_for(self, envelope: _Envelope[C, S, Any]) -> _Loaded[S]:
        """The stream as it is now. Raises: VersionConflict if the caller expected another version."""
        stream, expected = envelope.stream, envelope.expected_version
        command_id = envelope.meta.command_id if envelope.may_be_repeated else None
        loaded = await self._load(envelope.decider, stream, command_id)
        if loaded.receipt is None and loaded.version == 0:
            checked_name(stream.id, "the id of a stream")
        if loaded.receipt is None and expected is not None and loaded.version != expected:
            raise VersionConflict(stream, expected, loaded.version)
        return loaded

    def _decide(self, envelope: _Envelope[C, S, Any], state: Kept[S], version: int) -> _Decision[S]:
        """The events to append to the stream at this version, and the state after them."""
        decider = envelope.decider
        new = [self._codec.encode(event) for event in decider.to_record(envelope.command, state.own())]
        return _Decision(new, version, decider.after(state.own(), decider.handed([encoded.event for encoded in new])))

    def _count_repeated(self, receipt: Receipt) -> Receipt:
        self.repeated += 1
        return receipt

    async def load(self, decider: Decider[Any, S, Any], id: str) -> tuple[S, int]:
        """State and version of a stream. Raises: InvalidInput, UndecodableEvent, Unavailable."""
        check_decider(decider)
        loaded = await self._load(decider, decider.stream(id), None)
        return loaded.state.own(), loaded.version

    async def _load(self, decider: Decider[Any, S, Any], stream: Stream, command_id: str | None) -> _Loaded[S]:
        """The stream's current state: the remembered one, and the events since."""
        known = self._states.get(decider, stream)
        last = 1 if decider.stored == "state" else None
        loaded = await self._log.load(stream, command_id, last, after=known.version)
        if not loaded.events:
            position = known.position if known.version else loaded.position
            return _Loaded(known.state, known.version, position, loaded.receipt)
        events = self._codec.events(stream, loaded.version, loaded.events)
        state = Kept(decider.after(known.state.own(), events))
        self._states.keep(decider, stream, KnownState(state, loaded.version, loaded.position))
        return _Loaded(state, loaded.version, loaded.position, loaded.receipt)

    async def original(self, decider: Decider[Any, S, E], id: str, command_id: str) -> Done[S, E] | None:
        """The result of a command id that was used before; None if it was not. Raises: as `load`."""
        loaded = await self._load(decider, decider.stream(id), command_id)
        return None if loaded.receipt is None else await self._original(decider, self._count_repeated(loaded.receipt))

    async def check_name(self, stream: Stream) -> None:
        """Raises: InvalidInput for a new stream whose id contains unprintable characters."""
        if unprintable(stream.id) is not None and not await self._log.read_stream(stream, 1, 1):
            checked_name(stream.id, "the id of a stream")

    def meta(
        self,
        command_id: str | None,
        actor: str | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
    ) -> Meta:
        """Raises: InvalidInput if one of the ids is invalid."""
        if command_id is not None:
            checked_name(command_id, "command_id")
        if actor is not None:
            checked_name(actor, "actor")
        if correlation_id is not None:
            checked_id(correlation_id, "correlation_id")
        if causation_id is not None:
            checked_id(causation_id, "causation_id")  # may contain the name of an older stream
        command_id = command_id or self._ambient.new_id()
        return Meta(command_id, correlation_id or command_id, causation_id, actor)

    async def _original(self, decider: Decider[Any, S, E], receipt: Receipt) -> Done[S, E]:
        """The original answer of a repeated command, rebuilt from the stream.

        It may belong to this very call, if the first response was lost. So if it cannot be read now, it would be wrong
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


def check_version(expected: int | None) -> None:
    """Raises: InvalidInput if this is not a version."""
    if expected is not None and (type(expected) is not int or expected < 0):
        raise InvalidInput(
            f"expected_version must be an int, 0 or above (0: the stream must not exist), not {expected!r:.80}"
        )
