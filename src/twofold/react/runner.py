"""The runner: follows the feed for one reactor, and executes what it answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Literal, Protocol

from twofold.ambient import Ambient
from twofold.codec import Codec
from twofold.errors import LogReplaced, OutcomeUnknown, Unavailable, VersionConflict
from twofold.feed.checkpoints import Checkpoints, Claim, Follows, Parked
from twofold.feed.feed import FeedPage
from twofold.messages import Entry, Position
from twofold.react.reactor import Reactor

STREAMS_AT_ONCE = 64

log = logging.getLogger("twofold.reactor")


class Execute(Protocol):
    """Executes a command, once for each command id."""

    def __call__(
        self,
        decider: Any,
        id: str,
        command: Any,
        *,
        command_id: str,
        correlation_id: str,
        causation_id: str,
        actor: str,
    ) -> Awaitable[object]:
        """See `Executor.execute`."""
        ...


class Runner:
    """Follows the feed for one reactor (a `Follower`).

    Events of one stream are reacted to in order, different streams side by side. A page comes again after a crash,
    and its commands are executed again with the ids they had: what was done is answered, not repeated. An event whose
    reaction fails parks its stream; what the store cannot do just now is tried again.
    """

    def __init__(
        self, reactor: Reactor, checkpoints: Checkpoints, execute: Execute, codec: Codec, ambient: Ambient
    ) -> None:
        self.reactor = reactor
        self._checkpoints, self._execute, self._codec, self._ambient = checkpoints, execute, codec, ambient
        self.types = codec.names(reactor.event_types)

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
        at_once = asyncio.Semaphore(STREAMS_AT_ONCE)

        async def one_stream(entries: Sequence[Entry]) -> Parked | None:
            async with at_once:
                return await self._react(entries)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one_stream(entries)) for entries in _by_stream(page.entries, waiting)]
        parked = [found for task in tasks if (found := task.result()) is not None]
        await self._checkpoints.advance(claim, after, page.upto, parked)
        for one in parked:
            log.error("%s: stream %s parked at %s: %s", self.follows, one.key, one.position, one.error)

    async def _react(self, entries: Sequence[Entry]) -> Parked | None:
        for entry in entries:
            try:
                recorded = self._codec.recorded(entry)
                for command_id, to in self.reactor.commands(recorded):
                    await self._execute(
                        to.decider,
                        to.id,
                        to.command,
                        command_id=command_id,
                        correlation_id=recorded.correlation_id,
                        causation_id=recorded.id,
                        actor=f"reactor {self.reactor.name}",
                    )
            except (Unavailable, OutcomeUnknown, VersionConflict, LogReplaced):
                raise
            except Exception as error:  # what reacting raises is the user's
                text = f"{type(error).__name__}: {error}"[:2_000]
                return Parked("stream", entry.stream, entry.position, text, self._ambient.now())
        return None


def _by_stream(entries: Iterable[Entry], waiting: set[str]) -> list[list[Entry]]:
    streams: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.stream not in waiting:
            streams.setdefault(entry.stream, []).append(entry)
    return list(streams.values())
