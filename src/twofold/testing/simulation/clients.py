"""What clients do, and what they were told: the record that the checks afterwards are made on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from inspect import CORO_CREATED, getcoroutinestate
from typing import TYPE_CHECKING, Any, Literal

from twofold.app import Running
from twofold.backends.memory import MemoryReadStore
from twofold.errors import OutcomeUnknown, Unavailable
from twofold.feed.parking import Unparked
from twofold.messages import Position, Receipt, Stream, Token
from twofold.react.reactor import To
from twofold.read.proof.verify import Report, Verification
from twofold.read.query import Page
from twofold.testing.simulation.oracle import name_of
from twofold.testing.simulation.server import Unanswered
from twofold.write.decider import Done

if TYPE_CHECKING:
    from twofold.testing.simulation.world import World

Expects = Literal["any version", "the version last heard of", "an older version", "a later version"]
After = Literal["no token", "the newest token", "a token of another log", "a token beyond the end"]

AGAIN_AFTER_S = 0.4

STILL_WAITING = Unanswered("the history ended before the answer")


@dataclass
class Attempt:
    """One request to one process. Head and version of its stream are those in the store when it began and ended."""

    asked: Any
    label: str
    stream: str
    process: str
    began_s: float
    head_before: int
    version_before: int
    command_id: str | None = None
    expected: int | None = None
    token: Token | str | None = None
    key: Any = None
    outcome: Any = STILL_WAITING
    ended_s: float = 0.0
    head_after: int = 0
    version_after: int = 0

    @property
    def unknown(self) -> bool:
        """Whether the client cannot know what became of it."""
        return isinstance(self.outcome, Unanswered | OutcomeUnknown)

    @property
    def answered(self) -> bool:
        """Whether it was done, and the client knows."""
        return isinstance(self.outcome, Done | Receipt)


@dataclass(frozen=True, slots=True)
class Execute:
    """A command. While its outcome is not known, the client sends it again with the same id."""

    to: To
    at: int
    number: int
    command_id: str | None = None
    expects: Expects = "any version"
    tries: int = 1
    cancelled_after_s: float | None = None

    @property
    def stream(self) -> str:
        """The stream's name."""
        return name_of(self.to)

    def __str__(self) -> str:
        known = f", id {self.command_id}" if self.command_id else ""
        expects = f", expecting {self.expects}" if self.expects != "any version" else ""
        away = f"; the client leaves after {self.cancelled_after_s:.3f} s" if self.cancelled_after_s else ""
        return f"{self.to.command!r} for {self.stream}{known}{expects}, sent to process {self.at + 1}{away}"

    async def happen(self, world: World) -> None:
        """Ask one process, then the next."""
        for number in range(self.tries):
            expected = world.known.expected(self.stream, self.expects)
            label = f"client {self.number}.{number}"

            def execute(running: Running, expected: int | None = expected, label: str = label) -> Awaitable[Any]:
                return running.execute(
                    self.to.decider,
                    self.to.id,
                    self.to.command,
                    command_id=self.command_id,
                    expected_version=expected,
                    actor=label,
                )

            attempt = world.attempt(self, label, self.stream, command_id=self.command_id, expected=expected)
            await world.ask(attempt, self.at + number, execute, self.cancelled_after_s if not number else None)
            if attempt.answered:
                world.known.heard(attempt.outcome.receipt)
            again = attempt.unknown and self.command_id is not None
            if not (again or isinstance(attempt.outcome, Unavailable)):
                return
            await asyncio.sleep(AGAIN_AFTER_S * (number + 1))


@dataclass(frozen=True, slots=True)
class AppendTwo:
    """Two appends to one stream, the second put into the queue behind the first; no decider is asked."""

    stream: str
    events: tuple[Sequence[Any], Sequence[Any]]
    at: int
    number: int
    command_ids: tuple[str | None, str | None]
    expects: Expects = "any version"

    def __str__(self) -> str:
        return (
            f"append {self.events[0]!r} (id {self.command_ids[0]}, expecting {self.expects}) and then "
            f"{self.events[1]!r} (id {self.command_ids[1]}) to {self.stream}, sent to process {self.at + 1}"
        )

    async def happen(self, world: World) -> None:
        """The second is begun when the first waits for its batch."""
        expected = world.known.expected(self.stream, self.expects)
        first = world.attempt(
            self, f"client {self.number}.0", self.stream, command_id=self.command_ids[0], expected=expected, key=0
        )
        second = world.attempt(self, f"client {self.number}.1", self.stream, command_id=self.command_ids[1], key=1)
        queued = asyncio.Event()

        async def append(running: Running, attempt: Attempt) -> Receipt:
            return await running.append(
                Stream.parse(self.stream),
                self.events[attempt.key],
                expected_version=attempt.expected,
                command_id=attempt.command_id,
                actor=attempt.label,
            )

        async def begin(running: Running) -> Receipt:
            work = append(running, first)
            task = asyncio.ensure_future(work)
            while getcoroutinestate(work) == CORO_CREATED:  # its first step puts it into the queue
                await asyncio.sleep(0)
            queued.set()
            return await task

        async def follow(running: Running) -> Receipt:
            await queued.wait()
            return await append(running, second)

        await asyncio.gather(world.ask(first, self.at, begin), world.ask(second, self.at, follow))
        for attempt in (first, second):
            if attempt.answered:
                world.known.heard(attempt.outcome)


@dataclass(frozen=True, slots=True)
class Read:
    """`get` of one row, or with `pick=None` `find` of all, at least as new as a token."""

    projection: str
    pick: float | None
    after: After
    wait_s: float
    at: int
    number: int

    def __str__(self) -> str:
        what = "all rows" if self.pick is None else "a row"
        return f"read {what} of {self.projection} with {self.after}, at process {self.at + 1}"

    async def happen(self, world: World) -> None:
        """Ask once."""
        token = world.known.token(self.after)
        key = None if self.pick is None else world.known.some_key(self.projection, self.pick)
        if self.pick is not None and key is None:
            return
        attempt = world.attempt(self, f"client {self.number}.0", "", token=token, key=key)

        def read(running: Running) -> Awaitable[Any]:
            [projection] = [one for one in running.app.projections if one.name == self.projection]
            if key is None:
                return running.find(projection, limit=500, after=token, wait_s=self.wait_s)
            names = projection.table.key
            row = projection.initial(key)
            asked = tuple(getattr(row, name) for name in names)
            return running.get(projection, asked if len(asked) > 1 else asked[0], after=token, wait_s=self.wait_s)

        await world.ask(attempt, self.at, read)


@dataclass(frozen=True, slots=True)
class Load:
    """The write model itself."""

    pick: float
    at: int
    number: int

    def __str__(self) -> str:
        return f"load a stream, at process {self.at + 1}"

    async def happen(self, world: World) -> None:
        """Ask once, for a stream that there is."""
        stream = world.known.some_stream(self.pick)
        if stream is None:
            return
        category, _, id_ = stream.partition("-")
        [decider] = [one for one in world.app.deciders if one.category == category]
        attempt = world.attempt(self, f"client {self.number}.0", stream)
        await world.ask(attempt, self.at, lambda running: running.load(decider, id_))


@dataclass(frozen=True, slots=True)
class Verify:
    """Compare a read model with a fresh fold, while it goes on."""

    projection: str
    at: int
    number: int

    def __str__(self) -> str:
        return f"verify {self.projection}, at process {self.at + 1}"

    async def happen(self, world: World) -> None:
        """Ask once; the fresh fold is made in memory."""
        attempt = world.attempt(self, f"client {self.number}.0", "")

        async def verify(running: Running) -> Any:
            app = running.app
            [projection] = [one for one in app.projections if one.name == self.projection]
            comparing = Verification(projection, projection, running.rows, running.log, app.codec, _nobody_listens)
            return await comparing.run(MemoryReadStore(), documents=app.folds_documents(projection))

        await world.ask(attempt, self.at, verify)


def told(outcome: Any) -> str:
    """An answer in words."""
    match outcome:
        case Done(receipt, state):
            return f"{told(receipt)}; now it is {state!r}"
        case Receipt(_, version, events, position, _, _, repeated):
            again = ", as the first time" if repeated else ""
            return f"version {version}, {events} event{'s' * (events != 1)} up to {position}{again}"
        case Page(rows, _, parked):
            return f"{', '.join(map(repr, rows)) or 'no rows'}; {parked} parked"
        case Unparked(done, again, events):
            return f"{events} events handled, {len(done)} wait no longer, {len(again)} again"
        case Report():
            return f"{outcome.rows} rows are {'' if outcome.equal else 'not '}those of a fresh fold"
        case Exception():
            return f"{type(outcome).__name__}: {outcome}"
        case _:
            return repr(outcome)


def _nobody_listens(what: str, done: int, of: int) -> None:
    pass


def beyond(log_id: str, head: int) -> Token:
    """A token that nobody was given."""
    return Token(log_id, Position(0, head + 1_000_000))
