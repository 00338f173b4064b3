"""A defect is planted in a fork of a process that has collected the tests: noticed, survived, or refused."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from mutants import lists
from mutants.copy import Copy
from mutants.defect import Defect, DoesNotApply
from mutants.lists import Result
from mutants.nursery import YIELDING, niceness, planted_statements
from mutants.shares import BEGIN, END, PAGE, table, written
from mutants.tracing import noted
from mutants.trial import Nursery, Outcome, trace

THING = """
MOST = 3

def kept(function):
    return lambda *arguments: function(*arguments)

@kept
def is_small(number):
    return number <= MOST

def nothing():
    return 1
"""
TESTS = """
from thing import is_small, nothing

def test_small():
    assert is_small(2)

def test_exactly():
    assert is_small(3)
"""


LONG_AGO_S = 1_700_000_000


class Tiny(Copy):
    """A tree of two files instead of a copy of ours, whose objects are frozen in the same way.

    Like a real copy, it keeps an old time of its file: compiled files are recognised by the second and the size of
    their source, so otherwise the compiled original could be taken for the defective file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "tests").mkdir(parents=True)
        (root / "examples").mkdir()
        (root / "thing.py").write_text(dedent(THING))
        os.utime(root / "thing.py", (LONG_AGO_S, LONG_AGO_S))
        (root / "tests/test_thing.py").write_text(dedent(TESTS))
        (root / "conftest.py").write_text("import gc\n\ndef pytest_collection_finish(session):\n    gc.freeze()\n")
        (root / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root), "PYTEST_ADDOPTS": "-p no:asyncio"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("tiny") / "tree")


@pytest.fixture(scope="module")
def nursery(tiny: Tiny) -> Iterator[Nursery]:
    nursery = Nursery(tiny, "no server")
    yield nursery
    nursery.close()


def outcome(tiny: Tiny, nursery: Nursery, old: str, new: str) -> Outcome:
    with tiny.planted(Defect("thing.py", "by hand", old, new)) as changes:
        return nursery.run(changes, nursery.tests, {})


def test_a_defect_is_noticed_by_the_test_that_fails_also_in_a_function_that_another_one_holds(
    tiny: Tiny, nursery: Nursery
) -> None:
    assert outcome(tiny, nursery, "number <= MOST", "number < MOST") == Outcome(
        "tests/test_thing.py::test_exactly", tests=1
    )
    assert (tiny.root / "thing.py").read_text() == dedent(THING), "it is mended again"


def test_a_defect_that_no_test_notices_survives(tiny: Tiny, nursery: Nursery) -> None:
    assert outcome(tiny, nursery, "return 1", "return 2") == Outcome(None, tests=2)


def test_no_further_test_begins_once_its_time_is_used(tiny: Tiny, nursery: Nursery) -> None:
    assert nursery.run({}, nursery.tests, {}, within_s=-1.0) == Outcome(None)


def test_a_process_that_ends_is_a_defect_noticed(tiny: Tiny, nursery: Nursery) -> None:
    found = outcome(tiny, nursery, "return number <= MOST", "import os; os._exit(1)")
    assert found.by is not None
    assert "the process ended" in found.by


def test_a_defect_outside_of_functions_is_refused_and_needs_a_new_process(tiny: Tiny, nursery: Nursery) -> None:
    with tiny.planted(Defect("thing.py", "by hand", "MOST = 3", "MOST = 2")) as changes:
        assert nursery.run(changes, nursery.tests, {}).refused
        fresh = Nursery(tiny, "no server", ["tests/test_thing.py"])
        assert fresh.run({}, fresh.tests, {}).by == "tests/test_thing.py::test_exactly"
        fresh.close()
    assert nursery.run({}, nursery.tests, {}).by is None


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("/autogroup-12 nice 19\n", 19),
        ("/autogroup-12 nice 0\n", YIELDING),
        ("/autogroup-12 nice -5\n", YIELDING),
        ("", YIELDING),
    ],
)
def test_a_fork_yields_also_where_its_process_is_in_no_group(group: str, expected: int) -> None:
    """Nothing is written of the group of a process that the first process of a system started in its own session."""
    assert niceness(group) == expected


def test_a_defect_that_does_not_apply_changes_nothing(tiny: Tiny) -> None:
    with pytest.raises(DoesNotApply), tiny.planted(Defect("thing.py", "by hand", "no such text", "")):
        pass
    with pytest.raises(DoesNotApply), tiny.planted(Defect("no_such_file.py", "by hand", "a", "b")):
        pass


@pytest.fixture
def holding(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that holds the statements of `STATEMENTS`."""
    module = ModuleType("twofold.holding")
    vars(module).update(
        SQL={"one": "SELECT 1 AS held", "two": "SELECT {b} FROM table"},
        ONE="SELECT 1 AS held",
        MADE="SELECT a FROM table",
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


STATEMENTS = "-- name: one\nSELECT 1 AS held\n\n-- name: two\nSELECT {b} FROM table\n"


def test_a_statement_is_replaced_where_a_module_holds_it(holding: ModuleType) -> None:
    assert planted_statements(STATEMENTS, STATEMENTS.replace("1", "2")) is None
    assert vars(holding)["SQL"] == {"one": "SELECT 2 AS held", "two": "SELECT {b} FROM table"}
    assert vars(holding)["ONE"] == "SELECT 2 AS held"


def test_a_statement_from_which_another_text_was_made_needs_a_new_process(holding: ModuleType) -> None:
    refused = planted_statements(STATEMENTS, STATEMENTS.replace("FROM table", "FROM view"))
    assert refused == f"{holding.__name__}.MADE was made from it"


@pytest.mark.slow  # traces a suite twice, in processes of its own
def test_a_trace_that_was_interrupted_goes_on(tiny: Tiny, tmp_path: Path) -> None:
    """What is noted already is not run again, and a note that was cut off does not count."""
    trace(tiny, "no server", tmp_path, processes=0)
    assert [(note["test"], note["failed"]) for note in noted(tmp_path)] == [
        ("tests/test_thing.py::test_small", False),
        ("tests/test_thing.py::test_exactly", False),
    ]
    notes = max(tmp_path.glob("*.jsonl"), key=lambda path: path.stat().st_size)
    notes.write_text(notes.read_text()[:-10])
    (tmp_path / "complete").unlink()
    trace(tiny, "no server", tmp_path, processes=0)
    assert sorted(path.read_text().count("\n") for path in tmp_path.glob("*.jsonl")) == [1, 1]
    assert len(list(noted(tmp_path))) == 2


def test_the_table_counts_each_promise_and_replaces_the_old_one() -> None:
    def result(file: str, by: str | None, promise: str = "", *, absent: bool = False) -> Result:
        defect = Defect(file, "by hand", "a", f"b{promise}", promise=promise)
        return Result(defect, "", "", "2026-01-02", by, absent=absent)

    results = [
        result("src/twofold/read/unpark.py", "test"),
        result("src/twofold/read/parked.py", None),
        result("src/twofold/read/parked.py", None, "G5"),
        result("src/twofold/read/unpark.py", None, absent=True),
    ]
    made = table(results, {results[2].defect.name: "it changes nothing"})
    assert "On 2026-01-02, 2 of the" in made
    assert "| G7 | 1 of 2, 50 % | – | 0 | 1 |" in made
    assert "| G5 | – | – | 1 | 0 |" in made
    assert "| all | 1 of 2, 50 % | – | 1 | 1 |" in made
    assert written(f"a\n{BEGIN}old\n{END}b\n", "new\n") == f"a\n{BEGIN}new\n{END}b\n"


def test_the_page_has_the_table_of_the_committed_results() -> None:
    """`./dev -- python -m mutants.shares --write` writes it."""
    page = PAGE.read_text("utf-8")
    assert page == written(page, table(lists.results(), lists.harmless()))
