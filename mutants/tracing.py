"""A plugin of pytest that notes which test runs which lines: one line of JSON for each test, as soon as it has passed.

Tests that are already in the notes are not run again, so an interrupted run goes on where it stopped. Lines that run
in other processes, and those that run when a module is imported, belong to no test.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import coverage
import pytest

NOTES = "TWOFOLD_MUTANTS_NOTES"  # names the folder; each process writes a file of its own there


def noted(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what was noted of each test; a line that a kill cut off is no note."""
    for notes in sorted(folder.glob("*.jsonl")):
        for line in notes.read_text("utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


class Tracing:
    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._folder = root, folder
        folder.mkdir(parents=True, exist_ok=True)
        self._known = {note["test"] for note in noted(folder)}
        sources = [str(root / "src/twofold"), str(root / "examples/shop")]
        omit = ["*/tests/*", "*/testing/*"]
        self._coverage = coverage.Coverage(
            data_file=None, config_file=False, source=sources, omit=omit, concurrency=["thread", "greenlet"]
        )
        self._coverage.set_option("run:disable_warnings", ["no-data-collected", "module-not-imported"])

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid not in self._known]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        began = time.monotonic()
        self._coverage.start()
        try:
            return (yield)
        finally:
            self._coverage.stop()
            self._note(item, time.monotonic() - began)
            self._coverage.erase()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed = report.failed or (report.when != "setup" and getattr(self, "_failed", False))

    def _note(self, item: pytest.Item, seconds: float) -> None:
        data = self._coverage.get_data()
        lines = {
            str(Path(file).relative_to(self._root)): _ranges(sorted(data.lines(file) or []))
            for file in data.measured_files()
            if data.lines(file)
        }
        slow = item.get_closest_marker("slow") is not None
        note = {"test": item.nodeid, "s": round(seconds, 3), "slow": slow, "failed": self._failed, "lines": lines}
        with (self._folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as notes:
            notes.write(json.dumps(note) + "\n")


def _ranges(lines: Sequence[int]) -> list[list[int]]:
    ranges: list[list[int]] = []
    for line in lines:
        if ranges and ranges[-1][1] == line - 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    return ranges


def pytest_configure(config: pytest.Config) -> None:
    if NOTES in os.environ and (hasattr(config, "workerinput") or not config.getoption("numprocesses", None)):
        config.pluginmanager.register(Tracing(config.rootpath, Path(os.environ[NOTES])))
