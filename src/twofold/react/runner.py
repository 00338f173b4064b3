"""The runner: follows the feed for one reactor, and executes the commands it returns."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from twofold.ambient import Ambient
from twofold.codec import Codec
from twofold.errors import (
    Closed,
    LeaseLost,
    LogReplaced,
    NewerSchema,
    OutcomeUnknown,
    Rejected,
    Unavailable,
    VersionConflict,
)
from twofold.failures import failure, is_of_user_code
from twofold.feed.checkpoints import Checkpoints, Claim, Parked, parked_again
from twofold.feed.feed import Feed, FeedPage, pages
from twofold.feed.lease import taken_over
from twofold.feed.parking_limit import MOST_PARKED, ParkingLimit, too_many
from twofold.feed.stopping import apart, awaited_failure, caught
from twofold.feed.unparking import Unparked
from twofold.messages import Entry, Meta, Position, Recorded
from twofold.react.reactor import Reactor, To

COMMANDS_AT_ONCE = 64
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
MOST_TRIES = len(PAUSES_S) + 1
POLL_S = 0.02
NOT_JUST_NOW = (Unavailable, Closed, OutcomeUnknown, VersionConflict, LogReplaced, NewerSchema)

Command = tuple[str, To]
T = TypeVar("T")

log = logging.getLogger("twofold.reactor")


class CarryOut(Protocol):
    """Executes a command, once for each command id. See `Executor.carry_out`."""

    def __call__(self, decider: Any, id: str, command: Any, meta: Meta) -> Awaitable[object]:
        """Raises: what `decide` raises, Unavailable, OutcomeUnknown, VersionConflict."""
        ...


class Outcome(msgspec.Struct, frozen=True):
    """The result of reacting to a stream: how it was parked before, and how it is now. None: not parked.

    `events` is the number of events handled.
    """

    before: Parked | None
    after: Parked | None
    events: int


class Runner:
    """Follows the feed for one reactor (a `Follower`).

    Events of one stream are handled in order, different streams concurrently; likewise the commands of one event, in
    order for each target stream. After a crash a page is read again and its commands are sent again with the same ids,
    so those that were executed take no effect again. What the store cannot do now is retried.

    If a reaction fails its stream is parked, and all others continue. It is retried after each of `PAUSES_S` by the
    current holder of the checkpoint; after the last one, and at once after `Rejected`, it waits for an operator.
    """

    largest_page = 256  # the most that is repeated after a crash

    def __init__(
        self,
        reactor: Reactor,
        feed: Feed,
        checkpoints: Checkpoints,
        carry_out: CarryOut,
        codec: Codec,
        ambient: Ambient,
        *,
        may_split: bool = False,
    ) -> None:
        self.reactor, self._may_split = reactor, may_split
        self._feed, self._checkpoints, self._codec, self._ambient = feed, checkpoints, codec, ambient
        self._carry_out = carry_out
        self._at_once = asyncio.Semaphore(COMMANDS_AT_ONCE)
        self.follows = reactor.follows.in_partition(feed.partition)
        self._limit = ParkingLimit()
        self._due: dict[str, float] = {}
        self._knows: Claim | None = None
        self.types = codec.names(reactor.event_types)

    @property
    def start(self) -> Literal["beginning", "now"]:
        """Where it starts when it is new."""
        return self.reactor.start

    async def handle(self, claim: Claim, after: Position, page: FeedPage) -> None:
        """React to a page, then move the checkpoint.

        Raises: LeaseLost, Unavailable, OutcomeUnknown; ConfigurationError if too many streams fail (`ParkingLimit`).
        """
        if not page.entries and not self._may_be_due(claim):
            await self._checkpoints.advance(claim, after, page.upto)
            return
        waiting = await self._waiting(claim)
        if sum(map(self.will_retry, waiting.values())) > MOST_PARKED and page.entries:
            await self.tend(claim, after)
            raise Unavailable(
                f"more than {MOST_PARKED} streams are failing: no new events are handled until some recover"
            )
        due = [one for one in waiting.values() if self._is_due(one)]
        entries = _by_stream(page.entries)
        fresh = [self._react(of_stream, None) for stream, of_stream in entries.items() if stream not in waiting]
        again = [self.again(parked, after, entries.get(parked.key, ())) for parked in due]
        outcomes = await _side_by_side([*fresh, *again])
        await self._move(claim, after, page.upto, outcomes)

    async def tend(self, claim: Claim, position: Position) -> None:
        """Retry what is due. Raises: like `handle`."""
        if self._may_be_due(claim):
            due = [one for one in (await self._waiting(claim)).values() if self._is_due(one)]
            if due:
                outcomes = await _side_by_side(self.again(parked, position) for parked in due)
                await self._move(claim, position, position, outcomes)

    async def flush(self) -> None:
        """Nothing to do: `handle` returns only when all is done."""

    async def wait(self, after: Position, timeout_s: float) -> None:
        """See `Follower.wait`. There is no notification for the checkpoint of a reactor in another process."""
        await asyncio.sleep(min(timeout_s, POLL_S))

    def will_retry(self, parked: Parked) -> bool:
        """See `Follower.will_retry`."""
        return parked.tries < MOST_TRIES

    async def again(self, parked: Parked, upto: Position, later: Sequence[Entry] = ()) -> Outcome:
        """React to the parked events of a stream up to a position, and to the later ones given."""
        events = 0
        async with aclosing(pages(self._feed, self._feed.before(parked.position), upto, self.types)) as history:
            async for page in history:
                outcome = await self._react([entry for entry in page.entries if entry.stream == parked.key], parked)
                events += outcome.events
                if outcome.after is not None:
                    return Outcome(parked, outcome.after, events)
        last = await self._react(later, parked)
        return Outcome(parked, last.after, events + last.events)

    async def _waiting(self, claim: Claim) -> dict[str, Parked]:
        """What is parked. Raises: LeaseLost if the partition has split: its parts have what was parked in it."""
        waiting = {one.key: one for one in await self._checkpoints.parked(self.follows)}
        if self._may_split:
            now = await self._checkpoints.read(self.follows)
            if now is None or now.epoch != claim.epoch:
                raise LeaseLost(self.follows, f"is no longer in epoch {claim.epoch}")
        self._due = {stream: due for stream, due in self._due.items() if stream in waiting}
        self._knows = claim
        return waiting

    async def retry(self, chosen: Sequence[Parked], owner: str) -> Unparked:
        """See `Unparker.retry`. Effects outside happen at least once."""
        names = {one.key for one in chosen}
        async with taken_over(self._checkpoints, self.follows, owner) as (claim, now):
            those = [one for one in await self._checkpoints.parked(self.follows) if one.key in names]
            outcomes = await _side_by_side(self.again(parked, now.position) for parked in those)
            again = [outcome.after for outcome in outcomes if outcome.after is not None]
            await self._checkpoints.advance(claim, now.position, now.position, again, those)
        done = [outcome.before for outcome in outcomes if outcome.before is not None and outcome.after is None]
        return Unparked(done, again, sum(outcome.events for outcome in outcomes))

    async def discard(self, chosen: Sequence[Parked], owner: str) -> Sequence[Parked]:
        """See `Unparker.discard`."""
        names = {one.key for one in chosen}
        async with taken_over(self._checkpoints, self.follows, owner) as (claim, now):
            those = [one for one in await self._checkpoints.parked(self.follows) if one.key in names]
            await self._checkpoints.advance(claim, now.position, now.position, (), those)
        return those

    async def _move(self, claim: Claim, after: Position, to: Position, outcomes: Iterable[Outcome]) -> None:
        changed = [outcome for outcome in outcomes if outcome.before is not None or outcome.after is not None]
        parked = [outcome.after for outcome in changed if outcome.after is not None]
        given_up = [one for one in parked if not self.will_retry(one)]
        next_one = self._limit.first_too_many(given_up)
        if next_one is not None:
            raise too_many(self.follows, next_one)
        unparked = [outcome.before for outcome in changed if outcome.before is not None]
        await self._checkpoints.advance(claim, after, to, parked, unparked)
        self._limit.count(given_up)
        for outcome in changed:
            self._plan(outcome)

    def _plan(self, outcome: Outcome) -> None:
        now = outcome.after
        if outcome.before is not None:
            self._due.pop(outcome.before.key, None)
        if now is None:
            return
        if not self.will_retry(now):
            log.error("%s: a stream parked at %s: %s", self.follows, now.position, now.error_type)
            return
        pause_s = PAUSES_S[now.tries - 1]
        self._due[now.key] = asyncio.get_running_loop().time() + pause_s
        log.warning("%s: failed at %s: %s; next try in %g s", self.follows, now.position, now.error_type, pause_s)

    def _may_be_due(self, claim: Claim) -> bool:
        now = asyncio.get_running_loop().time()
        return self._knows != claim or any(due <= now for due in self._due.values())

    def _is_due(self, parked: Parked) -> bool:
        """Whether to retry now. A stream that another worker was retrying is due at once."""
        now = asyncio.get_running_loop().time()
        return self.will_retry(parked) and self._due.get(parked.key, now) <= now

    async def _react(self, entries: Sequence[Entry], before: Parked | None) -> Outcome:
        for number, entry in enumerate(entries):
            error = await self._failure_of(entry)
            if error is not None:
                return Outcome(before, self._parked(entry, error, before), number)
        return Outcome(before, None, len(entries))

    def _parked(self, entry: Entry, error: BaseException, before: Parked | None) -> Parked:
        parked = parked_again(before, error, "stream", entry.stream, entry.position, self._ambient.now())
        if issubclass(type(error), Rejected):  # see `failure`
            return msgspec.structs.replace(parked, tries=max(MOST_TRIES, parked.tries))
        return parked

    async def _failure_of(self, entry: Entry) -> BaseException | None:
        """React to an event. Returns an error of user code; raises one of the store that a retry may fix."""
        try:
            recorded = self._codec.recorded(entry)
        except NewerSchema:
            raise
        except BaseException as error:
            return failure(error)
        try:
            returned: Any = self.reactor.react(recorded.event, recorded)
            if inspect.isawaitable(returned):
                returned = await self._effect(returned)
            commands = self.reactor.named(recorded, returned)
        except BaseException as error:  # errors of the store too: here user code raised them
            return awaited_failure(error)
        try:
            await _side_by_side(self._one_by_one(recorded, chain) for chain in _by_target(commands))
        except BaseException as error:
            if _of_the_store(error):
                raise
            return awaited_failure(error)
        return None

    async def _effect(self, work: Awaitable[Sequence[To] | None]) -> Sequence[To]:
        async with self._at_once:
            commands = await apart(work)
        return [] if commands is None else commands

    async def _one_by_one(self, recorded: Recorded, commands: Iterable[Command]) -> None:
        for command_id, to in commands:
            meta = Meta(command_id, recorded.correlation_id, recorded.id, f"reactor {self.reactor.name}")
            async with self._at_once:
                await self._carry_out(to.decider, to.id, to.command, meta)


async def _side_by_side(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all of it to completion, or, if this task must stop, until all of it has stopped.

    Raises: one of the errors, preferably one that a retry may fix.
    """
    begun = list(work)
    if len(begun) == 1:  # the usual case, where a task would cost more than the store's reads
        return [await begun[0]]
    try:
        outcomes = await asyncio.gather(*map(caught, begun), return_exceptions=True)
    finally:
        for coroutine in begun:
            coroutine.close()  # if it never started, Python would report it as never awaited
    results, errors = list[T](), list[BaseException]()
    for outcome in outcomes:
        result, error = (None, outcome) if isinstance(outcome, BaseException) else outcome
        if error is None:
            results.append(result)  # type: ignore[arg-type]  # without an error there is one
        else:
            errors.append(error)
    for error in sorted(errors, key=lambda error: not _of_the_store(error)):
        raise error
    return results


def _of_the_store(error: BaseException) -> bool:
    """Whether the store raised an error that a retry may fix."""
    return issubclass(type(error), NOT_JUST_NOW) and not is_of_user_code(error)


def _by_target(commands: Iterable[Command]) -> Iterable[list[Command]]:
    targets: dict[tuple[str, str], list[Command]] = {}
    for command_id, to in commands:
        targets.setdefault((to.decider.category, to.id), []).append((command_id, to))
    return targets.values()


def _by_stream(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    streams: dict[str, list[Entry]] = {}
    for entry in entries:
        streams.setdefault(entry.stream, []).append(entry)
    return streams
