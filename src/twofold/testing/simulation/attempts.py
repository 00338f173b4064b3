"""The requests of clients and their outcomes: the record that the checks work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twofold.errors import OutcomeUnknown
from twofold.feed.unparking import Unparked
from twofold.messages import Receipt, Token
from twofold.read.proof.verify import Report
from twofold.read.query import Page
from twofold.testing.simulation.server import Unanswered
from twofold.write.decider import Done

STILL_WAITING = Unanswered("the history ended before the answer")


@dataclass
class Attempt:
    """One request to one process, with the version of its stream in the store as it began and ended, and how many
    events each feed had then."""

    asked: Any
    label: str
    stream: str
    process: str
    began_s: float
    version_before: int
    command_id: str | None = None
    expected: int | None = None
    token: Token | str | None = None
    key: Any = None
    outcome: Any = STILL_WAITING
    ended_s: float = 0.0
    lengths_before: Mapping[int, int] = field(default_factory=dict)
    lengths_after: Mapping[int, int] = field(default_factory=dict)
    version_after: int = 0

    @property
    def unknown(self) -> bool:
        """Whether the client cannot know the outcome."""
        return isinstance(self.outcome, Unanswered | OutcomeUnknown)

    @property
    def answered(self) -> bool:
        """Whether it was done and the client knows."""
        return isinstance(self.outcome, Done | Receipt)


def told(outcome: Any) -> str:
    """An outcome in words."""
    match outcome:
        case Done(receipt, state):
            return f"{told(receipt)}; now it is {state!r}"
        case Receipt(_, version, events, position, _, _, repeated):
            again = ", as the first time" if repeated else ""
            return f"version {version}, {events} event{'s' * (events != 1)} up to {position}{again}"
        case Page(rows, _, parked):
            return f"{', '.join(map(repr, rows)) or 'no rows'}; {parked} parked"
        case Unparked(done, again, events):
            return f"{events} events handled, {len(done)} unparked, {len(again)} parked again"
        case Report():
            return f"{outcome.rows} rows {'equal' if outcome.equal else 'differ from'} a fresh fold"
        case Exception():
            return f"{type(outcome).__name__}: {outcome}"
        case _:
            return repr(outcome)
