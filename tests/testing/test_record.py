"""The record of what was simulated: runs add up as long as the engine stays the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from simulated import record
from simulated.record import Record

DATE = "2026-01-02"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with one module of the engine, and with no record."""
    for name in record.ENGINE:
        path = tmp_path / "src/twofold" / name
        (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_text("")
    engine = tmp_path / "src/twofold/feed/one.py"
    engine.write_text('"""It says one."""\n\n\ndef one() -> int:\n    """One."""\n    return 1\n')
    (tmp_path / "simulated").mkdir()
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setattr(record, "FILE", tmp_path / "simulated/record.json")
    monkeypatch.setattr(record, "PAGE", tmp_path / "page.md")
    record.PAGE.write_text(f"before\n{record.BEGIN}{record.END}\nafter\n")
    return engine


def test_runs_of_one_state_add_up(tree: Path) -> None:
    record.write(record.read().with_run(1, 100, {"crashes": 2, "pauses": 1}))
    known = record.read().with_run(101, 50, {"crashes": 3})
    record.write(known)
    assert record.read() == known
    assert (known.histories, known.next_seed, len(known.runs)) == (150, 151, 1)
    assert known.counts == {"crashes": 5, "pauses": 1}
    assert len(known.with_run(1_000, 10, {}).runs) == 2


@pytest.mark.parametrize(("seeds", "is_known"), [(range(9), False), (range(11), True), (range(20, 21), False)])
def test_a_seed_is_counted_once(seeds: range, is_known: bool) -> None:
    assert Record("").with_run(10, 10, {}).has(seeds) == is_known


def test_another_engine_begins_with_nothing(tree: Path) -> None:
    record.write(record.read().with_run(1, 100, {}))
    tree.write_text(tree.read_text().replace("return 1", "return 2"))
    assert record.read().histories == 0


def test_comments_and_docstrings_are_no_other_engine(tree: Path) -> None:
    record.write(record.read().with_run(1, 100, {}))
    text = tree.read_text().replace('"""One."""', '"""The number one."""').replace("return 1", "return 1  # not 2")
    tree.write_text(text.replace('"""It says one."""', ""))
    assert record.read().histories == 100


def test_an_engine_with_a_new_module_is_another_one(tree: Path) -> None:
    before = record.state()
    tree.with_name("two.py").write_text("")
    assert record.state() != before


def test_the_page_shows_the_figures(tree: Path) -> None:
    for histories in (1_000, 1):  # the second ones replace what was written of the first ones
        record.write(record.read().with_run(record.read().next_seed, histories, {"crashes": 1}))
    page = record.PAGE.read_text()
    assert "1,001 histories of one state" in page
    assert "| crashes | 2 |" in page
    assert page.startswith(f"before\n{record.BEGIN}")
    assert page.endswith(f"{record.END}\nafter\n")
    assert page.count("histories of one state") == 1


def test_the_page_has_the_figures_of_the_committed_record() -> None:
    """`./dev simulate --write` writes both."""
    page = record.PAGE.read_text("utf-8")
    known = msgspec.json.decode(record.FILE.read_bytes(), type=Record)
    assert page == record.written(page, known)
