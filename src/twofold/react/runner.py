"""The runner: follows the feed for one reactor, and executes what it answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from typing import Any, Literal, Protocol, TypeVar

from twofold.ambient import Ambient
from twofold.codec import Codec
from twofold.errors import LogReplaced, NewerSchema, OutcomeUnknown, Unavailable, VersionConflict
from twofold.feed.checkpoints import Checkpoints, Claim, Follows, Parked
from twofold.feed.feed import FeedPage
from twofold.messages import Entry, Meta, Position, Recorded
from twofold.react.reactor import Reactor, To

COMMANDS_AT_ONCE = 64
NOT_JUST_NOW = (Unavailable, OutcomeUnknown, VersionConflict, LogReplaced, NewerSchema)

Command = tuple[str, To]
T = TypeVar("T")

log = logging.getLogger("twofold.reactor")


class CarryOut(Protocol):
    """Executes a command, once for each command id. See `Executor.carry_out`."""

    def __call__(self, decider: Any, id: str, command: Any, meta: Meta) -> Awaitable[object]:
        """Raises: what `decide` raises, Unavailable, OutcomeUnknown, VersionConflict."""
        ...


class Runner:
    """Follows the feed for one reactor (a `Follower`).

    Events of one stream are reacted to in order, different streams side by side; and so are the commands of one
    event, in order for one stream. A page comes again after a crash,
    and its commands are executed again with the ids they had: what was done is answered, not repeated. An event whose
    reaction fails parks its stream; what the store cannot do just now is tried again.
    """

    def __init__(
        self, reactor: Reactor, checkpoints: Checkpoints, carry_out: CarryOut, codec: Codec, ambient: Ambient
    ) -> None:
        self.reactor = reactor
        self._checkpoints, self._codec, self._ambient = checkpoints, codec, ambient
        self._carry_out = carry_out
        self._at_once = asyncio.Semaphore(COMMANDS_AT_ONCE)
        self.types = codec.names(reactor.event_types)

    largest_page = 256  # what a crash lets come again

    @property
    def follows(self) -> Follows:
        """The reactor."""
        return self.reactor.follows

    @property
    def start(self) -> Literal["beginning", "now"]:
        """Where it begins when it is new."""
        return self.reactor.start

    async def handle(self, claim: Claim, after: Position, page: FeedPage) -> None:
        """React to a page, then move the checkpoint. Raises: LeaseLost, Unavailable, OutcomeUnknown."""
        waiting = {one.key for one in await self._checkpoints.parked(self.follows)} if page.entries else set()
        found = await _side_by_side(self._react(entries) for entries in _by_stream(page.entries, waiting))
        parked = [one for one in found if one is not None]
        await self._checkpoints.advance(claim, after, page.upto, parked)
        for one in parked:
            log.error("%s: stream %s parked at %s: %s", self.follows, one.key, one.position, one.error)

    async def settle(self) -> None:
        """Nothing goes on when `handle` has returned."""

    async def _react(self, entries: Sequence[Entry]) -> Parked | None:
        for entry in entries:
            try:
                recorded = self._codec.recorded(entry)
                commands = self.reactor.commands(recorded)
                await _side_by_side(self._one_by_one(recorded, chain) for chain in _by_target(commands))
            except NOT_JUST_NOW:
                raise
            except Exception as error:  # what reacting raises is the user's
                text = f"{type(error).__name__}: {error}"[:2_000]
                return Parked("stream", entry.stream, entry.position, text, self._ambient.now())
        return None

    async def _one_by_one(self, recorded: Recorded, commands: Iterable[Command]) -> None:
        for command_id, to in commands:
            meta = Meta(command_id, recorded.correlation_id, recorded.id, f"reactor {self.reactor.name}")
            async with self._at_once:
                await self._carry_out(to.decider, to.id, to.command, meta)


async def _side_by_side(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All of it, to the end. Raises: one of the errors, one that trying again may mend before any other."""
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for error in sorted(errors, key=lambda error: not isinstance(error, NOT_JUST_NOW)):
        raise error
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def _by_target(commands: Iterable[Command]) -> Iterable[list[Command]]:
    targets: dict[tuple[str, str], list[Command]] = {}
    for command_id, to in commands:
        targets.setdefault((to.decider.category, to.id), []).append((command_id, to))
    return targets.values()


def _by_stream(entries: Iterable[Entry], waiting: set[str]) -> list[list[Entry]]:
    streams: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.stream not in waiting:
            streams.setdefault(entry.stream, []).append(entry)
    return list(streams.values())
