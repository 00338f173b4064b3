"""`operate.verify` finds what `twofold verify` finds: it is the same function."""

import importlib
from pathlib import Path

import apsw
import pytest

from twofold import InvalidInput, operate
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
"""


@pytest.mark.parametrize("sample", [0, -1])
async def test_a_sample_has_rows(sample: int) -> None:
    async with bank.open("memory:", work=False) as running:
        with pytest.raises(InvalidInput, match=f"sample must be a number of rows, at least 1, not {sample}"):
            await operate.verify(running, running.app.projections[0], sample=sample)


async def test_a_fold_that_depends_on_the_process_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within one process it looks pure, so other processes check it if they can import the App."""
    (tmp_path / "words_of_a_set.py").write_text(WORDS, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("words_of_a_set")
    async with module.app.open("sqlite:///words.db") as running:
        await running.execute(module.puts, "a", module.Put(0))
        done = await running.execute(module.puts, "a", module.Put(1))
        await running.get(module.words, "a", after=done.receipt)
        db = apsw.Connection("words.read.db")
        db.execute("UPDATE twofold_words_v1 SET words = '[]'")
        db.close()
        here = await operate.verify(running, module.words)
        report = await operate.verify(running, module.words, app_at="words_of_a_set:app")
    assert (here.counts, list(here.faults)) == ({"missing": 0, "extra": 0, "different": 1}, [])
    [fault] = report.faults
    assert "it differs in another process, where words is" in fault.what
    assert fault.event == "put-a@2"
