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
from mutants.likely import Likely
from mutants.lists import Result, harmless
from mutants.nursery import SIMULATION
from mutants.trial import Nursery, Outcome, files_of

JOURNAL = KEPT / "journal.jsonl"
FRESH_FILES = 5
THOROUGH_S = 10.0  # with so much effort a survivor is also tried in a new process: its function may have run at import
SIMULATED = ("src/twofold/feed/", "src/twofold/read/", "src/twofold/react/", "src/twofold/write/", "src/twofold/app.py")
SIMULATED_STORES = ("src/twofold/backends/memory/", "src/twofold/backends/partitioned/")

Changes = Mapping[str, tuple[str, str]]


class Effort(msgspec.Struct, frozen=True):
    """How much is tried on one defect: histories, then seconds of tests, of the processor or four times as many in all.

    Tests whose name contains one of `first` run before all others.
    """

    tests_s: float = 60.0
    histories: int = 40
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
        """Run the simulator, then the likely tests, then others, until one notices."""
        [(before, _)] = changes.values()
        chosen = [test for test in self._nursery.tests if any(part in test for part in self._effort.first)]
        order = list(dict.fromkeys([*chosen, *self._likely.of(defect, before)]))
        is_simulated = defect.file.startswith(SIMULATED + SIMULATED_STORES)
        histories = self._effort.histories if is_simulated else 0
        outcome = self._run(self._nursery, changes, order, histories)
        is_settled = outcome.by is not None or self._effort.tests_s < THOROUGH_S or defect.file.endswith(".sql")
        if is_settled and not outcome.refused:
            return outcome
        files = files_of(order, FRESH_FILES)
        nursery = Nursery(self._copy, self._server, files)
        try:
            collected = {test.partition("::")[0] for test in nursery.tests}
            is_whole = collected.issuperset(files)
            fresh = self._run(nursery, {}, order, histories) if is_whole else Outcome("collection of the tests")
        finally:
            nursery.close()
        return msgspec.structs.replace(fresh, tests=outcome.tests + fresh.tests)

    def _run(self, nursery: Nursery, changes: Changes, tests: Sequence[str], histories: int) -> Outcome:
        """Until one fails that does so again, and not without the defect."""
        total, seconds = 0, self._likely.seconds
        while True:
            possible = 0 if SIMULATION in self._likely.failing else histories
            outcome = nursery.run(changes, tests, seconds, possible, self._effort.tests_s)
            total += outcome.tests
            if outcome.by is None or outcome.refused or self._is_noticed(nursery, changes, outcome, histories):
                return msgspec.structs.replace(outcome, tests=total)
            tests, histories = tests[tests.index(outcome.by) + 1 if outcome.by in tests else 0 :], 0

    def _is_noticed(self, nursery: Nursery, changes: Changes, outcome: Outcome, histories: int) -> bool:
        """Whether the test fails a second time, on a machine that may have been busy, and passes without the defect."""
        test, seconds = outcome.by or "", self._likely.seconds
        if test == SIMULATION:
            tests: Sequence[str] = []
        elif test in self._nursery.tests:
            tests, histories = [test], 0
        else:
            return True  # a process that ended
        if nursery.run(changes, tests, seconds, histories).by is None:
            return False
        if test not in self._innocent:
            with self._copy.mended():
                if self._nursery.run({}, tests, seconds, histories).by is not None:
                    self._likely.failing.add(test)
                    return False
            self._innocent.add(test)
        return True

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
