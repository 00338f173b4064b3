"""Writes: what clients got for their commands and appends, and for loads of the write model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold.errors import Rejected, Unavailable, VersionConflict
from twofold.kept import own
from twofold.messages import Entry, Receipt
from twofold.testing.simulation.attempts import Attempt
from twofold.testing.simulation.clients import AppendTwo
from twofold.testing.simulation.invariants.evidence import Evidence
from twofold.write.decider import Done


class Writes:
    """Checks each request by itself, and those with the same id together."""

    def __init__(self, evidence: Evidence) -> None:
        self.app, self.attempts, self.broken = evidence.app, evidence.attempts, evidence.broken
        self.streams, self.metas, self.same = evidence.streams, evidence.metas, evidence.courses.same

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
        if receipt.version > len(entries) or (own and not self.same(own[-1].position, receipt.position)):
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
            if receipts != sorted(receipts, key=lambda receipt: receipt.position.offset):
                self.broken("G2", f"client {number} sent two appends, but the second was stored first: {receipts!r}")

    def a_load(self, attempt: Attempt) -> None:
        """The write model at some moment of the request."""
        state, version = attempt.outcome
        states = self.streams.states(attempt.stream)
        if not attempt.version_before <= version <= attempt.version_after or states[version] != state:
            self.broken("G2", f"{attempt.label} loaded {state!r} at version {version} of {attempt.stream}")


def _receipt(attempt: Attempt) -> Receipt:
    receipt: Receipt = attempt.outcome.receipt if isinstance(attempt.outcome, Done) else attempt.outcome
    return receipt


def _answer(attempt: Attempt) -> Any:
    receipt = _receipt(attempt)
    place = (receipt.version, receipt.events, receipt.position.offset, receipt.log_id)
    return (*place, attempt.outcome.state, attempt.outcome.events) if isinstance(attempt.outcome, Done) else place
