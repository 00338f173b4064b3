"""Outcomes against what was expected of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devservers.cosmos_tests.expected import EXPECTED, LEAST_PASSED
from devservers.cosmos_tests.running import Outcome

TWIN = "_async"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a file, in a line, and what is wrong with that."""

    summary: str
    faults: list[str]


def judged(file: str, outcomes: Sequence[Outcome], whole: bool) -> Verdict:
    """`whole`: all tests of the file were run, so that each on the list must have failed."""
    base = file.removesuffix(".py").removesuffix(TWIN)
    expected = {name: reason for name, reason in EXPECTED.get(base, {}).items() if _concerns(name, file)}
    failed = {one.name: one for one in outcomes if one.outcome == "failed"}
    passed = [one for one in outcomes if one.outcome == "passed" and one.name not in failed]
    known = {name: _reason(name, expected) for name in failed}
    faults = [f"{name} failed: {failed[name].why}" for name, reason in known.items() if reason is None]
    if whole:
        faults += [f"{name} is on the list of failures, but did not fail" for name in _unmet(expected, failed)]
        least = LEAST_PASSED.get(file.removesuffix(".py"), 0)
        faults += [f"{len(passed)} passed, fewer than {least}"] if len(passed) < least else []
    summary = f"{file}: {len(passed)} passed, {len(failed)} failed, {len(failed) - len(_unknown(known))} as expected"
    return Verdict(f"{summary}, {sum(one.outcome == 'skipped' for one in outcomes)} skipped", faults)


def _unknown(known: dict[str, str | None]) -> list[str]:
    return [name for name, reason in known.items() if reason is None]


def _reason(name: str, expected: dict[str, str]) -> str | None:
    return expected.get(name) or expected.get(name.removesuffix(TWIN))


def _unmet(expected: dict[str, str], failed: dict[str, Outcome]) -> list[str]:
    names = {*failed, *(name.removesuffix(TWIN) for name in failed)}
    return [name for name in expected if name not in names]


def _concerns(name: str, file: str) -> bool:
    """Names that end in `_async` are for the twin alone; `EXPECTED` names the others without that ending."""
    return True
