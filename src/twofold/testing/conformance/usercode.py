"""User code against the engine: it may raise anything and change whatever it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import pytest

from twofold import operate
from twofold.app import App
from twofold.backends.ports import LogStore, Rows
from twofold.codec import Stored
from twofold.errors import (
    ConfigurationError,
    LogReplaced,
    NewerSchema,
    OutcomeUnknown,
    Rejected,
    RowParked,
    Unavailable,
    VersionConflict,
)
from twofold.messages import Recorded, Stream
from twofold.react import runner as reacting
from twofold.react.reactor import Reactor, To
from twofold.read.projection import Projection
from twofold.testing.conformance.backend import OnBackend
from twofold.testing.conformance.bank import eventually
from twofold.testing.conformance.material import place_in, place_of
from twofold.write.decider import Decider

SOON_S = 30.0


class Textless(Exception):
    """Its text uses an attribute that is not set."""

    def __str__(self) -> str:
        return f"nothing under {self.name}"  # type: ignore[attr-defined]

    __repr__ = __str__


class Numbered(Exception):
    """Its text is not a string."""

    def __str__(self) -> str:
        text: Any = 7
        return text  # type: ignore[no-any-return]


class Nameless(ValueError):
    """It cannot even be asked for its class."""

    __class__ = property(lambda self: 1 / 0)


class Foreign(BaseException):
    """An unexpected kind of exception."""


def _circular() -> BaseException:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    return one


RAISED: dict[str, Callable[[], BaseException]] = {
    "CancelledError": asyncio.CancelledError,
    "ConfigurationError": lambda: ConfigurationError("not ours"),
    "ExceptionGroup": lambda: ExceptionGroup("several", [ValueError("a"), TypeError("b")]),
    "Foreign": Foreign,
    "GeneratorExit": GeneratorExit,
    "LogReplaced": lambda: LogReplaced("not ours"),
    "Nameless": Nameless,
    "NewerSchema": lambda: NewerSchema("not ours"),
    "Numbered": Numbered,
    "OSError": lambda: OSError("x" * 100_000),
    "OutcomeUnknown": lambda: OutcomeUnknown("not-ours", "not ours"),
    "StopAsyncIteration": StopAsyncIteration,
    "StopIteration": StopIteration,
    "SystemExit": lambda: SystemExit(3),
    "Textless": Textless,
    "Unavailable": lambda: Unavailable("not ours"),
    "ValueError": _circular,
    "VersionConflict": lambda: VersionConflict(Stream("not", "ours"), 1, 2),
}


@dataclass(frozen=True)
class Make:
    """Make a thing; code that handles it raises `raises`."""

    raises: str = ""


@dataclass(frozen=True)
class Made:
    """It was made."""

    raises: str = ""


@dataclass(frozen=True)
class Count:
    """How many."""

    id: str
    count: int = 0


def make(command: Make, made: int) -> list[Made]:
    """Always."""
    return [Made(command.raises)]


def counted(made: int, event: Made) -> int:
    """One more."""
    return made + 1


things = Decider("thing", 0, make, counted)


def meet(name: str) -> None:
    """Raise it, if it is one."""
    if name:
        raise RAISED[name]()


def count(row: Count, event: Made, recorded: Recorded) -> Count:
    """Count, or raise what the event says."""
    meet(event.raises)
    return replace(row, count=row.count + 1)


def key_of(event: Made, recorded: Recorded) -> str:
    """Raise what the event says."""
    meet(event.raises)
    return recorded.stream.id


def upcast(old: dict[str, Any]) -> dict[str, Any]:
    """Likewise."""
    meet(old["raises"])
    return old


counts = Projection("count", Count, count)
workshop = App("workshop", deciders=[things], projections=[counts])


# ---- what can be changed in place


@dataclass
class Line:
    """A line of a cart, compared by identity, not by content."""

    item: str
    marks: list[str] = field(default_factory=list)

    __eq__ = object.__eq__
    __hash__ = object.__hash__


@dataclass(frozen=True)
class Add:
    """Put these into a cart."""

    items: list[str]


@dataclass(frozen=True)
class Added:
    """The lines were added."""

    items: list[str]


@dataclass
class Cart:
    """A state that is mutable everywhere."""

    items: list[str] = field(default_factory=list)
    lines: dict[str, Line] = field(default_factory=dict)


def add(command: Add, cart: Cart) -> list[Added]:
    """Add each once; changes command and state, as no decider should."""
    if twice := [item for item in command.items if item in cart.items]:
        raise Rejected(f"{twice[0]} is there already")
    cart.items.append("junk")
    cart.lines.clear()
    added = [Added([item]) for item in command.items]
    command.items.clear()
    return [Added([]), *added]


def put(cart: Cart, event: Added) -> Cart:
    """Change in place, and keep the event's own list."""
    if not cart.items:
        cart.items = event.items
    else:
        cart.items.extend(event.items)
    cart.lines.update({item: Line(item) for item in event.items})
    return cart


def spoil(cart: Cart) -> None:
    """Change a received value."""
    cart.items.clear()
    for line in cart.lines.values():
        line.marks.append("spoilt")
    cart.lines.clear()


@dataclass(frozen=True)
class Tagged:
    """A mutable event."""

    tags: list[str]


@dataclass(frozen=True)
class Tags:
    """A mutable row."""

    id: str
    seen: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Shared:
    """Claims to be immutable, but is not."""

    seen: tuple[list[str], ...] = ()


@dataclass(frozen=True)
class Seen:
    """A row with a shared default."""

    id: str
    seen: list[str] = field(default_factory=list)
    also: Shared = Shared(([],))


def tag(command: Tagged, state: int) -> list[Tagged]:
    """Always."""
    return [command]


def tagged(state: int, event: Tagged) -> int:
    """One more."""
    return state + 1


labels = Decider("label", 0, tag, tagged)


class UserCodeConformance(OnBackend):
    """See `twofold.failures` and `twofold.kept`."""

    async def test_g7_whatever_a_fold_raises_parks_its_row_alone(self, log: LogStore, store: Rows) -> None:
        """The error is kept as far as it can be rendered, with its origin."""
        async with workshop.open(log, read_store=store) as running:
            for name in RAISED:
                await running.execute(things, name, Make())
                await running.execute(things, name, Make(name))
            done = await running.execute(things, "good", Make())
            assert await running.get(counts, "good", after=done.receipt, wait_s=SOON_S) == Count("good", 1)
            await until_parked(running, len(RAISED))
            waiting = {one.parked.key: one.parked for one in await running.parking.list()}
            assert set(waiting) == {f'["{name}"]' for name in RAISED}
            for name in RAISED:
                parked = waiting[f'["{name}"]']
                assert parked.error.partition(":")[0] == name
                assert "meet(event.raises)" in parked.traceback
                with pytest.raises(RowParked):
                    await running.get(counts, name)
            assert {one.state for one in await operate.status(running)} == {"following"}

    @pytest.mark.parametrize("where", ["key", "upcaster"])
    async def test_g7_whatever_a_key_or_an_upcaster_raises_parks_its_stream(
        self, log: LogStore, store: Rows, where: str
    ) -> None:
        """Everything else continues."""
        keyed = Projection("count", Count, count_only, key=key_of if where == "key" else None)
        older = App("workshop", deciders=[things], projections=[keyed])
        newer = replace(older, stored={Made: Stored("Made", 2, [upcast])})
        async with older.look(log, read_store=store) as writing:
            for name in RAISED:
                await writing.execute(things, name, Make(name))
            await writing.execute(things, "good", Make())
        async with (older if where == "key" else newer).open(log, read_store=store) as running:
            await running.settled(timeout_s=SOON_S)
            assert (await running.find(keyed)).rows == [Count("good", 1)]
            waiting = {(one.parked.kind, one.parked.key) for one in await running.parking.list()}
            assert waiting == {("stream", f"thing-{name}") for name in RAISED}

    @pytest.mark.parametrize("awaited", [False, True])
    async def test_g7_whatever_a_reaction_raises_parks_its_stream(
        self, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch, awaited: bool
    ) -> None:
        """The same holds for exceptions that would stop or restart the follower if they were its own."""
        monkeypatch.setattr(reacting, "PAUSES_S", (60.0,) * 7)
        seen = []

        def react(event: Made, recorded: Recorded) -> list[To]:
            meet(event.raises)
            seen.append(recorded.stream.id)
            return []

        async def react_slowly(event: Made, recorded: Recorded) -> list[To]:
            await asyncio.sleep(0)
            if event.raises == "CancelledError":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)
            return react(event, recorded)

        reactor = Reactor("sees", react_slowly if awaited else react, start="beginning")
        app = App("workshop", deciders=[things], reactors=[reactor])
        async with app.look(log, read_store=store) as writing:
            for name in RAISED:
                await writing.execute(things, name, Make(name))
            await writing.execute(things, "good", Make())
        async with app.open(log, read_store=store) as running:
            await until_parked(running, len(RAISED))
            await eventually(lambda: bool(seen))  # it may come in a page, or a partition, of its own
            assert seen == ["good"]
            waiting = {one.parked.key: one.parked.error for one in await running.parking.list()}
            for name in RAISED:
                told = waiting[f"thing-{name}"].partition(":")[0]
                assert told == ("RuntimeError" if awaited and name == "StopIteration" else name)  # as Python has it
            assert {one.state for one in await operate.status(running)} == {"following"}

    @pytest.mark.parametrize("raising", ["decide", "evolve"])
    async def test_g7_whatever_the_deciding_of_a_reaction_raises_parks_its_stream(
        self, raising: str, log: LogStore, store: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same holds for errors of the store. Several commands of one event run concurrently, each in a task."""
        monkeypatch.setattr(reacting, "PAUSES_S", (60.0,) * 7)

        def decide(command: Make, made: int) -> list[Made]:
            if raising == "decide":
                meet(command.raises)
            return [Made(command.raises)]

        def evolve(made: int, event: Made) -> int:
            meet(event.raises)
            return made + 1

        others = Decider("other", 0, decide, evolve)

        def react(event: Made, recorded: Recorded) -> list[To]:
            return (
                [To(others, id_, Make(event.raises)) for id_ in ("x", "y")]
                if recorded.stream.category == "thing"
                else []
            )

        app = App("workshop", deciders=[things, others], reactors=[Reactor("asks", react, start="beginning")])
        async with app.open(log, read_store=store) as running:
            for name in RAISED:
                await running.execute(things, name, Make(name))
            await running.execute(things, "good", Make())
            await until_parked(running, len(RAISED))
            await until_at_version(running, others, "x", 1)  # of "good", which may come in a page of its own
            await until_at_version(running, others, "y", 1)
            assert {one.state for one in await operate.status(running)} == {"following"}

    async def test_what_deciding_raises_reaches_the_caller_and_nobody_else(self, log: LogStore, store: Rows) -> None:
        """The same holds with a cached state. This stream and others accept the next command."""

        def decide(command: Make, made: int) -> list[Made]:
            meet(command.raises)
            return [Made()]

        decider = Decider("thing", 0, decide, counted)
        app = App("workshop", deciders=[decider])
        async with app.open(log, read_store=store) as running:
            for name, made in RAISED.items():
                if name in ("StopIteration", "SystemExit"):  # Python turns one into another
                    continue
                asked = [
                    running.execute(decider, "a", Make(name)),
                    *(running.execute(decider, "a", Make()) for _ in "12"),
                ]
                outcomes = await asyncio.gather(*asked, return_exceptions=True)
                assert [type(one).__name__ for one in outcomes] == [type(made()).__name__, "Done", "Done"]
            assert (await running.load(decider, "a"))[1] == 2 * (len(RAISED) - 2)

    async def test_g7_the_first_thing_told_of_a_parked_event_is_what_its_fold_raised(
        self, log: LogStore, store: Rows
    ) -> None:
        """A row that never existed has no error of its own."""
        async with workshop.open(log, read_store=store) as running:
            await running.execute(things, "new", Make("Unavailable"))
            await until_parked(running, 1)
            [waits] = await running.parking.list()
            assert waits.parked.traceback.count("Traceback (most recent call last)") == 1
            assert waits.parked.traceback.rstrip().endswith("Unavailable: not ours")
            assert waits.parked.traceback == await running.parking.traceback("count", waits.parked)

    async def test_g7_failed_retries_are_counted_and_a_later_event_counts_anew(
        self, log: LogStore, store: Rows
    ) -> None:
        """For rows, streams, and what a reactor has parked."""
        mended = set[str]()

        def check(event: Made, error: type[Exception] = ValueError) -> None:
            if event.raises in RAISED and event.raises not in mended:
                raise error(event.raises)

        def fold(row: Count, event: Made, recorded: Recorded) -> Count:
            check(event)
            return replace(row, count=row.count + 1)

        def key(event: Made, recorded: Recorded) -> str:
            check(event)
            return recorded.stream.id

        def react(event: Made, recorded: Recorded) -> list[To]:
            check(event, Rejected)
            return []

        app = App(
            "workshop",
            deciders=[things],
            projections=[Projection("row", Count, fold), Projection("stream", Count, count_only, key=key)],
            reactors=[Reactor("reactor", react, start="beginning")],
        )
        async with app.open(log, read_store=store) as running:
            for name in ("OSError", "", "ValueError"):
                await running.execute(things, "a", Make(name))
            await until_parked(running, 3)
            first = {one.follower.name: one.parked.tries for one in await running.parking.list()}
            for number in (1, 2, 3):
                for name in first:
                    await running.parking.retry(name)
                tries = {one.follower.name: one.parked.tries for one in await running.parking.list()}
                assert tries == {name: before + number for name, before in first.items()}
            since = {one.follower.name: one.parked.since for one in await running.parking.list()}
            mended.add("OSError")
            for name in first:
                await running.parking.retry(name)
            again = {one.follower.name: one.parked for one in await running.parking.list()}
            third = {await place_of(log, "thing-a@3"), await place_in(log, "thing-a@3")}
            assert {one.position for one in again.values()} == third
            assert {name: one.tries for name, one in again.items()} == first
            assert {name: one.since for name, one in again.items()} == since

    async def test_what_was_handed_out_can_be_changed_and_nothing_is_decided_on_it(
        self, log: LogStore, store: Rows
    ) -> None:
        """Commands, states, events: every caller has its own copy of mutable values."""
        carts = Decider("cart", Cart(), add, put)
        app = App("shop", deciders=[carts])
        async with app.open(log, read_store=store) as running:
            for number, item in enumerate(["tea", "cup", "pot"], start=1):
                for _ in range(2):  # folded from the log, and from the cache
                    state, _version = await running.load(carts, "1")
                    assert list(state.lines) == state.items == ["tea", "cup", "pot"][: number - 1]
                    assert not any(line.marks for line in state.lines.values())
                    spoil(state)
                command = Add([item])
                done = await running.execute(carts, "1", command, command_id=f"c{number}")
                assert command.items == [item]
                assert done.state.items == ["tea", "cup", "pot"][:number]
                assert [event.items for event in done.events] == [[], [item]]
                spoil(done.state)
                done.events[1].items.append("more")
                again = await running.execute(carts, "1", Add(["other"]), command_id=f"c{number}")
                assert again.state.items == ["tea", "cup", "pot"][:number]
                assert [event.items for event in again.events] == [[], [item]]
                with pytest.raises(Rejected):
                    await running.execute(carts, "1", Add(["tea"]))
            assert (await running.execute(carts, "2", Add(["tea"]))).state.items == ["tea"]
            assert (carts.initial, carts.state([])) == (Cart(), Cart())
            stored = [one.event.items for one in await running.history("cart-1")]
            assert stored == [[], ["tea"], [], ["cup"], [], ["pot"]]

    async def test_documents_are_handed_out_likewise(self, log: LogStore, store: Rows) -> None:
        """What is saved is read back, whatever happens to the returned value."""
        carts = Decider("cart", Tags("x"), retag, folded_tags, stored="state")
        app = App("shop", deciders=[carts])
        async with app.open(log, read_store=store) as running:
            for number in (1, 2, 3):
                done = await running.execute(carts, "1", Tagged([str(number)]))
                assert done.state.seen == ["1", "2", "3"][:number]
                done.state.seen.clear()
                (await running.load(carts, "1"))[0].seen.clear()
            assert [one.event.seen for one in await running.history("cart-1")] == [["1"], ["1", "2"], ["1", "2", "3"]]

    async def test_what_cannot_be_copied_is_folded_again(self, log: LogStore, store: Rows) -> None:
        """A state that contains a lock or a generator works, and so does one compared by identity."""
        missing = object()

        class Held:
            def __init__(self) -> None:
                self.lock, self.items, self.numbers, self.last = Lock(), list[str](), iter_once(), missing

        class Named:
            def __init__(self, last: object = missing) -> None:
                self.items, self.last = list[str](), last

        def decide(command: Add, state: Any) -> list[Added]:
            if command.items[0] in state.items:
                raise Rejected("there already")
            assert (state.last is missing) == (not state.items)
            return [Added(command.items)]

        def evolve(state: Any, event: Added) -> Any:
            fresh = type(state)()
            fresh.items, fresh.last = [*state.items, *event.items], event.items[-1]
            return fresh

        deciders: list[Decider[Any, Any, Any]] = [
            Decider("held", Held(), decide, evolve),
            Decider("named", Named(), decide, evolve),
        ]
        app = App("shop", deciders=deciders)
        async with app.open(log, read_store=store) as running:
            for decider in deciders:
                for id_ in ("1", "2"):
                    await running.execute(decider, id_, Add(["tea"]))
                    state, _ = await running.load(decider, id_)
                    state.items.clear()
                    with pytest.raises(Rejected):
                        await running.execute(decider, id_, Add(["tea"]))
                    assert (await running.execute(decider, id_, Add(["cup"]))).state.items == ["tea", "cup"]

    async def test_g7_a_row_is_as_it_was_before_the_fold_that_raised(self, log: LogStore, store: Rows) -> None:
        """Whatever the fold had changed in place before, in a page with several events of the row and in a retry."""
        mended = False

        def fold(row: Tags, event: Tagged, recorded: Recorded) -> Tags:
            row.seen.extend(event.tags)
            event.tags.clear()
            if row.seen[-1].startswith("bad") and not mended:
                raise ValueError("changed, and then this")
            return row

        tags = Projection("tags", Tags, fold)
        app = App("shop", deciders=[labels], projections=[tags])
        async with app.look(log, read_store=store) as writing:
            for number, name in enumerate(["a", "b", "bad", "c", "d"]):
                await writing.execute(labels, "1", Tagged([f"{name}{number}"]))
        async with app.open(log, read_store=store) as running:
            await until_parked(running, 1)
            assert (await running.find(tags)).rows == [Tags("1", ["a0", "b1"])]
            await running.parking.retry("tags")
            assert (await running.find(tags)).rows == [Tags("1", ["a0", "b1"])]
            mended = True
            await running.parking.retry("tags")
            assert (await running.find(tags)).rows == [Tags("1", ["a0", "b1", "bad2", "c3", "d4"])]

    async def test_each_row_sees_the_event_as_it_was_stored(self, log: LogStore, store: Rows) -> None:
        """Changes by the fold of one key are invisible to other keys and do not change a default."""

        def fold(row: Seen, event: Tagged, recorded: Recorded) -> Seen:
            row.also.seen[0].append(row.id)
            event.tags.append(row.id)
            return replace(row, seen=[*row.seen, *event.tags] if row.seen else event.tags)

        kept = Projection("kept", Seen, fold, key=lambda event, recorded: ["x", "y", "z"])
        app = App("shop", deciders=[labels], projections=[kept])
        async with app.look(log, read_store=store) as writing:
            await writing.execute(labels, "1", Tagged(["a"]))
            done = await writing.execute(labels, "2", Tagged(["b"]))
        async with app.open(log, read_store=store) as running:
            for key in ("x", "y", "z"):
                row = await running.get(kept, key, after=done.receipt, wait_s=SOON_S)
                assert row is not None
                assert (row.seen, row.also) == (["a", key, "b", key], Shared(([key, key],)))

    async def test_a_command_in_a_retry_is_as_it_was_handed_in(self, log: LogStore, store: Rows) -> None:
        """Changes by the first attempt to decide are invisible to the second."""
        carts = Decider("cart", Cart(), add, put)
        app = App("shop", deciders=[carts])
        async with app.open(log, read_store=store) as running:
            await running.execute(carts, "1", Add(["tea"]))
            async with app.open(log, read_store=store, work=False) as elsewhere:
                await elsewhere.execute(carts, "1", Add(["cup"]))
            done = await running.execute(carts, "1", Add(["pot", "jug"]))
            assert done.state.items == ["tea", "cup", "pot", "jug"]


def count_only(row: Count, event: Made, recorded: Recorded) -> Count:
    """Counts."""
    return replace(row, count=row.count + 1)


def retag(command: Tagged, state: Tags) -> list[Tagged]:
    """Always decides; changes the state, as no decider should."""
    state.seen.append("junk")
    return [command]


def folded_tags(state: Tags, event: Tagged) -> Tags:
    """In place."""
    state.seen.extend(event.tags)
    return state


def iter_once() -> Iterator[int]:
    """A generator."""
    yield 1


async def until_at_version(running: Any, decider: Any, id: str, version: int) -> None:
    """A stream has come so far."""
    async with asyncio.timeout(SOON_S):
        while (await running.load(decider, id))[1] < version:
            await asyncio.sleep(0.005)
    assert (await running.load(decider, id))[1] == version


async def until_parked(running: Any, number: int) -> None:
    """Wait until this much is parked."""
    async with asyncio.timeout(SOON_S):
        while len(await running.parking.list()) < number:
            await asyncio.sleep(0.005)
