"""The engine is broken on purpose, one promise after the other, and the simulator must notice.

A guarantee whose breaking nothing notices is not shown. Nothing of this is in the product: the defects are put in from
outside, into the engine or into the simulated store.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Literal, NamedTuple

import msgspec
import pytest

import twofold.app as app_module
from simulated import FOLDED, SCENARIOS
from simulated.directory import IN_THE_DIRECTORY, IN_THE_REGISTER
from simulated.letters import IN_THE_OFFICE
from simulated.notebook import IN_THE_NOTEBOOK
from simulated.warehouse import IN_THE_WAREHOUSE
from twofold.backends.memory import MemoryCheckpoints, MemoryLog, MemoryReadStore, checkpoints
from twofold.backends.memory.inspection import RowsInspection, Snapshot
from twofold.backends.partitioned import order, proposing, runs
from twofold.backends.partitioned.cuts import Cuts
from twofold.backends.partitioned.gated import Gated
from twofold.backends.partitioned.merged import Merged
from twofold.errors import Unavailable, VersionConflict
from twofold.feed import feed, follow, partitions
from twofold.feed.checkpoints import Checkpoint, Claim
from twofold.feed.feed import Feed, FeedPage
from twofold.feed.lease import Lease
from twofold.messages import BEGINNING, Append, Position, Receipt, Token
from twofold.react.reactor import Reactor
from twofold.react.runner import Runner
from twofold.read import freshness, query, room, rounds, unpark, watch
from twofold.read.aggregates import Extreme
from twofold.read.folding import Folding
from twofold.read.freshness import Fresh, Freshness
from twofold.read.parked import ParkedKeys
from twofold.read.projection import Projection
from twofold.read.projector import Projector
from twofold.read.rollups import _Filling
from twofold.read.rounds import Rounds
from twofold.read.store import Changes, QueryResult
from twofold.read.watched import Standing
from twofold.read.watcher import OneWatcher
from twofold.testing.simulation.faults import FAULTS, Fault
from twofold.testing.simulation.faults.stores import Lose
from twofold.testing.simulation.histories import in_silence, run, run_histories, worst
from twofold.testing.simulation.parts import LogBecomes
from twofold.testing.simulation.plan import Plan, draw
from twofold.testing.simulation.remote import NoAnswer, NotSent, Remote, at_once
from twofold.testing.simulation.scenario import Scenario
from twofold.testing.simulation.storage import Storage
from twofold.testing.simulation.stores import SimulatedCheckpoints, SimulatedLog, SimulatedRows, available
from twofold.write.commits import Commits
from twofold.write.execute import Executor
from twofold.write.group_commit import GroupCommit

pytestmark = pytest.mark.slow

HISTORIES = 250  # without a defect
FAILURES = 3  # one of the first three histories that fail must break the promise itself
MOST = 4_000  # so many at most until a defect must have shown; most show within the first ten

Patch = pytest.MonkeyPatch
replaced = msgspec.structs.replace


class Mutation(NamedTuple):
    patch: Callable[[Patch], None]
    breaks: str
    among: Sequence[Fault]
    scenarios: Sequence[Scenario]
    partitions: int
    log: LogBecomes | Literal["the same"] | None
    first: int

    def plan(self, seed: int) -> Plan:
        """A history in which the defect may show."""
        plan = draw(self.scenarios[seed % len(self.scenarios)], seed, self.among, self.partitions)
        watchers = max(1, plan.watchers) if self.breaks == "watchers" else 0
        plan = dataclasses.replace(plan, watchers=watchers if plan.app.projections else 0)
        if self.log is None:
            return plan
        return dataclasses.replace(plan, log_becomes=None if self.log == "the same" else self.log)


MUTATIONS: dict[str, Mutation] = {}


def mutation(
    breaks: str,
    among: Sequence[str | Fault] = (),
    scenarios: Sequence[Scenario] = FOLDED,
    partitions: int = 1,
    log: LogBecomes | Literal["the same"] | None = None,
    first: int = 1,
) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """`breaks` names the promise that the simulator must say is broken, or those of which it may be either.

    A defect that shows under few faults or in few Apps only is looked for there, to save time. One that breaks two
    promises is decorated twice, each time with the histories that break the one. `log` says what the log becomes at the
    end of each history; by default it is replaced in a few. `first` is the seed to begin with.
    """

    def kept(patch: Callable[[Patch], None]) -> Callable[[Patch], None]:
        faults = [FAULTS[one] if isinstance(one, str) else one for one in among]
        name = patch.__name__ if patch.__name__ not in MUTATIONS else f"{patch.__name__} {breaks}"
        MUTATIONS[name] = Mutation(patch, breaks, faults, scenarios, partitions, log, first)
        return patch

    return kept


LOST_REQUESTS = Fault(1, lambda dice: Lose("the log", "append", "request lost", 3))
LOST_RESPONSES = Fault(1, lambda dice: Lose("the log", "append", "answer lost", 3))


# ---- G1, G3: what is acknowledged is stored, once


@mutation("G1", among=["crash store"])
def acknowledged_before_it_is_on_the_disk(patch: Patch) -> None:
    """The page cache is written every half second; what a crash of the server takes, was acknowledged."""
    made = Storage.__init__

    def init(self: Storage, *values: Any, **more: Any) -> None:
        made(self, *values, **more)
        part, written = self.logs[0], []
        log, crash = part.log, part.link.crash

        def lose(away: bool) -> None:
            for moment, length in written:
                if moment > self._loop.time() - 0.5 and length < len(log._entries):
                    del log._entries[length:]
                    for entries in log._streams.values():
                        entries[:] = [entry for entry in entries if entry.position.offset <= length]
                    log._receipts = {k: r for k, r in log._receipts.items() if r.position.offset <= length}
            crash(away)

        part.link.crash = lose  # type: ignore[method-assign]
        self.written = written  # type: ignore[attr-defined]

    append, ask = SimulatedLog._append, Remote.ask

    def written(self: SimulatedLog, batch: Sequence[Append]) -> Any:
        self._storage.written.append((self._storage._loop.time(), len(self._part.entries)))  # type: ignore[attr-defined]
        return append(self, batch)

    async def at_once(self: Remote, work: Any, kind: Any = "look", *, syncs: bool = False) -> Any:
        return await ask(self, work, kind)

    patch.setattr(Storage, "__init__", init)
    patch.setattr(SimulatedLog, "_append", written)
    patch.setattr(Remote, "ask", at_once)


@mutation("G1", first=92)
def an_append_is_stored_in_parts(patch: Patch) -> None:
    whole = SimulatedLog.commit

    async def commit(self: SimulatedLog, batch: Sequence[Append]) -> Any:
        outcomes = []
        for append in batch:
            for number, event in enumerate(append.events[:-1]):
                meta = replaced(append.meta, command_id=f"{append.command_id} {number}")
                at = None if append.expected_version is None else append.expected_version + number
                await whole(self, [replaced(append, events=[event], meta=meta, expected_version=at)])
            expected = append.expected_version
            after = expected if expected is None else expected + max(0, len(append.events) - 1)
            last = replaced(append, events=append.events[-1:], expected_version=after)
            [outcome] = await whole(self, [last])
            if isinstance(outcome, Receipt) and not outcome.repeated:
                outcome = replaced(outcome, events=len(append.events))
                self._part.log._receipts[str(append.stream), append.command_id] = outcome
            outcomes.append(outcome)
        return outcomes

    patch.setattr(SimulatedLog, "commit", commit)


@mutation("G1")
def a_lost_answer_is_taken_for_nothing_happened(patch: Patch) -> None:
    async def commit(self: SimulatedLog, batch: Sequence[Append]) -> Any:
        return await available(self.link, lambda: self._append(batch), "append", syncs=True)

    patch.setattr(SimulatedLog, "commit", commit)


@mutation("G3", among=[LOST_REQUESTS], scenarios=[IN_THE_DIRECTORY])
@mutation("G1", among=[LOST_RESPONSES], scenarios=[IN_THE_DIRECTORY])
def what_is_sent_again_has_another_command_id(patch: Patch) -> None:
    """If the first request was stored, its events are there, and the client learns otherwise (G1). If only the second
    one was, the client's own id is not stored, and a repetition is done again (G3)."""

    async def commit(self: SimulatedLog, batch: Sequence[Append]) -> Any:
        while True:
            try:
                return await self.link.ask(lambda sent=batch: self._append(sent), "append", syncs=True)
            except NotSent as error:
                raise Unavailable(str(error)) from error
            except NoAnswer:
                new = [replaced(one.meta, command_id=self._ambient.new_id()) for one in batch]
                batch = [replaced(one, meta=meta) for one, meta in zip(batch, new, strict=True)]

    patch.setattr(SimulatedLog, "commit", commit)


@mutation("G3")
def command_ids_are_not_stored(patch: Patch) -> None:
    append, load = MemoryLog._append, MemoryLog.load

    def _append(self: MemoryLog, one: Append) -> Any:
        kept = self._receipts.pop((str(one.stream), one.command_id), None)
        outcome = append(self, one)
        if kept is not None:
            self._receipts[str(one.stream), one.command_id] = kept
        return outcome

    async def without(self: MemoryLog, *values: Any, **named: Any) -> Any:
        return replaced(await load(self, *values, **named), receipt=None)

    patch.setattr(MemoryLog, "_append", _append)
    patch.setattr(MemoryLog, "load", without)


@mutation("G3")
def the_id_of_an_empty_decision_is_not_stored(patch: Patch) -> None:
    append = MemoryLog._append

    def _append(self: MemoryLog, one: Append) -> Any:
        outcome = append(self, one)
        if isinstance(outcome, Receipt) and not outcome.events:
            self._receipts.pop((str(one.stream), one.command_id), None)
        return outcome

    patch.setattr(MemoryLog, "_append", _append)


@mutation("G1", among=[LOST_RESPONSES])
def the_version_is_looked_at_before_the_command_id(patch: Patch) -> None:
    append = MemoryLog._append

    def _append(self: MemoryLog, one: Append) -> Any:
        version = len(self._streams[str(one.stream)])
        if one.expected_version is not None and one.expected_version != version:
            return VersionConflict(one.stream, one.expected_version, version)
        return append(self, one)

    patch.setattr(MemoryLog, "_append", _append)


# ---- G2: of two one wins


@mutation("G2")
def an_append_does_not_demand_its_version(patch: Patch) -> None:
    append = GroupCommit.append

    async def without(self: GroupCommit, one: Append) -> Any:
        return await append(self, replaced(one, expected_version=None))

    patch.setattr(GroupCommit, "append", without)


@mutation("G2", scenarios=[IN_THE_NOTEBOOK])
def who_comes_last_is_served_first(patch: Patch) -> None:
    next_batch = GroupCommit._next_batch

    def backwards(self: GroupCommit) -> Any:
        self._queue = deque(reversed(self._queue))
        return next_batch(self)

    patch.setattr(GroupCommit, "_next_batch", backwards)


@mutation("G2")
def the_order_of_a_batch_is_reversed(patch: Patch) -> None:
    commit = MemoryLog.commit

    async def backwards(self: MemoryLog, batch: Sequence[Append]) -> Any:
        return list(reversed(await commit(self, batch[::-1])))

    patch.setattr(MemoryLog, "commit", backwards)


@mutation("G1", scenarios=[IN_THE_DIRECTORY])
def the_outcomes_of_a_batch_are_handed_out_in_another_order(patch: Patch) -> None:
    append = SimulatedLog._append
    patch.setattr(SimulatedLog, "_append", lambda self, batch: append(self, batch)[::-1])


@mutation("G3")
def a_refusal_that_was_decided_from_memory_counts(patch: Patch) -> None:
    def _decide_at_once(self: Executor, envelope: Any) -> Any:
        known = self._states.get(envelope.decider, envelope.stream)
        if known.version == 0 or envelope.expected_version is not None:
            return None
        decision = self._decide(envelope, known.state, known.version)
        return decision if decision.new else None

    patch.setattr(Executor, "_decide_at_once", _decide_at_once)


# ---- G4: the feed never skips


@mutation("G4")
def the_position_is_taken_before_the_lock(patch: Patch) -> None:
    append = MemoryLog._append

    async def commit(self: SimulatedLog, batch: Sequence[Append]) -> Any:
        taken = await available(self.link, lambda: len(self._part.entries))

        def late() -> Any:
            self._part.log.ahead = taken - len(self._part.entries)  # type: ignore[attr-defined]
            return self._append(batch)

        return await available(self.link, late, "append", syncs=True)

    def _append(self: MemoryLog, one: Append) -> Any:
        before = len(self._entries)
        outcome = append(self, one)
        for index in range(before, len(self._entries)):
            entry = self._entries[index]
            place = Position(0, entry.position.offset + self.ahead)  # type: ignore[attr-defined]
            self._entries[index] = replaced(entry, position=place)
        return outcome

    patch.setattr(SimulatedLog, "commit", commit)
    patch.setattr(MemoryLog, "_append", _append)


def _cursor(patch: Patch, by: int) -> None:
    read = MemoryLog.read

    async def off(self: MemoryLog, after: Position, limit: int, *more: Any) -> FeedPage:
        head = await self.head()
        if after >= head:
            return await read(self, after, limit, *more)
        moved = Position(0, min(head.offset, max(0, after.offset + by)))
        return await read(self, moved, limit, *more)

    patch.setattr(MemoryLog, "read", off)


@mutation("G5", scenarios=[IN_THE_WAREHOUSE])
@mutation("G4", scenarios=[IN_THE_DIRECTORY])
def the_cursor_is_inclusive(patch: Patch) -> None:
    """Folding a document twice gives the same row: only the readers of the feed see it twice (G4)."""
    _cursor(patch, -1)


@mutation("G5")
def the_cursor_skips_an_event(patch: Patch) -> None:
    _cursor(patch, +1)


@mutation("engine", log="the same")
@mutation("G11", among=["jump"], scenarios=[IN_THE_WAREHOUSE, IN_THE_DIRECTORY], log="another log")
def who_waits_for_news_has_no_time_out(patch: Patch) -> None:
    """When a doorbell does not ring, a follower or a reader never comes to rest. When all of them ring and the log is
    replaced, nobody looks again, and so nobody notices (G11)."""

    async def wait(self: SimulatedLog, after: Position, timeout_s: float) -> None:
        if self._part.head <= after:
            await self._part.bell.wait(1e9)

    patch.setattr(SimulatedLog, "wait", wait)


# ---- G5: each event once


@mutation("G5")
def the_checkpoint_moves_in_another_transaction_than_the_rows(patch: Patch) -> None:
    async def commit(self: SimulatedRows, table: Any, claim: Claim, after: Position, to: Position, c: Changes) -> None:
        def write() -> None:
            self._storage.row_checkpoints.held(claim)
            _write(self._storage.rows, table, c)

        await available(self._link, write, "page")
        await self._checkpoints.advance(claim, after, to, c.parked)
        self._storage.rows_bell.ring()

    patch.setattr(SimulatedRows, "commit", commit)


def _write(store: MemoryReadStore, table: Any, changes: Changes) -> None:
    rows = store._tables[table.follows]
    for key, values in changes.rows.items():
        if values is None:
            rows.pop(key, None)
        else:
            rows[key] = values


@mutation("G5", scenarios=[IN_THE_REGISTER])
def a_rollup_does_not_know_the_rows_that_a_page_replaces(patch: Patch) -> None:
    patch.setattr(Folding, "note_replaced", lambda self, keys: None)


@mutation("G5", scenarios=[IN_THE_REGISTER])
def an_undone_maximum_is_kept(patch: Patch) -> None:
    patch.setattr(Extreme, "_is_undone", lambda self, value, came, change: False)


@mutation("G5", scenarios=[IN_THE_REGISTER])
def a_rollup_is_built_empty(patch: Patch) -> None:
    patch.setattr(_Filling, "add", lambda self, rows: None)


@mutation("G5")
def the_epoch_is_not_compared(patch: Patch) -> None:
    patch.setattr(MemoryCheckpoints, "held", lambda self, claim: self.rows[claim.follower])


@mutation("G5", among=["lose"])
def the_position_is_not_compared(patch: Patch) -> None:
    patch.setattr(MemoryCheckpoints, "movable", lambda self, claim, after: self.held(claim))


@mutation("G5")
def a_claim_does_not_raise_the_epoch(patch: Patch) -> None:
    async def claim(self: MemoryCheckpoints, seen: Checkpoint, owner: str) -> Claim:
        now = self.rows[seen.follower]
        self.rows[seen.follower] = replaced(now, owner=owner)
        return Claim(seen.follower, now.epoch)

    patch.setattr(MemoryCheckpoints, "claim", claim)


@mutation("G5")
def heartbeats_are_ignored(patch: Patch) -> None:
    read = SimulatedCheckpoints.read

    async def as_if_free(self: SimulatedCheckpoints, follower: Any) -> Checkpoint | None:
        found = await read(self, follower)
        return replaced(found, owner=None) if found is not None else None

    patch.setattr(SimulatedCheckpoints, "read", as_if_free)


@mutation("G5")
def anybody_can_let_go_of_a_lease(patch: Patch) -> None:
    async def release(self: MemoryCheckpoints, claim: Claim) -> None:
        self.rows[claim.follower] = replaced(self.rows[claim.follower], owner=None)

    patch.setattr(MemoryCheckpoints, "release", release)


@mutation("G5", among=["crash store"], scenarios=[IN_THE_WAREHOUSE, IN_THE_DIRECTORY])
def a_crash_of_the_read_store_keeps_the_checkpoint_and_loses_the_rows(patch: Patch) -> None:
    restore = RowsInspection.restore

    def torn(self: RowsInspection, snapshot: Snapshot) -> None:
        restore(self, {**snapshot, "checkpoints": {}})

    patch.setattr(RowsInspection, "restore", torn)


@mutation("engine", among=["crash store"], first=56)
def who_is_idle_does_not_notice_that_the_store_went_back(patch: Patch) -> None:
    async def never(self: Any, *_: Any) -> None: ...

    patch.setattr(follow.Following, "_check_kept", never)


@mutation("G5", among=["restart", "pause", "steal"], first=900)
def rows_are_remembered_after_the_lease_was_lost(patch: Patch) -> None:
    async def _holding(self: Projector, claim: Claim, after: Position) -> Any:
        if self._held is None:
            return await holding(self, claim, after)
        self._held.claim = claim
        return self._held

    holding = Projector._holding
    patch.setattr(Projector, "_holding", _holding)


@mutation("engine", among=["stop while claiming"])
def who_is_stopped_goes_on_where_the_store_goes_away(patch: Patch) -> None:
    async def _taken(self: Lease, seen: Checkpoint) -> Claim | None:
        taking = asyncio.ensure_future(self.checkpoints.claim(seen, self.owner))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            claim = await taking
            if claim is not None:
                await self.checkpoints.release(claim)
            raise

    patch.setattr(Lease, "_taken", _taken)


@mutation("G5")
def rows_that_were_deleted_stay(patch: Patch) -> None:
    commit = MemoryReadStore.commit

    async def upserts(self: MemoryReadStore, table: Any, claim: Any, after: Any, to: Any, c: Changes) -> None:
        kept = {key: values for key, values in c.rows.items() if values is not None}
        await commit(self, table, claim, after, to, replaced(c, rows=kept))

    patch.setattr(MemoryReadStore, "commit", upserts)


@mutation("G5")
def a_document_is_folded_onto_the_row_before(patch: Patch) -> None:
    made = Projector.__init__

    def init(self: Projector, projection: Projection[Any], *values: Any, **named: Any) -> None:
        onto = copy(projection)
        object.__setattr__(onto, "documents", False)
        made(self, onto, *values, **named)

    patch.setattr(Projector, "__init__", init)


@mutation("G5")
def a_reactor_moves_on_before_its_commands_are_carried_out(patch: Patch) -> None:
    async def handle(self: Runner, claim: Claim, after: Position, page: FeedPage) -> None:
        await self._checkpoints.advance(claim, after, page.upto)
        for entry in page.entries:
            await self._react([entry])

    patch.setattr(Runner, "handle", handle)


@mutation("G5")
def the_ids_of_a_reactors_commands_are_made_up(patch: Patch) -> None:
    commands = Reactor.commands
    chance = random.Random(1)

    def new(self: Reactor, recorded: Any) -> Any:
        return [(f"{chance.getrandbits(64)}", to) for _, to in commands(self, recorded)]

    patch.setattr(Reactor, "commands", new)


# ---- G6: reads with a token


@mutation("G6")
def a_read_does_not_wait_for_its_token(patch: Patch) -> None:
    async def at_least(self: Freshness, token: Any, wait_s: float, look: Any) -> Fresh:
        if token is not None:
            await self.check(token)
        return Fresh(await look(), None)

    patch.setattr(Freshness, "at_least", at_least)


@mutation("G6 or G9")
def rows_and_checkpoint_are_read_in_two_looks(patch: Patch) -> None:
    for name in ("get", "find"):

        async def in_two(self: SimulatedRows, table: Any, asked: Any, name: str = name) -> QueryResult:
            rows = await self._look(lambda store: at_once(getattr(store, name)(table, asked)))
            newer = await self._look(lambda store: at_once(getattr(store, name)(table, asked)))
            return replaced(rows, checkpoints=newer.checkpoints)

        patch.setattr(SimulatedRows, name, in_two)


@mutation("G6")
def a_token_of_another_log_is_accepted(patch: Patch) -> None:
    token = Freshness.token

    def any_log(self: Freshness, after: Any) -> Any:
        if isinstance(after, Token):
            after = replaced(after, log_id=self._log.log_id)
        return token(self, after)

    patch.setattr(Freshness, "token", any_log)


@mutation("G6", first=56)
def a_token_beyond_the_end_is_accepted(patch: Patch) -> None:
    async def never(self: Freshness, token: Any) -> None: ...

    patch.setattr(Freshness, "check", never)


# ---- G7: parked keys


@mutation("G7")
def a_parked_entry_is_recorded_after_the_checkpoint_moved(patch: Patch) -> None:
    commit = SimulatedRows.commit

    async def later(self: SimulatedRows, table: Any, claim: Claim, after: Any, to: Position, c: Changes) -> None:
        await commit(self, table, claim, after, to, replaced(c, parked=()))
        if c.parked:
            await self._checkpoints.advance(claim, to, to, c.parked)

    patch.setattr(SimulatedRows, "commit", later)


@mutation("G5", first=57)
def later_events_of_a_parked_key_are_folded(patch: Patch) -> None:
    made = Folding.__init__

    def init(self: Folding, projection: Any, codec: Any, ambient: Any, known: Any, parked: Any, **named: Any) -> None:
        made(self, projection, codec, ambient, known, ParkedKeys(()), **named)

    patch.setattr(Folding, "__init__", init)


@mutation("G6", first=113)
def a_row_that_waits_is_answered_as_it_is(patch: Patch) -> None:
    patch.setattr(query, "_waits", lambda projection, key, parked: False)


@mutation("G7 or G5")
def what_cannot_be_folded_is_passed_over(patch: Patch) -> None:
    patch.setattr(Folding, "_park", lambda self, kind, key, position, error: None)


@mutation("G5 or G7")
def what_is_tried_again_waits_no_longer_and_is_not_folded(patch: Patch) -> None:
    patch.setattr(unpark._Collected, "_take", lambda self, key, recorded: None)


@mutation("engine")
def what_failed_outside_is_not_tried_again(patch: Patch) -> None:
    patch.setattr(Runner, "_is_due", lambda self, parked: False)


@mutation("G5")
def an_effect_that_failed_is_passed_over(patch: Patch) -> None:
    move = Runner._move

    async def _move(self: Runner, claim: Claim, after: Position, to: Position, outcomes: Any) -> None:
        await move(self, claim, after, to, [replaced(one, after=None) for one in outcomes])

    patch.setattr(Runner, "_move", _move)


# ---- G8, G11: versions, other logs


@mutation("G8", among=["upgrade", "rebuild", "slow"])
def a_version_is_published_before_it_has_caught_up(patch: Patch) -> None:
    async def publish(self: MemoryReadStore, table: Any, covered: Any, lost: Any = ()) -> bool:
        self._live[table.name] = max(self._live[table.name], table.follows.version)
        return True

    patch.setattr(MemoryReadStore, "publish", publish)


@mutation("G8", among=["upgrade", "lose page", "slow"], first=66)
def a_version_is_published_after_a_page_alone(patch: Patch) -> None:
    async def tend(self: Projector, claim: Claim, position: Position) -> None: ...

    patch.setattr(Projector, "tend", tend)


@mutation("G11")
def a_log_that_became_shorter_is_not_noticed(patch: Patch) -> None:
    from twofold.backends.memory import log

    patch.setattr(follow, "check_log", lambda *_: None)
    patch.setattr(freshness, "check_within_log", lambda *_: None)
    patch.setattr(log, "check_not_beyond", lambda *_: None)


@mutation("G11", scenarios=[IN_THE_WAREHOUSE, IN_THE_NOTEBOOK, IN_THE_DIRECTORY], log="another log")
def the_id_of_a_log_is_not_looked_at(patch: Patch) -> None:
    check = follow.check_log
    patch.setattr(follow, "check_log", lambda of, log_id, head: check(replaced(of, log_id=log_id), log_id, head))
    patch.setattr(SimulatedLog, "_same", lambda self: self._part.log)


@mutation("G8", among=["rebuild"])
def two_versions_are_compared_before_either_is_published(patch: Patch) -> None:
    """Each may be, but the older one comes last, and the public name goes back."""

    async def publish(self: SimulatedRows, table: Any, *_: Any) -> bool:
        async def compared() -> bool:
            def looked(_: MemoryReadStore) -> bool:
                rows = self._storage.row_checkpoints.rows
                positions = {f.version: c.position for f, c in rows.items() if f.name == table.name}
                live = self._storage.in_rows.live(table.name)
                return live < table.follows.version and positions[live] <= positions[table.follows.version]

            return await self._look(looked)

        if not await compared():
            return self._storage.in_rows.live(table.name) >= table.follows.version

        def show(rows: MemoryReadStore) -> bool:
            before, rows._live[table.name] = self._storage.in_rows.live(table.name), table.follows.version
            self._storage.watch.published(table, before)
            return True

        return await self._change_tables(show)

    patch.setattr(SimulatedRows, "publish", publish)


@mutation("G8")
def a_table_is_dropped_that_somebody_holds(patch: Patch) -> None:
    from twofold.backends.memory import read_store

    patch.setattr(read_store, "check_droppable", lambda table: None)


# ---- operators at once, rows that the store refuses, what is given up


@mutation("G5", among=["jump"], scenarios=[IN_THE_NOTEBOOK], first=88)
def what_was_folded_beside_a_row_that_is_refused_stays_parked(patch: Patch) -> None:
    without = unpark.without_refused

    async def all_of_it(*values: Any, **named: Any) -> Changes:
        return replaced(await without(*values, **named), unparked=())

    patch.setattr(unpark, "without_refused", all_of_it)


@mutation("G7 or G5", scenarios=[IN_THE_NOTEBOOK])
def what_comes_to_wait_in_a_page_waits_from_its_beginning(patch: Patch) -> None:
    def add(self: ParkedKeys, parked: Any) -> Any:
        for entry in parked:
            self.add(replaced(entry, position=BEGINNING))
        return self

    patch.setattr(ParkedKeys, "and_also", add)


@mutation("G5", among=["steal", "restart"], scenarios=[IN_THE_NOTEBOOK], first=607)
def what_waited_under_the_claim_before_waits_for_ever(patch: Patch) -> None:
    holding = Projector._holding

    async def _holding(self: Projector, claim: Claim, after: Position) -> Any:
        before = self._held
        held = await holding(self, claim, after)
        if before is not None and before is not held:
            held.parked = before.parked
        return held

    patch.setattr(Projector, "_holding", _holding)


@mutation("G5", scenarios=[IN_THE_NOTEBOOK], first=178)
def a_row_that_is_given_up_begins_again(patch: Patch) -> None:
    """Instead of staying as it was before the first event that waited."""
    discard = unpark.Unparking.discard

    async def anew(self: unpark.Unparking, chosen: Any, owner: str) -> Any:
        commit = self._store.commit

        async def without(table: Any, claim: Claim, after: Position, to: Position, changes: Changes) -> None:
            gone = {tuple(json.loads(one.key)): None for one in changes.unparked if one.kind == "row"}
            await commit(table, claim, after, to, replaced(changes, rows=gone))

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(self._store, "commit", without)
            return await discard(self, chosen, owner)

    patch.setattr(unpark.Unparking, "discard", anew)


# ---- partitions: one order for all readers, nothing of one partition counted in another


def on_four(
    breaks: str, among: Sequence[str] = (), scenarios: Sequence[Scenario] = SCENARIOS
) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """A defect of a log of four partitions."""
    return mutation(breaks, among, scenarios, partitions=4)


@on_four("G4", among=["crash", "restart"])
def reactors_read_beyond_the_newest_cut(patch: Patch) -> None:
    async def open_gate(self: Gated, after: Position) -> None:
        return None

    patch.setattr(Gated, "_gate", open_gate)


@on_four("G4")
def a_cut_takes_an_event_that_its_proposer_has_not_read(patch: Patch) -> None:
    next_cut = proposing.next_cut

    def beyond(vector: Any, pages: Any) -> Any:
        first, *others = next_cut(vector, pages)
        return (first + 1, *others)

    patch.setattr(proposing, "next_cut", beyond)


@on_four("G4")
def a_cut_does_not_demand_that_it_is_the_next_one(patch: Patch) -> None:
    commit = SimulatedLog.commit

    async def any_version(self: SimulatedLog, batch: Sequence[Append]) -> Any:
        if self.partition == 0:
            batch = [replaced(one, expected_version=None) for one in batch]
        return await commit(self, batch)

    patch.setattr(SimulatedLog, "commit", any_version)


@on_four("G4", scenarios=[IN_THE_DIRECTORY, IN_THE_OFFICE])
def cuts_that_are_read_at_once_are_ordered_as_one(patch: Patch) -> None:
    in_order = order.in_order

    def as_one(first: int, vectors: Any, parts: Any) -> Any:
        entries = in_order(first, vectors, parts)
        positions = [entry.position for entry in entries]
        by_stream = sorted(entries, key=lambda entry: entry.stream) if len(vectors) > 2 else entries
        return [replaced(entry, position=at) for entry, at in zip(by_stream, positions, strict=True)]

    patch.setattr(order, "in_order", as_one)


@on_four("G4")
def a_page_that_ends_within_a_cut_passes_the_whole_cut(patch: Patch) -> None:
    def upto(self: runs.Run, stop: int, after: Position, until: Position | None) -> Position:
        return order.end_of(order.place(self.entries[stop - 1].position)[0]) if stop else order.end_of(self.last)

    patch.setattr(runs.Run, "_upto", upto)


@on_four("G4", among=["jump"])
def a_clock_that_goes_back_reverses_its_partition(patch: Patch) -> None:
    patch.setattr(order, "_times", lambda entries: (entry.recorded_at for entry in entries))


@on_four("G6", scenarios=[IN_THE_WAREHOUSE, IN_THE_DIRECTORY])
def a_token_is_compared_with_the_checkpoint_of_another_partition(patch: Patch) -> None:
    def furthest(log: Feed, checkpoints: Sequence[Checkpoint], token: Token, places: Any) -> Checkpoint:
        best = max(checkpoints, key=lambda one: one.position.offset)
        partition = token.position.partition if best.follower.partition else 0
        at = Position(partition, best.position.offset)
        return replaced(best, follower=best.follower.in_partition(partition), position=at)

    patch.setattr(freshness, "_concerned", furthest)


@on_four("G6", scenarios=[IN_THE_WAREHOUSE, IN_THE_NOTEBOOK])
def a_merged_read_waits_for_the_cut_before(patch: Patch) -> None:
    first_reaching = Cuts.first_reaching

    async def one_before(self: Cuts, part: int, offset: int) -> int | None:
        found = await first_reaching(self, part, offset)
        return found and found - 1

    patch.setattr(Cuts, "first_reaching", one_before)


@on_four("G5 or G4 or G6")
def one_page_moves_the_checkpoints_of_all_partitions(patch: Patch) -> None:
    commit = MemoryReadStore.commit

    async def for_all(
        self: MemoryReadStore, table: Any, claim: Claim, after: Position, to: Position, c: Changes
    ) -> None:
        await commit(self, table, claim, after, to, c)
        for one in self._checkpoints.parts(claim.follower):
            at = Position(one.follower.partition, to.offset)
            self._checkpoints.rows[one.follower] = replaced(one, position=at)

    patch.setattr(MemoryReadStore, "commit", for_all)


@on_four("G5", scenarios=[IN_THE_WAREHOUSE, IN_THE_NOTEBOOK])
def each_partition_folds_the_rows_that_they_share(patch: Patch) -> None:
    patch.setattr(app_module, "partitions_of", lambda log, spread: list(partitions.feeds(log)))


@on_four("G8", among=["upgrade", "rebuild", "pause"])
def a_version_is_shown_that_has_come_as_far_in_one_partition(patch: Patch) -> None:
    from twofold.backends.memory import read_store

    whole = read_store.has_come_as_far

    def only_first(mine: Any, live: Any, covered: Any, lost: Any) -> bool:
        of_first = [[one for one in some if one.follower.partition in (0, 1)] for some in (mine, live)]
        return whole(*of_first, covered, lost)

    patch.setattr(read_store, "has_come_as_far", only_first)


@on_four("G8", among=["upgrade", "rebuild", "pause"], scenarios=[IN_THE_WAREHOUSE])
def what_every_partition_holds_counts_as_read(patch: Patch) -> None:
    """A version that follows each partition, in the place of one that follows the merged feed."""

    async def covered_by(self: Merged, positions: Sequence[Position]) -> Sequence[Position]:
        if positions[0].partition == 0:
            return [*positions, *[await part.head() for part in self._feeds.values()]]
        return [await self.head(), *positions]

    patch.setattr(Merged, "covered_by", covered_by)


@on_four("engine or G6", among=["away", "slow"], scenarios=[IN_THE_DIRECTORY])
def all_partitions_commit_together(patch: Patch) -> None:
    """Where one of them cannot be reached, the others wait."""
    append = Commits.append

    async def together(self: Commits, one: Append) -> Receipt:
        for part in partitions.feeds(self._log).values():
            await part.head()
        return await append(self, one)

    patch.setattr(Commits, "append", together)


@on_four("engine", scenarios=[IN_THE_WAREHOUSE])
def news_of_the_first_partition_alone_makes_a_cut(patch: Patch) -> None:
    has_news = proposing.Proposer.has_news

    async def of_first(self: proposing.Proposer, last: Any) -> bool:
        return await has_news(self, last) and (await self._feeds[1].head()).offset > last.vector[0]

    patch.setattr(proposing.Proposer, "has_news", of_first)


# ---- watchers


def in_small_steps(patch: Patch) -> None:
    """Pages, rounds and what may wait are small, so that a short history has several of each."""
    patch.setattr(watch, "SNAPSHOT_PAGE", 2)
    patch.setattr(feed, "LARGEST_PAGE", 2)
    patch.setattr(rounds, "NEAR_EVENTS", 1)
    patch.setattr(rounds, "KEYS_AT_ONCE", 2)
    patch.setattr(room, "PENDING_BYTES", 1_000)


@mutation("watchers")
def a_snapshot_has_the_token_of_its_last_page(patch: Patch) -> None:
    in_small_steps(patch)
    shows = OneWatcher.shows

    def of_last(self: OneWatcher, page: Any, begins: bool, token: Any) -> Any:
        return shows(self, page, begins, token and Standing(page.checkpoints, page.parked).token())

    patch.setattr(OneWatcher, "shows", of_last)


@mutation("watchers")
def who_joins_is_not_told_what_changed_since_its_token(patch: Patch) -> None:
    join = Rounds.join

    async def skipping(self: Rounds, one: Any, since: Any) -> bool:
        now = await self._standing()
        return await join(self, one, now.token() if now.follows(since) else since)

    patch.setattr(Rounds, "join", skipping)


@mutation("watchers")
def what_is_folded_after_it_was_parked_is_not_noticed(patch: Patch) -> None:
    patch.setattr(checkpoints, "new_generation", lambda: "1")
    patch.setattr(Standing, "_parked_until", lambda self, places: "00000000")


@mutation("watchers")
def rows_are_told_as_gone_to_those_who_never_saw_them(patch: Patch) -> None:
    merge = OneWatcher._merge

    def as_if_shown(self: OneWatcher, key: Any, values: Any, size: int) -> None:
        if self._shown is not None:
            self._shown.add(key)
        merge(self, key, values, size)

    patch.setattr(OneWatcher, "_merge", as_if_shown)


@mutation("watchers")
def a_row_that_leaves_the_conditions_is_not_told(patch: Patch) -> None:
    merge = OneWatcher._merge

    def of_matching(self: OneWatcher, key: Any, values: Any, size: int) -> None:
        if values is None or all(holds(values[place]) for place, holds in self._tests):
            merge(self, key, values, size)

    patch.setattr(OneWatcher, "_merge", of_matching)


@mutation("watchers")
def an_older_row_is_told_after_a_newer_one(patch: Patch) -> None:
    tell = rounds._Watchers.tell

    def late(self: Any, changed: Any) -> int:
        """Every second round comes after the next one."""
        held = vars(self).pop("held", None)
        if held is None:
            self.held = changed
            return 0
        return tell(self, changed) + tell(self, held)

    patch.setattr(rounds._Watchers, "tell", late)


@mutation("watchers")
def a_round_has_the_token_of_those_that_follow_it(patch: Patch) -> None:
    in_small_steps(patch)
    patch.setattr(Standing, "token", lambda self, places=None, token=Standing.token: token(self))
    patch.setattr(Standing, "follows", lambda self, token: token.generation == self.token().generation)


@mutation("watchers")
def what_does_not_wait_for_a_slow_watcher_is_forgotten(patch: Patch) -> None:
    in_small_steps(patch)
    take = OneWatcher.take

    def forgetting(self: OneWatcher, changed: Any) -> bool:
        return self.room.bytes < room.PENDING_BYTES // 2 and take(self, changed)

    patch.setattr(OneWatcher, "take", forgetting)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_defect_is_noticed(name: str) -> None:
    """In a history that breaks no promise without it."""
    of = MUTATIONS[name]
    with in_silence():
        with pytest.MonkeyPatch.context() as patch:
            of.patch(patch)
            seed = first_that_breaks(of)
        assert run(of.plan(seed)).violations == []


def first_that_breaks(of: Mutation) -> int:
    """The seed of the first history that breaks the promise, or a failure of the test."""
    first = []  # the first one may be a consequence: parts of an append can also let a conflict be reported wrongly
    for seed in range(of.first, of.first + MOST):
        if violations := run(of.plan(seed)).violations:
            first.append(worst(violations))
            if first[-1].promise in of.breaks.split(" or "):
                return seed
            if len(first) == FAILURES:
                break
    pytest.fail(f"not noticed as a breach of {of.breaks}: {first}")


def test_watchers_in_small_steps_are_told_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    in_small_steps(monkeypatch)
    run_histories(SCENARIOS, range(1, 1 + HISTORIES))
