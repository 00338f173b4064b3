"""One run: plants defects one after the other, and writes what became of each as soon as it is known."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mutants.copy import KEPT, TESTS, Copy, hash_of
from mutants.defect import Defect, DoesNotApply
from mutants.likely import UNKNOWN_S, Likely
from mutants.lists import Result, harmless
from mutants.trial import Nursery, Outcome, files_of

JOURNAL = KEPT / "journal.jsonl"
FRESH_FILES = 3
SIMULATED = ("src/twofold/feed/", "src/twofold/read/", "src/twofold/react/", "src/twofold/write/", "src/twofold/app.py")
SIMULATED_STORES = ("src/twofold/backends/memory/", "src/twofold/backends/partitioned/")

Changes = Mapping[str, tuple[str, str]]


class Effort(msgspec.Struct, frozen=True):
    """How much is tried on one defect: seconds of tests, as noted, a third of them likely ones; then histories.

    Tests whose name contains one of `first` run before all others.
    """

    tests_s: float = 60.0
    histories: int = 60
    first: tuple[str, ...] = ()


class Run:
    """Resumes where the last one ended: what was noticed is not repeated, unless its file has changed."""

    def __init__(self, copy: Copy, server: str, notes: Path, effort: Effort) -> None:
        self._copy, self._server, self._effort = copy, server, effort
        self._nursery = Nursery(copy, server)
        self._likely = Likely(notes, self._nursery.tests)
        self._innocent: set[str] = set()
        self._tests, self._harmless = hash_of(TESTS), harmless()
        self._known = {result.defect.name: result for result in journal()}
        for result in self._known.values():
            if result.by:
                self._likely.has_noticed(result.defect, result.by)

    @property
    def tests(self) -> int:
        """How many tests were collected."""
        return len(self._nursery.tests)

    def results(self, defects: Sequence[Defect], until: float) -> Iterator[Result]:
        """Yield the result of each, until the clock says `until`."""
        for defect in defects:
            known = self._known.get(defect.name)
            if known is not None and self._holds(known):
                yield known
            elif time.monotonic() < until:
                yield self._tried(defect)

    def _holds(self, known: Result) -> bool:
        is_settled = known.by is not None or known.defect.name in self._harmless or known.tests == self._tests
        return is_settled and known.source == _hash(self._copy.root / known.defect.file)

    def _tried(self, defect: Defect) -> Result:
        began = time.monotonic()
        source, date = _hash(self._copy.root / defect.file), f"{datetime.now(UTC):%Y-%m-%d}"
        try:
            with self._copy.planted(defect) as changes:
                outcome = self._outcome(defect, changes)
        except DoesNotApply:
            outcome = None
        if outcome is None:
            result = Result(defect, source, self._tests, date, absent=True)
        else:
            seconds = round(time.monotonic() - began, 1)
            of = outcome.by, outcome.hung, False, outcome.tests, seconds
            result = Result(defect, source, self._tests, date, *of)
            if outcome.by and outcome.by in self._nursery.tests:
                self._likely.has_noticed(defect, outcome.by)
        with JOURNAL.open("ab") as journal:
            journal.write(msgspec.json.encode(result) + b"\n")
        return result

    def _outcome(self, defect: Defect, changes: Changes) -> Outcome:
        """Run the likely tests, then others, then the simulator, until one notices."""
        [(before, _)] = changes.values()
        chosen = [test for test in self._nursery.tests if any(part in test for part in self._effort.first)]
        order = list(dict.fromkeys([*chosen, *self._likely.of(defect, before)]))
        first, second = self._within(order, self._effort.tests_s / 3, self._effort.tests_s * 2 / 3)
        nursery, changed = self._nursery, changes
        outcome = self._run(nursery, changed, first, 0)
        if not outcome.refused:
            return self._others(nursery, changed, defect, second, outcome)
        nursery, changed = Nursery(self._copy, self._server, files_of(order, FRESH_FILES)), {}
        try:
            if not nursery.tests:
                return Outcome("collection of the tests")
            return self._others(nursery, changed, defect, second, self._run(nursery, changed, first, 0))
        finally:
            nursery.close()

    def _others(
        self, nursery: Nursery, changes: Changes, defect: Defect, tests: Sequence[str], outcome: Outcome
    ) -> Outcome:
        if outcome.by is not None:
            return outcome
        is_simulated = defect.file.startswith(SIMULATED + SIMULATED_STORES)
        after = self._run(nursery, changes, tests, self._effort.histories if is_simulated else 0)
        return msgspec.structs.replace(after, tests=outcome.tests + after.tests)

    def _run(self, nursery: Nursery, changes: Changes, tests: Sequence[str], histories: int) -> Outcome:
        """Until one fails that does not fail without the defect as well."""
        total, seconds = 0, self._likely.seconds
        while True:
            outcome = nursery.run(changes, tests, seconds, histories)
            total += outcome.tests
            if outcome.by is None or outcome.refused or self._is_innocent(outcome.by):
                return msgspec.structs.replace(outcome, tests=total)
            tests = tests[tests.index(outcome.by) + 1 :]

    def _is_innocent(self, test: str) -> bool:
        """Whether a test passes without a defect."""
        if test in self._nursery.tests and test not in self._innocent:
            with self._copy.mended():
                if self._nursery.run({}, [test], self._likely.seconds).by is not None:
                    self._likely.failing.add(test)
                    return False
            self._innocent.add(test)
        return True

    def _within(self, order: Sequence[str], *budgets_s: float) -> Sequence[Sequence[str]]:
        """Cut the order into parts that take so long."""
        parts: list[list[str]] = [[] for _ in budgets_s]
        tests = iter(order)
        for part, budget_s in zip(parts, budgets_s, strict=True):
            left_s = budget_s
            while left_s > 0 and (test := next(tests, None)) is not None:
                part.append(test)
                left_s -= self._likely.seconds.get(test, UNKNOWN_S) + 0.02
        return parts

    def close(self) -> None:
        """End the processes."""
        self._nursery.close()


def journal() -> Sequence[Result]:
    """All results so far, in order; later ones of a defect supersede earlier ones."""
    if not JOURNAL.exists():
        return []
    lines = JOURNAL.read_bytes().splitlines(keepends=True)
    return [msgspec.json.decode(line, type=Result) for line in lines if line.endswith(b"\n")]


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.exists() else ""
