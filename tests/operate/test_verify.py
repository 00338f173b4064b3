"""`operate.verify` finds what `twofold verify` finds: it is the same function."""

import importlib
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from twofold import InvalidInput, operate
from twofold.feed import feed
from twofold.testing.conformance.bank import bank

WORDS = """
from dataclasses import dataclass, replace
from twofold import App, Decider, Projection, Recorded

@dataclass(frozen=True)
class Put:
    amount: int

@dataclass(frozen=True)
class Row:
    id: str
    words: tuple[str, ...] = ()

def decide(command: Put, state: int) -> list[Put]:
    return [command]

def evolve(state: int, event: Put) -> int:
    return state + 1

def fold(row: Row, event: Put, recorded: Recorded) -> Row:
    return replace(row, words=tuple({f"{word} {event.amount}" for word in range(9)}))

puts = Decider("put", 0, decide, evolve)
words = Projection("words", Row, fold)
app = App("words", deciders=[puts], projections=[words])


def fold_first(row: Row, event: Put, recorded: Recorded) -> Row:
    return row if event.amount else fold(row, event, recorded)

words_of_the_first = App("words", deciders=[puts], projections=[Projection("words", Row, fold_first)])
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`WORDS`, which other processes can import, too."""
    (tmp_path / "words_of_a_set.py").write_text(WORDS, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "words_of_a_set", raising=False)
    return importlib.import_module("words_of_a_set")


def write(statement: str) -> None:
    """Change the read models without an event."""
    db = apsw.Connection("words.read.db")
    db.execute(statement)
    db.close()


@pytest.mark.parametrize("sample", [0, -1])
async def test_a_sample_has_rows(sample: int) -> None:
    async with bank.open("memory:", work=False) as running:
        with pytest.raises(InvalidInput, match=f"sample must be a number of rows, at least 1, not {sample}"):
            await operate.verify(running, running.app.projections[0], sample=sample)


async def test_a_fold_that_depends_on_the_process_is_found(module: Any) -> None:
    """Within one process it looks pure, so other processes check it if they can import the App."""
    async with module.app.open("sqlite:///words.db") as running:
        await running.execute(module.puts, "a", module.Put(0))
        done = await running.execute(module.puts, "a", module.Put(1))
        await running.get(module.words, "a", after=done.receipt)
        write("UPDATE twofold_words_v1 SET words = '[]'")
        here = await operate.verify(running, module.words)
        report = await operate.verify(running, module.words, app_at="words_of_a_set:app")
    assert (here.counts, list(here.faults)) == ({"missing": 0, "extra": 0, "different": 1}, [])
    [fault] = report.faults
    assert "it differs in another process, where words is" in fault.what
    assert fault.event == "put-a@2"


@pytest.mark.parametrize("printed", ["print('imported')", "print('[]', end='')", "print('\\n\\n')"])
async def test_a_fold_that_depends_on_the_process_is_found_in_an_app_that_prints(
    module: Any, tmp_path: Path, printed: str
) -> None:
    """Whatever the module writes when it is imported is not taken for the rows."""
    (tmp_path / "words_of_a_set.py").write_text(f"{WORDS}{printed}\n", "utf-8")
    async with module.app.open("sqlite:///words.db") as running:
        done = await running.execute(module.puts, "a", module.Put(0))
        await running.get(module.words, "a", after=done.receipt)
        write("UPDATE twofold_words_v1 SET words = '[]'")
        report = await operate.verify(running, module.words, app_at="words_of_a_set:app")
    assert [fault.key for fault in report.faults] == ['["a"]']


async def test_a_fold_that_depends_on_the_process_is_found_in_rows_of_several_pages(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first event makes the difference, and it lies on an earlier page than the last."""
    monkeypatch.setattr(feed, "LARGEST_PAGE", 2)
    app = module.words_of_the_first
    [words] = app.projections
    async with app.open("sqlite:///words.db") as running:
        for amount in range(5):
            for name in "ab":
                done = await running.execute(module.puts, name, module.Put(amount))
        await running.get(words, "b", after=done.receipt)
        write("UPDATE twofold_words_v1 SET words = '[]'")
        report = await operate.verify(running, words, app_at="words_of_a_set:words_of_the_first")
    [fault] = report.faults
    assert (fault.key, fault.event) == ('["a"]', "put-a@5")


async def test_a_fold_that_depends_on_the_process_is_found_beside_rows_that_are_missing(module: Any) -> None:
    """However many: only rows that are there, with other values, are folded elsewhere."""
    async with module.app.open("sqlite:///words.db") as running:
        for name in "abcdefghi":
            done = await running.execute(module.puts, name, module.Put(0))
        await running.get(module.words, "i", after=done.receipt)
        write("DELETE FROM twofold_words_v1 WHERE id < 'i'")
        write("UPDATE twofold_words_v1 SET words = '[]'")
        write("INSERT INTO twofold_words_v1 VALUES ('0', '[]')")
        report = await operate.verify(running, module.words, app_at="words_of_a_set:app")
    assert report.counts == {"missing": 8, "extra": 1, "different": 1}
    [fault] = report.faults
    assert fault.key == '["i"]'
