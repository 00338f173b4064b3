"""What must hold once a history has come to rest: the promises G1 to G11, judged by what clients got."""

from __future__ import annotations

from twofold.errors import TwofoldError
from twofold.read.proof.verify import Report
from twofold.testing.simulation.attempts import Attempt
from twofold.testing.simulation.clients import AppendTwo, Execute, Read
from twofold.testing.simulation.history import History
from twofold.testing.simulation.invariants.evidence import Evidence
from twofold.testing.simulation.invariants.in_time import InTime
from twofold.testing.simulation.invariants.log import Log
from twofold.testing.simulation.invariants.models import Models
from twofold.testing.simulation.invariants.reads import Reads
from twofold.testing.simulation.invariants.writes import Writes
from twofold.testing.simulation.server import Unanswered
from twofold.testing.simulation.violations import ENGINE


def check(history: History) -> None:
    """Add broken promises to `history.violations`."""
    evidence = Evidence(history)
    log, writes, reads, in_time = Log(evidence), Writes(evidence), Reads(evidence), InTime(evidence)
    log.what_is_stored_is_there_once()
    for attempt in evidence.attempts:
        in_time.an_attempt(attempt)
        _check_attempt(attempt, writes, reads)
    writes.the_same_id_gets_the_same_answer()
    if not history.plan.splits:  # there each append is a task of its own, and this loop starts tasks in any order
        writes.two_appends()
    log.the_feed()
    if history.plan.partitions > 1:
        log.the_merged_feed()
    models = Models(evidence)
    models.read_models()
    models.what_the_app_says()


def _check_attempt(attempt: Attempt, writes: Writes, reads: Reads) -> None:
    if isinstance(attempt.asked, Execute | AppendTwo):
        writes.a_write(attempt)
    elif isinstance(attempt.asked, Read):
        if reads.one_way:
            reads.a_read(attempt)
    elif isinstance(attempt.outcome, Report):
        reads.a_verification(attempt.asked, attempt.outcome)
    elif isinstance(attempt.outcome, tuple):
        writes.a_load(attempt)
    elif isinstance(attempt.outcome, Exception) and not isinstance(attempt.outcome, TwofoldError | Unanswered):
        reads.broken(ENGINE, f"{attempt.asked} raised {attempt.outcome!r}")
