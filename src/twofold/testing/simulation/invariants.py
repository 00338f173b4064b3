"""What must hold once a history has come to rest: the promises G1 to G11, judged by what clients got."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twofold.errors import (
    InvalidToken,
    LeaseLost,
    OutcomeUnknown,
    ReadModelBehind,
    Rejected,
    RowParked,
    Unavailable,
    VersionConflict,
)
from twofold.kept import own
from twofold.messages import Entry, Position, Receipt, Token
from twofold.read.projection import Projection
from twofold.read.proof.verify import Report
from twofold.read.query import Page
from twofold.testing.simulation.attempts import Attempt
from twofold.testing.simulation.clients import AppendTwo, Execute, Read, Verify
from twofold.testing.simulation.courses import BITS
from twofold.testing.simulation.faults import Lose, Pause, Slow
from twofold.testing.simulation.history import History
from twofold.testing.simulation.moments import Moments
from twofold.testing.simulation.operators import Retry
from twofold.testing.simulation.oracle import Fold, Streams
from twofold.testing.simulation.parts import name_of_part
from twofold.testing.simulation.server import Unanswered
from twofold.testing.simulation.watch import ENGINE, difference
from twofold.write.decider import Done

IN_TIME_S = 1.0
NOTICED_IN_CALM_S = 0.05  # the first cut, unknown to a reactor that has just looked for one
NOTICED_WITHIN_S = 20.0  # and to one whose process is paused, after a late request


def check(history: History) -> None:
    """Add broken promises to `history.violations`."""
    _Checking(history).all()


class _Checking:
    """One history, at rest."""

    def __init__(self, history: History) -> None:
        self.history, self.plan, self.broken = history, history.plan, history.broken
        self.app, self.attempts, self.watcher = history.world.app, history.world.attempts, history.watcher
        self.courses, self.held_up = history.courses, self.plan.held_up
        self.entries: Sequence[Entry] = [entry for entries in history.entries.values() for entry in entries]
        self.streams = Streams(self.app, self.entries)
        self.positions = {(entry.stream, entry.version): entry.position for entry in self.entries}
        self.metas = {entry.position: self.app.codec.recorded(entry) for entry in self.entries}

    def all(self) -> None:
        """Check each promise in turn."""
        self.what_is_stored_is_there_once()
        for attempt in self.attempts:
            self.an_attempt(attempt)
        self.the_same_id_gets_the_same_answer()
        self.two_appends()
        self.the_feed()
        if self.plan.partitions > 1:
            _the_merged_feed(self)
        self.read_models()
        self.what_the_app_says()

    def an_attempt(self, attempt: Attempt) -> None:
        """Check a client's request and its outcome."""
        if self.plan.is_calm or (self.held_up and self._concerns_others(attempt)):
            self._in_calm(attempt)
        if isinstance(attempt.asked, Execute | AppendTwo):
            self.a_write(attempt)
        elif isinstance(attempt.asked, Read):
            if not (self.plan.cures or self.plan.gives_up):  # otherwise one position is seen in several ways
                self.a_read(attempt)
        elif isinstance(attempt.outcome, Report):
            self.a_verification(attempt.asked, attempt.outcome)
        elif isinstance(attempt.outcome, tuple):
            self.a_load(attempt)

    def _concerns_others(self, attempt: Attempt) -> bool:
        """Whether the request needs none of the parts that are held up."""
        asked, of_rows = attempt.asked, []
        if isinstance(asked, Read):
            if attempt.key is None or len(self.watcher.feeds_of(asked.projection)) == 1:
                return False
            token = self._token(attempt)
            of_rows = [self.courses.partition_of(str(attempt.key[0])), *([token.position.partition] if token else [])]
        elif not attempt.stream:
            return False
        concerned = of_rows or [self.courses.partition_of(attempt.stream.partition("-")[2])]
        others = not self.held_up & {name_of_part(number, self.plan.partitions) for number in concerned}
        self.history.counts["requests beside parts that are held up"] += others
        return others

    def _in_calm(self, attempt: Attempt) -> None:
        """If nothing goes wrong, every client gets a response in time."""
        outcome, took_s = attempt.outcome, attempt.ended_s - attempt.began_s
        left = isinstance(attempt.asked, Execute) and attempt.asked.cancelled_after_s is not None
        overtaken = isinstance(attempt.asked, Retry) and isinstance(getattr(outcome, "__cause__", None), LeaseLost)
        if isinstance(outcome, Unavailable | OutcomeUnknown | Unanswered) and not (left or overtaken):
            self.broken(ENGINE, f"nothing was wrong, but {attempt.label} got {outcome!r}")
        if took_s > getattr(attempt.asked, "wait_s", 0.0) + IN_TIME_S:
            self.broken("G6", f"nothing was wrong, but {attempt.label} had to wait for {took_s:.3f} s")

    # ---- the log

    def the_feed(self) -> None:
        """Positions and versions have no gaps; the reader that followed the feed saw everything, in order (G4)."""
        for partition, entries in self.history.entries.items():
            for offset, entry in enumerate(entries, start=1):
                if entry.position != Position(partition, offset):
                    self.broken("G4", f"the feed has {entry.position} instead of {partition}:{offset}")
        for stream, entries in self.streams.entries.items():
            versions = [entry.version for entry in entries]
            if versions != list(range(1, len(versions) + 1)):
                self.broken("G4", f"{stream} has versions {versions}")
        for reader in self.history.readers:
            end = None if self.history.ends is None else self.history.ends[reader.partition]
            seen = [(e.position.offset, e.stream, e.version) for e in reader.seen[:end]]
            there = [(e.position.offset, e.stream, e.version) for e in self.courses[reader.partition].entries[:end]]
            if seen != there:
                self.broken("G4", f"{reader} saw {_first_other(seen, there)}, as in the log; then they differ")

    def what_is_stored_is_there_once(self) -> None:
        """The events of one command id on one stream are adjacent and come from one request (G1, G3)."""
        last: dict[tuple[str, str], tuple[Position, str | None]] = {}
        for position, recorded in self.metas.items():
            name = (str(recorded.stream), recorded.command_id)
            before = last.get(name)
            right_before = Position(position.partition, position.offset - 1)
            if before is not None and before != (right_before, recorded.actor):
                self.broken(
                    "G3", f"the events of {recorded.command_id} on {name[0]} were stored twice, again at {position}"
                )
            last[name] = (position, recorded.actor)

    # ---- what clients got

    def a_write(self, attempt: Attempt) -> None:
        """Acknowledged events are stored as acknowledged; refused ones are not (G1, G2, G10)."""
        stored = self._stored(attempt)
        outcome = attempt.outcome
        if attempt.answered:
            self._acknowledged(attempt, stored)
        elif stored and not attempt.unknown:
            self.broken("G1", f"{attempt.label} was refused ({outcome!r}), but its events are in {attempt.stream}")
        if isinstance(outcome, VersionConflict):
            self._conflict(attempt, outcome)
        elif isinstance(outcome, Rejected):
            self._rejected(attempt)
        elif not (attempt.answered or attempt.unknown or isinstance(outcome, Unavailable)):
            self.broken("the App", f"{attempt.asked} raised {outcome!r}")

    def _stored(self, attempt: Attempt) -> list[Entry]:
        entries = self.streams.entries.get(attempt.stream, [])
        return [entry for entry in entries if self.metas[entry.position].actor == attempt.label]

    def _acknowledged(self, attempt: Attempt, stored: Sequence[Entry]) -> None:
        done = attempt.outcome
        receipt: Receipt = done.receipt if isinstance(done, Done) else done
        entries = self.streams.entries.get(attempt.stream, [])
        first = receipt.version - receipt.events
        own = entries[first : receipt.version]
        if len(own) < receipt.events or (own and own[-1].position != receipt.position):
            self.broken("G1", f"{attempt.label} got {receipt!r}, but {attempt.stream} has {len(entries)} events")
            return
        if [e.position for e in stored] != [e.position for e in own] and not receipt.repeated:
            self.broken("G1", f"{attempt.label} got {receipt!r}, but its events are {stored!r}")
        if attempt.expected is not None and first != attempt.expected and not receipt.repeated:
            self.broken("G2", f"{attempt.label} expected version {attempt.expected}, but was stored after {first}")
        if isinstance(done, Done):
            self._decided(attempt, done, first)

    def _decided(self, attempt: Attempt, done: Done[Any, Any], before: int) -> None:
        """The events are what `decide` returns for the state before them, and the state is the one after them."""
        states, events = self.streams.states(attempt.stream), self.streams.events(attempt.stream)
        after = done.receipt.version
        if done.state != states[after] or list(done.events) != events[before:after]:
            self.broken("G3", f"{attempt.label} got {done!r}; at version {after} it is {states[after]!r}")
        to = attempt.asked.to
        if not done.receipt.repeated and self._decide(to, states[before]) != list(done.events):
            decided = self._decide(to, states[before])
            self.broken("G2", f"{attempt.label} stored {done.events!r}; in that state `decide` returns {decided!r}")

    def _decide(self, to: Any, state: Any) -> Any:
        try:
            return [self.app.codec.encode(event).event for event in to.decider.to_record(to.command, own(state))]
        except Exception as error:  # decide may raise anything
            return error

    def _conflict(self, attempt: Attempt, conflict: VersionConflict) -> None:
        there = attempt.version_before <= conflict.actual <= attempt.version_after
        as_asked = attempt.expected is None or conflict.expected == attempt.expected
        if not there or not as_asked or conflict.expected == conflict.actual:
            span = f"{attempt.version_before} to {attempt.version_after}"
            self.broken("G2", f"{attempt.label} got {conflict}; the stream was at version {span} then")

    def _rejected(self, attempt: Attempt) -> None:
        """It was true at some moment of the request."""
        states = self.streams.states(attempt.stream)[attempt.version_before : attempt.version_after + 1]
        if not any(isinstance(self._decide(attempt.asked.to, state), Rejected) for state in states):
            self.broken("G2", f"{attempt.label} was rejected ({attempt.outcome}), but no state at that time rejects it")

    def the_same_id_gets_the_same_answer(self) -> None:
        """Whatever the current state, and whatever the expected version (G3)."""
        by_id: dict[tuple[str, str], list[Attempt]] = {}
        for attempt in self.attempts:
            if attempt.command_id is not None:
                by_id.setdefault((attempt.stream, attempt.command_id), []).append(attempt)
        for (stream, command_id), attempts in by_id.items():
            answered = sorted((a for a in attempts if a.answered), key=lambda a: a.ended_s)
            for attempt in answered:
                if _answer(attempt) != _answer(answered[0]):
                    text = f"{_answer(answered[0])!r} and {_answer(attempt)!r}"
                    self.broken("G3", f"{command_id} on {stream} had two outcomes: {text}")
            if sum(not _receipt(a).repeated for a in answered) > 1:
                self.broken("G3", f"{command_id} on {stream} was done twice")
            for attempt in attempts:
                refused = isinstance(attempt.outcome, VersionConflict | Rejected)
                if refused and answered and answered[0].ended_s < attempt.began_s:
                    self.broken("G3", f"{command_id} on {stream} was done, but later refused: {attempt.outcome!r}")

    def two_appends(self) -> None:
        """Of two appends sent right after each other, the first is stored first (G2)."""
        stored: dict[int, list[Receipt]] = {}
        for attempt in self.attempts:
            done = isinstance(attempt.asked, AppendTwo) and isinstance(attempt.outcome, Receipt)
            if done and not attempt.outcome.repeated:
                stored.setdefault(attempt.asked.number, []).append(attempt.outcome)
        for number, receipts in stored.items():
            if receipts != sorted(receipts, key=lambda receipt: receipt.position):
                self.broken("G2", f"client {number} sent two appends, but the second was stored first: {receipts!r}")

    # ---- reads

    def a_load(self, attempt: Attempt) -> None:
        """The write model at some moment of the request."""
        state, version = attempt.outcome
        states = self.streams.states(attempt.stream)
        if not attempt.version_before <= version <= attempt.version_after or states[version] != state:
            self.broken("G2", f"{attempt.label} loaded {state!r} at version {version} of {attempt.stream}")

    def a_read(self, attempt: Attempt) -> None:
        """The rows are those of some position at or after the token, or the error says why not (G6)."""
        outcome, token = attempt.outcome, self._token(attempt)
        if token is not None and (token.log_id != self.history.log_id or token.position.offset > 500_000):
            if not isinstance(outcome, InvalidToken | Unavailable | Unanswered):
                self.broken("G6", f"{attempt.label}: {attempt.asked} returned {outcome!r}")
            return
        if isinstance(outcome, Unavailable | Unanswered):
            return
        moments = Moments(self.courses, self.watcher, attempt, token)
        if moments.token_is_beyond:
            self.broken("G6", f"{attempt.label}: its token {token} is beyond the end of the log")
        elif isinstance(outcome, ReadModelBehind):
            self._behind(attempt, token)
        elif isinstance(outcome, RowParked):
            if not moments.waits():
                self.broken("G7", f"{attempt.label}: {outcome}, but it is not")
        elif isinstance(outcome, Page):
            if (closest := moments.differ_from(outcome)) is not None:
                self.broken("G6", f"{attempt.label}: no moment since the token has these rows: {closest}")
        elif isinstance(outcome, Exception):
            self.broken("the App", f"{attempt.asked} raised {outcome!r}")
        elif not moments.have(outcome):
            self.broken("G6", f"{attempt.label}: row {attempt.key!r} was never {outcome!r} since {token}, nor parked")

    def _token(self, attempt: Attempt) -> Token | None:
        return Token.parse(attempt.token) if isinstance(attempt.token, str) else attempt.token

    def _behind(self, attempt: Attempt, token: Token | None) -> None:
        wait_s, took_s = attempt.asked.wait_s, attempt.ended_s - attempt.began_s
        if token is None or took_s < wait_s:
            self.broken("G6", f"{attempt.label}: {attempt.outcome}, after {took_s:.3f} s")

    def a_verification(self, asked: Verify, report: Report) -> None:
        """Nothing was wrong, so no difference may be found (G9)."""
        if not (report.equal or self.plan.cures or self.plan.gives_up):
            found = (*report.differences, *report.failures, *report.faults)
            self.broken("G9", f"{asked.projection} was verified, which found {found!r:.500}")

    # ---- at the end

    def read_models(self) -> None:
        """Folded again, the feed gives the same rows (G9), and no more than the App allows is parked."""
        storage = self.history.storage
        for projection in self.app.projections:
            for (name, number), along in self.watcher.folds.items():
                if name == projection.name:
                    self._folded_again(projection, along, number)
            for follows, checkpoint in storage.row_checkpoints.rows.items():
                if follows.name == projection.name and follows.whole in storage.in_rows.tables:
                    self.watcher.check_table(follows, checkpoint.position)
        reactors = {reactor.name: reactor for reactor in self.app.reactors}
        for follows, checkpoint in storage.log_checkpoints().items():
            if reactors[follows.name].start == "beginning" and self.plan.log_becomes is None:
                self.watcher.check_reactions(
                    reactors[follows.name], Position(follows.partition, 0), checkpoint.position
                )
        for follows, waiting in storage.log_waiting().items():
            self.history.counts["streams parked"] += len(waiting)
            for one in waiting.values():
                if not self.plan.scenario.may_park:
                    self.broken("the App", f"reactor {follows.name} parked {one.key} at {one.position}: {one.error}")

    def _folded_again(self, projection: Projection[Any], along: Fold, partition: int) -> None:
        fresh = Fold(projection, self.app, self.watcher.refuses).take(self.courses[partition].entries)
        if fresh.tables[-1] != along.tables[-1] and not self.plan.cures:
            text = difference(fresh.tables[-1], along.tables[-1])
            self.broken("G9", f"{projection.name}, folded a second time, has other rows: {text}")
        if partition in self.watcher.feeds_of(projection.name):
            self.history.counts["keys parked"] += len(fresh.parked[-1])
            if fresh.parked[-1] and not self.plan.scenario.may_park:
                self._parked(projection)

    def _parked(self, projection: Projection[Any]) -> None:
        for one in self.history.storage.row_checkpoints.all_parked(projection.follows):
            self.broken("the App", f"{projection.name} parked {one.kind} {one.key} at {one.position}: {one.error}")

    def what_the_app_says(self) -> None:
        """The scenario's own conditions, for every state of every stream and every row that ever existed."""
        for of, holds in self.plan.scenario.always.items():
            for where, value in self._values(of):
                if not _true(holds, value):
                    self.broken("always", f"{where} is {value!r}")
                    break

    def _values(self, of: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(of, Projection):
            for number in self.watcher.feeds_of(of.name):
                for at, table in enumerate(self.watcher.folds[of.name, number].tables):
                    for key, values in table.items():
                        yield f"row {key!r} of {of.name} at {number}:{at}", of.format.from_values(values)
            return
        for stream in self.streams.entries:
            if stream.partition("-")[0] == of.category:
                for version, state in enumerate(self.streams.states(stream)):
                    yield f"{stream} at version {version}", state


def _true(holds: Callable[[Any], bool], value: Any) -> bool:
    return bool(holds(value))


def _receipt(attempt: Attempt) -> Receipt:
    receipt: Receipt = attempt.outcome.receipt if isinstance(attempt.outcome, Done) else attempt.outcome
    return receipt


def _answer(attempt: Attempt) -> Any:
    receipt = _receipt(attempt)
    place = (receipt.version, receipt.events, receipt.position, receipt.log_id)
    return (*place, attempt.outcome.state, attempt.outcome.events) if isinstance(attempt.outcome, Done) else place


def _the_merged_feed(checking: _Checking) -> None:
    """Its cuts take every event once (G4). What follows from an event lies in a later cut, once there was one that
    the reactor had to know of."""
    merged = {(entry.stream, entry.version): entry for entry in checking.courses[0].entries}
    slow = any(isinstance(step.does, Slow | Lose | Pause) for step in checking.plan.steps)
    since_s = checking.watcher.first_cut_at + (NOTICED_WITHIN_S if slow else NOTICED_IN_CALM_S)
    for entry in checking.entries:
        cause = _cause(checking, checking.metas[entry.position].causation_id)
        if cause is None or checking.watcher.appended_at[checking.positions[cause]] < since_s:
            continue
        before, after = merged.get(cause), merged.get((entry.stream, entry.version))
        if after is not None and (before is None or _cut(before) >= _cut(after)):
            text = f"{entry.stream}@{entry.version} followed from {cause[0]}@{cause[1]}"
            checking.broken("G4", f"{text}, and lies in cut {_cut(after)}: it is not in a later one")


def _cause(checking: _Checking, id: str | None) -> tuple[str, int] | None:
    stream, _, version = (id or "").rpartition("@")
    cause = (stream, int(version)) if version.isdecimal() else None
    return cause if cause in checking.positions else None


def _cut(entry: Entry) -> int:
    return entry.position.offset >> BITS


def _first_other(seen: Sequence[Any], there: Sequence[Any]) -> Any:
    same = 0
    while same < min(len(seen), len(there)) and seen[same] == there[same]:
        same += 1
    return f"{same} events of {len(there)} ({len(seen)} in all; {seen[same : same + 1]}, not {there[same : same + 1]})"
