"""Reads: what clients got for `get` and `find`, and for verifying."""

from __future__ import annotations

from twofold.errors import InvalidToken, ReadModelBehind, RowParked, Unavailable
from twofold.messages import Token
from twofold.read.proof.verify import Report
from twofold.read.query import Page
from twofold.testing.simulation.attempts import Attempt
from twofold.testing.simulation.clients import Verify
from twofold.testing.simulation.invariants.evidence import Evidence, token_of
from twofold.testing.simulation.invariants.moments import Moments
from twofold.testing.simulation.knowledge import BEYOND
from twofold.testing.simulation.server import Unanswered


class Reads:
    """Checks each read by itself."""

    def __init__(self, evidence: Evidence) -> None:
        self.history, self.broken = evidence.history, evidence.broken
        plan = evidence.plan
        self.one_way = not (plan.cures or plan.gives_up)  # otherwise one position is seen in several ways
        self.courses, self.watcher = evidence.courses, evidence.watcher

    def a_read(self, attempt: Attempt) -> None:
        """The rows are those of some position at or after the token, or the error says why not (G6)."""
        outcome, token = attempt.outcome, token_of(attempt)
        if token is not None and (token.log_id != self.history.log_id or token.position.offset >= BEYOND):
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

    def _behind(self, attempt: Attempt, token: Token | None) -> None:
        wait_s, took_s = attempt.asked.wait_s, attempt.ended_s - attempt.began_s
        if token is None or took_s < wait_s:
            self.broken("G6", f"{attempt.label}: {attempt.outcome}, after {took_s:.3f} s")

    def a_verification(self, asked: Verify, report: Report) -> None:
        """Nothing was wrong, so no difference may be found (G9)."""
        if not report.equal and self.one_way:
            found = (*report.differences, *report.failures, *report.faults)
            self.broken("G9", f"{asked.projection} was verified, which found {found!r:.500}")
