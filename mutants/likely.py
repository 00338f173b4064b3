"""Which tests are likely to notice a defect, the most likely first. Pure, but for reading the notes."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path, PurePosixPath

from mutants.copy import ROOT
from mutants.defect import Defect
from mutants.tracing import noted

SQLITE = "src/twofold/backends/sqlite"
ON_SQLITE = {"append": "batch", "commit": "read_store", "streams": "log", "part": "log", "client": "log"}
FIRST = 10  # of those that run the line, then of those that run its file, before those whose time is not known
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


class Likely:
    """Knows which test runs which line, how long it takes, and which tests have noticed something so far."""

    def __init__(self, folder: Path, tests: Sequence[str]) -> None:
        self._tests, known = tests, set(tests)
        self._lines: dict[str, dict[str, Sequence[Sequence[int]]]] = defaultdict(dict)
        self.seconds: dict[str, float] = {}
        self._breadth: Counter[str] = Counter()
        self._noticed: dict[str, Counter[str]] = defaultdict(Counter)
        self.failing: set[str] = set()
        for note in noted(folder):
            test = note["test"]
            if test in known:
                self.seconds[test] = note["s"]
                if note["failed"]:
                    self.failing.add(test)
                for file, ranges in note["lines"].items():
                    self._lines[file][test] = ranges
                    self._breadth[test] += sum(last - first + 1 for first, last in ranges)

    def has_noticed(self, defect: Defect, test: str) -> None:
        """Remember it: a test that noticed one defect of a file often notices the next."""
        self._noticed[defect.file][test] += 1

    def of(self, defect: Defect, text: str) -> Sequence[str]:
        """All tests that may notice it, in order."""
        running, file = self._running(defect, text), defect.file
        beside = [test for test in self._tests if test.startswith(_area(file))]
        mirrored = [test for test in beside if _mirrors(test, file)]
        near = self._near(file, mirrored, beside)
        order = sorted(running, key=lambda test: self._rank(test, file))
        around = sorted(self._lines[file], key=lambda test: self._rank(test, file))
        best = [test for test, _ in self._noticed[file].most_common(8) if test in running or test in near]
        various = list(_variety(order))
        others = _alternately(near if running else mirrored, various[FIRST:])
        found = _once([*best, *various[:FIRST], *around[:FIRST], *others, *beside, *order])
        return [test for test in found if test not in self.failing]

    def _near(self, file: str, mirrored: Sequence[str], beside: Sequence[str]) -> Sequence[str]:
        """Tests that were not noted, since they are slow or new: users of the module, then those of its folder."""
        users = _importing(file, [test for test in self._tests if test not in self.seconds])
        rank = {**dict.fromkeys(beside, 2), **dict.fromkeys(mirrored, 1), **dict.fromkeys(users, 0)}
        relevance = self._relevance(file)
        near = [test for test in rank if test not in self.seconds]
        return list(_variety(sorted(near, key=lambda test: (rank[test], *relevance(test)))))

    def _relevance(self, file: str) -> Callable[[str], tuple[bool, float]]:
        """Tests of a store without notes: first those that run the module of this name on SQLite, and little else."""
        path = PurePosixPath(file)
        stem = ON_SQLITE.get(path.stem, path.stem)
        twins = {_name(test): self._rank(test, file) for test in self._lines.get(f"{SQLITE}/{stem}.py", {})}

        def relevance(test: str) -> tuple[bool, float]:
            return f"_{path.stem}." not in test, twins.get(_name(test), math.inf)

        return relevance

    def _rank(self, test: str, file: str) -> float:
        cost = (self.seconds[test] + 0.05) * (self._breadth[test] + 100)
        return cost / 20 if _mirrors(test, file) else cost

    def _running(self, defect: Defect, text: str) -> set[str]:
        """The tests that run a changed line; if only importing runs it, those that run anything of its file."""
        if defect.file.endswith(".sql"):
            return self._running_statement(defect, text)
        changed = defect.lines_in(text)
        notes = self._lines[defect.file]
        return {test for test, ranges in notes.items() if _overlap(ranges, changed)} or set(notes)

    def _running_statement(self, defect: Defect, text: str) -> set[str]:
        """The tests that run a line which names the statement; for a function in SQL, those of its own module."""
        names = _NAME.findall(text[: defect.start_in(text) + 1])
        folder = PurePosixPath(defect.file).parent
        wanted = re.compile(rf'"{names[-1]}"' if names else rf"\b{PurePosixPath(defect.file).stem}\b")
        found: set[str] = set()
        anything: set[str] = set()
        for path in (ROOT / folder).glob("*.py"):
            notes = self._lines.get(f"{folder}/{path.name}", {})
            anything |= set(notes)
            for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
                if wanted.search(line):
                    found |= {test for test, ranges in notes.items() if _overlap(ranges, range(number, number + 1))}
        return found or anything


def _overlap(ranges: Iterable[Sequence[int]], lines: range) -> bool:
    return any(first < lines.stop and lines.start <= last for first, last in ranges)


def _area(file: str) -> str:
    """Where the tests of a module's folder are, by the rule that tests mirror the source."""
    folder = str(PurePosixPath(file).parent)
    if file.startswith("examples/shop"):
        return "examples/shop/tests/"
    area = folder.replace("src/twofold", "tests").replace("web/graphql", "graphql").replace("/proof", "")
    return re.sub(r"^tests/backends/(?!partitioned)(\w+)$", r"tests/backends/test_\1", area)


def _mirrors(test: str, file: str) -> bool:
    """Whether a test's file is the one for this module."""
    tests, _, _ = test.partition("::")
    area, stem = _area(file), PurePosixPath(file).stem
    if area.startswith("examples"):
        return tests.startswith(f"{area}test_")
    return tests.startswith(area) and (stem in tests or "backends" in area)


def _importing(file: str, tests: Sequence[str]) -> Sequence[str]:
    """The tests in files that import a module."""
    module = file.removeprefix("src/").removesuffix(".py").replace("/", ".")
    files = {test.partition("::")[0] for test in tests}
    using = {name for name in files if f"from {module} import" in (ROOT / name).read_text("utf-8")}
    return [test for test in tests if test.partition("::")[0] in using]


def _variety(tests: Iterable[str]) -> Iterable[str]:
    """Of the same test on several stores, the first."""
    seen: set[str] = set()
    for test in tests:
        name = _name(test)
        if name not in seen:
            seen.add(name)
            yield test


def _alternately(one: Sequence[str], other: Sequence[str]) -> Iterator[str]:
    for pair in zip_longest(one, other):
        yield from filter(None, pair)


def _name(test: str) -> str:
    return test.rpartition("::")[2]


def _once(tests: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(tests)
