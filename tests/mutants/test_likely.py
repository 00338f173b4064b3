"""Which tests run first, from notes of which test runs which line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mutants.defect import Defect
from mutants.likely import Likely
from mutants.tracing import noted

FILE = "src/twofold/write/execute.py"
TEXT = "one\ntwo\nthree\n"
EXACT, BROAD, OTHER = "tests/a.py::exact", "tests/a.py::broad", "tests/b.py::other"
MIRRORED, TWIN = "tests/write/test_execute.py::new", "tests/c.py::exact"


def note(test: str, s: float, lines: list[list[int]], *, failed: bool = False, file: str = FILE) -> str:
    return json.dumps({"test": test, "s": s, "slow": False, "failed": failed, "lines": {file: lines}}) + "\n"


@pytest.fixture
def likely(tmp_path: Path) -> Likely:
    notes = note(EXACT, 0.1, [[2, 2]]) + note(BROAD, 0.1, [[1, 900]]) + note(OTHER, 0.1, [[3, 3]])
    notes += note(TWIN, 0.2, [[2, 2]]) + note("tests/a.py::fails", 0.1, [[2, 2]], failed=True)
    (tmp_path / "1.jsonl").write_text(notes + '{"test": "cut off')
    assert len(list(noted(tmp_path))) == 5
    return Likely(tmp_path, [EXACT, BROAD, OTHER, TWIN, MIRRORED, "tests/a.py::fails"])


def order(likely: Likely, line: int) -> list[str]:
    return list(likely.of(Defect(FILE, "constant", TEXT.split()[line - 1], "x", line, 1), TEXT))


def test_tests_that_run_the_line_and_little_else_come_first_then_those_of_its_file(likely: Likely) -> None:
    assert order(likely, 2) == [EXACT, BROAD, OTHER, TWIN, MIRRORED]


def test_tests_that_run_another_line_come_later_and_those_that_fail_anyway_never(likely: Likely) -> None:
    assert order(likely, 3) == [OTHER, BROAD, EXACT, TWIN, MIRRORED]


def test_what_has_noticed_a_defect_of_the_file_comes_first(likely: Likely) -> None:
    likely.has_noticed(Defect(FILE, "constant", "one", "x", 1, 1), BROAD)
    assert order(likely, 2)[0] == BROAD


def test_a_line_that_only_importing_runs_is_that_of_every_test_of_its_file(likely: Likely) -> None:
    text = "\n" * 998 + "four\n"
    found = likely.of(Defect(FILE, "constant", "four", "x", 999, 1), text)
    assert set(found) == {EXACT, BROAD, OTHER, TWIN, MIRRORED}
