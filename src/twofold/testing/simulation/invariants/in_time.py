"""Where nothing goes wrong, clients are served in time."""

from __future__ import annotations

from twofold.errors import LeaseLost, OutcomeUnknown, Unavailable
from twofold.testing.simulation.attempts import Attempt
from twofold.testing.simulation.clients import Execute, Read
from twofold.testing.simulation.invariants.evidence import Evidence, token_of
from twofold.testing.simulation.operators import Retry
from twofold.testing.simulation.parts import name_of_part
from twofold.testing.simulation.server import Unanswered
from twofold.testing.simulation.violations import ENGINE

IN_TIME_S = 1.0


class InTime:
    """Checks calm histories, and in others the requests that need nothing to which something happens."""

    def __init__(self, evidence: Evidence) -> None:
        self.history, self.plan, self.broken = evidence.history, evidence.plan, evidence.broken
        self.courses, self.watcher, self.held_up = evidence.courses, evidence.watcher, evidence.plan.held_up

    def an_attempt(self, attempt: Attempt) -> None:
        """Check it if nothing has held it up."""
        if self.plan.is_calm or (self.held_up and self._concerns_others(attempt)):
            self._in_calm(attempt)

    def _concerns_others(self, attempt: Attempt) -> bool:
        """Whether the request needs none of the parts that are held up."""
        asked, of_rows = attempt.asked, []
        if isinstance(asked, Read):
            if attempt.key is None or len(self.watcher.feeds_of(asked.projection)) == 1:
                return False
            token = token_of(attempt)
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
        splits = self.history.counts["partitions split"]  # each hands over every checkpoint of a partition
        if took_s > getattr(attempt.asked, "wait_s", 0.0) + IN_TIME_S * (1 + splits):
            self.broken("G6", f"nothing was wrong, but {attempt.label} had to wait for {took_s:.3f} s")
