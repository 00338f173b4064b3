"""What clients do: commands, appends, reads, loads and comparisons."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any

from twofold.app import Running
from twofold.backends.memory import MemoryReadStore
from twofold.errors import Unavailable
from twofold.messages import Receipt, Stream
from twofold.react.reactor import To
from twofold.read.proof.verify import Verification
from twofold.testing.simulation.attempts import Attempt
from twofold.testing.simulation.knowledge import After, Expects
from twofold.testing.simulation.oracle import name_of
from twofold.testing.simulation.world import World

AGAIN_AFTER_S = 0.4


@dataclass(frozen=True, slots=True)
class Execute:
    """A command. The client repeats it with the same id while its outcome is unknown."""

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
    """Two appends to one stream, the second queued behind the first, without a decider."""

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
        """The second starts once the first waits for its batch, or is lost with its process."""
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

        async def ask_first() -> None:
            await world.ask(first, self.at, begin)
            queued.set()

        await asyncio.gather(ask_first(), world.ask(second, self.at, follow))
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
    """Load the write model."""

    pick: float
    at: int
    number: int

    def __str__(self) -> str:
        return f"load a stream, at process {self.at + 1}"

    async def happen(self, world: World) -> None:
        """Ask once, for an existing stream."""
        stream = world.known.some_stream(self.pick)
        if stream is None:
            return
        category, _, id_ = stream.partition("-")
        [decider] = [one for one in world.app.deciders if one.category == category]
        attempt = world.attempt(self, f"client {self.number}.0", stream)
        await world.ask(attempt, self.at, lambda running: running.load(decider, id_))


@dataclass(frozen=True, slots=True)
class Verify:
    """Compare a read model with a fresh fold while its follower runs."""

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
            folding = app.folding(projection)
            comparing = Verification(folding, folding, running.rows, running.log, app.codec, _nobody_listens)
            return await comparing.run(MemoryReadStore())

        await world.ask(attempt, self.at, verify)


def _nobody_listens(what: str, done: int, of: int) -> None:
    pass
