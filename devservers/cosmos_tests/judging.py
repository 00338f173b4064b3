"""Outcomes against what was expected of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devservers.cosmos_tests.expected import EXPECTED, LEAST_PASSED, MAY_PASS
from devservers.cosmos_tests.running import Outcome

TWIN = "_async"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a file: a line that sums it up, the failures with their known reasons, and what is wrong."""

    summary: str
    known: list[str]
    faults: list[str]


def judged(file: str, outcomes: Sequence[Outcome], whole: bool) -> Verdict:
    """`whole`: all tests of the file were run, so that enough of them must have passed."""
    name = file.removesuffix(".py")
    reasons = EXPECTED.get(name, EXPECTED.get(name.removesuffix(TWIN), {}))
    failed = {one.name: one for one in outcomes if one.outcome == "failed"}
    passed = [one for one in outcomes if one.outcome == "passed" and one.name not in failed]
    skipped = [one for one in outcomes if one.outcome == "skipped"]
    known = [f"{test}: {reason}" for test in failed if (reason := _reason(test, reasons)) is not None]
    faults = [f"{test} failed: {one.why}" for test, one in failed.items() if _reason(test, reasons) is None]
    faults += [f"{one.name} passes now: take it off the list" for one in passed if _must_fail(one.name, reasons)]
    least = LEAST_PASSED.get(name, 1)
    if whole and len(passed) < least:
        faults.append(f"{len(passed)} passed, fewer than {least}")
    counts = f"{len(passed)} passed, {len(known)} failed as expected, {len(skipped)} skipped"
    return Verdict(f"{file}: {counts}{f', {len(faults)} WRONG' if faults else ''}", known, faults)


def _reason(test: str, reasons: dict[str, str]) -> str | None:
    return reasons.get(test.removesuffix(TWIN))


def _must_fail(test: str, reasons: dict[str, str]) -> bool:
    reason = _reason(test, reasons)
    return reason is not None and reason not in MAY_PASS
