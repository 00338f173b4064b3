"""Any sequence of calls to the ports gets the same results as on the memory backend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from twofold.errors import LeaseLost, VersionConflict
from twofold.feed.checkpoints import Checkpoint, Claim, FollowerId, Parked
from twofold.messages import BEGINNING, Append, Entry, Receipt, Stream
from twofold.read.store import Changes, Condition, Query
from twofold.testing.conformance.backend import Backend, InMemory, OnBackend
from twofold.testing.conformance.checkpoints import parked
from twofold.testing.conformance.material import append, at, event
from twofold.testing.conformance.rows import tally

STREAMS = st.sampled_from(["note-1", "note-2", "note-1-1", "memo-1"])
TYPES = st.sampled_from(["Noted", "Erased"])
COMMANDS = st.one_of(st.none(), st.sampled_from(["c1", "c2", "c3"]))
TABLES = {version: tally(version) for version in (1, 2)}  # made once, because the rules use them some thousand times
FOLLOWERS = st.sampled_from([table.follows for table in TABLES.values()])
EXPECTED = st.sampled_from(["none", "right", "too low", "too high", "zero"])
IDS = st.sampled_from(["a", "b", "ä", ""])
OFFSETS = st.integers(0, 30)
LIMITS = st.integers(1, 12)


class MachineConformance(OnBackend):
    """See `AgainstMemory`."""

    @pytest.mark.slow
    def test_any_calls_get_the_answers_that_memory_gives(self, new_backend: Callable[[], Backend]) -> None:
        """Appends, loads, pages, checkpoints, claims, rows: compared call by call, in random sequences."""
        machine = type("AgainstThisBackend", (AgainstMemory,), {"new_backend": staticmethod(new_backend)})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )


class AgainstMemory(RuleBasedStateMachine):
    """Two stores that get the same calls. Their results must be equal, except log id and time."""

    new_backend: Callable[[], Backend]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.runner.get_loop()
        self.logs, self.stores = [], []
        for backend in (InMemory(), self.new_backend()):
            self.logs.append(self.run(backend.open_log()))
            self.stores.append(self.run(backend.open_rows()))
        self.claims: dict[tuple[str, FollowerId], list[Claim]] = {}
        self.fresh = 0

    def run(self, work: Awaitable[Any]) -> Any:
        """The result, or an error that is part of the contract."""

        async def answer() -> Any:
            try:
                return await work
            except LeaseLost:
                return LeaseLost

        return self.runner.run(answer())

    def both(self, stores: list[Any], ask: Callable[[Any], Awaitable[Any]]) -> Any:
        """Assert that both give the same result, and return it."""
        memory, other = (self.run(ask(store)) for store in stores)
        assert comparable(other) == comparable(memory)
        return memory

    # ---- the log and its feed

    @rule(
        batch=st.lists(
            st.tuples(STREAMS, EXPECTED, COMMANDS, st.lists(TYPES, max_size=3)),
            min_size=1,
            max_size=4,
        )
    )
    def commit(self, batch: list[tuple[str, str, str | None, list[str]]]) -> None:
        """One batch; expected versions are those before it."""
        appends = [self.append(*one) for one in batch]
        self.both(self.logs, lambda log: log.commit(appends))

    def append(self, stream: str, expected: str, command_id: str | None, types: list[str]) -> Append:
        """An append with a right or wrong expected version."""
        version = self.run(self.logs[0].load(Stream.parse(stream))).version
        versions = {"none": None, "right": version, "too low": max(version - 1, 0), "too high": version + 1, "zero": 0}
        self.fresh += 1
        events = [event((self.fresh, n), name) for n, name in enumerate(types)]
        return append(stream, *events, expected=versions[expected], command_id=command_id or f"fresh {self.fresh}")

    @rule(stream=STREAMS, command_id=COMMANDS, last=st.none() | st.integers(1, 4), after=st.integers(0, 6))
    def load(self, stream: str, command_id: str | None, last: int | None, after: int) -> None:
        """A whole stream or its end, with a receipt."""
        self.both(self.logs, lambda log: log.load(Stream.parse(stream), command_id, last, after))

    @rule(stream=STREAMS, from_version=st.integers(0, 8), limit=st.integers(0, 5))
    def read_stream(self, stream: str, from_version: int, limit: int) -> None:
        """A part of a stream."""
        self.both(self.logs, lambda log: log.read_stream(Stream.parse(stream), from_version, limit))

    @rule(after=OFFSETS, limit=LIMITS, types=st.one_of(st.none(), st.frozensets(TYPES)))
    def read(self, after: int, limit: int, types: frozenset[str] | None) -> None:
        """A page of the feed, from anywhere up to the head."""
        position = at(min(after, self.both(self.logs, lambda log: log.head()).offset))
        self.both(self.logs, lambda log: log.read(position, limit, types))

    @invariant()
    def same_log(self) -> None:
        """The whole feed."""
        self.both(self.logs, lambda log: log.read(BEGINNING, 10_000))

    # ---- checkpoints, of both kinds

    @initialize()
    def prepare(self) -> None:
        """Two versions of a read model."""
        self.both(self.stores, lambda store: store.prepare(TABLES[1]))
        self.both(self.stores, lambda store: store.prepare(TABLES[2]))

    @rule(kind=st.sampled_from(["log", "store"]), follows=FOLLOWERS, start=OFFSETS)
    def register(self, kind: str, follows: FollowerId, start: int) -> None:
        """Register a follower, possibly again."""
        self.both(self.kept(kind), lambda store: store.checkpoints.register(follows, "0" * 16, at(start)))

    @rule(kind=st.sampled_from(["log", "store"]), follows=FOLLOWERS, old=st.booleans())
    def claim(self, kind: str, follows: FollowerId, old: bool) -> None:
        """With the current checkpoint or an earlier one."""

        async def claim_in(store: Any) -> Claim | None:
            seen = await store.checkpoints.read(follows)
            if seen is None:
                return None
            if old:
                seen = msgspec.structs.replace(seen, heartbeat=seen.heartbeat - 1)
            claim: Claim | None = await store.checkpoints.claim(seen, "worker")
            return claim

        claim = self.both(self.kept(kind), claim_in)
        if claim is not None:
            self.claims.setdefault((kind, follows), []).append(claim)

    @rule(
        kind=st.sampled_from(["log", "store"]),
        follows=FOLLOWERS,
        do=st.sampled_from(["beat", "release", "advance", "advance wrongly"]),
        which=st.integers(0, 3),
        parks=st.lists(st.tuples(st.sampled_from(["row", "stream"]), IDS), max_size=2, unique=True),
    )
    def hold(self, kind: str, follows: FollowerId, do: str, which: int, parks: list[tuple[str, str]]) -> None:
        """With the current claim or an older one."""
        claims = self.claims.get((kind, follows))
        if not claims:
            return
        claim = claims[-1 - which % len(claims)]
        now = self.both(self.kept(kind), lambda store: store.checkpoints.read(follows)).position.offset
        if do in ("beat", "release"):
            self.both(self.kept(kind), lambda store: getattr(store.checkpoints, do)(claim))
            return
        after, to = (now, now + 2) if do == "advance" else (now + 1, now + 2)
        waits = [parked(kind_, key, to) for kind_, key in parks]
        self.both(self.kept(kind), lambda store: store.checkpoints.advance(claim, at(after), at(to), waits))

    def kept(self, kind: str) -> list[Any]:
        """The stores of one kind."""
        return self.logs if kind == "log" else self.stores

    @invariant()
    def same_checkpoints(self) -> None:
        """All checkpoints, and what is parked."""

        async def all_of(store: Any) -> list[Any]:
            asks = (store.checkpoints.read, store.checkpoints.parked)
            return [await ask(table.follows) for ask in asks for table in TABLES.values()]

        self.both(self.logs, all_of)
        self.both(self.stores, all_of)

    # ---- rows

    @rule(
        follows=FOLLOWERS,
        which=st.integers(0, 2),
        wrong=st.booleans(),
        rows=st.dictionaries(IDS, st.one_of(st.none(), st.integers(-2, 2)), max_size=4),
    )
    def fold(self, follows: FollowerId, which: int, wrong: bool, rows: dict[str, int | None]) -> None:
        """A page of rows, with the current claim or an older one."""
        claims = self.claims.get(("store", follows))
        if not claims:
            return
        claim, table = claims[-1 - which % len(claims)], TABLES[follows.version]
        now = self.both(self.stores, lambda store: store.checkpoints.read(follows)).position.offset
        after = now + 1 if wrong else now
        changes = Changes({(id_,): None if count is None else (id_, count) for id_, count in rows.items()})
        self.both(self.stores, lambda store: store.commit(table, claim, at(after), at(after + 1), changes))

    @rule(
        follows=FOLLOWERS,
        conditions=st.lists(
            st.one_of(
                st.builds(Condition, st.just("id"), st.sampled_from(["eq", "lt", "ge"]), IDS),
                st.builds(Condition, st.just("count"), st.sampled_from(["eq", "ne", "gt", "le"]), st.integers(-2, 2)),
                st.builds(Condition, st.just("count"), st.just("in"), st.lists(st.integers(-2, 2)).map(tuple)),
            ),
            max_size=2,
        ),
        descending=st.tuples(st.booleans(), st.booleans()),
        after=st.one_of(st.none(), st.tuples(st.integers(-2, 2), IDS)),
        limit=LIMITS,
    )
    def find(self, follows: FollowerId, conditions: Any, descending: Any, after: Any, limit: int) -> None:
        """Any query, and the rows that a fold would start with."""
        table = TABLES[follows.version]
        if self.both(self.stores, lambda store: store.checkpoints.read(follows)) is None:
            return
        query = Query(conditions, [("count", descending[0]), ("id", descending[1])], limit, after)
        found = self.both(self.stores, lambda store: store.find(table, query))
        self.both(self.stores, lambda store: store.count(table, conditions))
        keys = [(row[0],) for row in found.rows]
        self.both(self.stores, lambda store: store.rows(table, [*keys, ("none",)]))

    @rule(follows=FOLLOWERS, id_=IDS)
    def get(self, follows: FollowerId, id_: str) -> None:
        """One row by its key."""
        if self.both(self.stores, lambda store: store.checkpoints.read(follows)) is not None:
            self.both(self.stores, lambda store: store.get(TABLES[follows.version], (id_,)))

    def teardown(self) -> None:
        """Close everything."""
        for store in (*self.logs, *self.stores):
            self.run(store.close())
        self.runner.close()


def comparable(answer: Any) -> Any:
    """A result without log id, times, heartbeats and generations, in plain values."""
    match answer:
        case Receipt():
            return msgspec.structs.replace(answer, log_id="")
        case Entry():
            meta = msgspec.json.decode(answer.meta)
            data = msgspec.json.decode(answer.data)
            return (answer.position, answer.stream, answer.version, answer.type, answer.schema, data, meta)
        case VersionConflict():
            return (answer.stream, answer.expected, answer.actual)
        case Checkpoint():
            return msgspec.structs.replace(answer, generation="", heartbeat=0)
        case [Parked(), *_]:  # by position; in any order for equal ones
            return sorted(answer, key=lambda one: (one.position, one.kind, one.key))
        case list() | tuple():
            return [comparable(one) for one in answer]
        case bytes():  # JSON, which stores return in either form
            return answer.decode()
        case msgspec.Struct():
            return {name: comparable(getattr(answer, name)) for name in answer.__struct_fields__}
        case _:
            return answer
