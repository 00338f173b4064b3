"""A folder with an App and a store it has run on, and a runner for commands in it."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from twofold import cli

STORE = "sqlite:///counting.db"
EVENTS = 20


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder; its module `counting` is imported from there."""
    shutil.copy(Path(__file__).with_name("counting.py"), tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("TWOFOLD_STORE", STORE)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def counting() -> Any:
    """Create the module of the Apps, and a store with some events in five streams."""
    import counting

    asyncio.run(filled(counting, STORE, EVENTS))
    return counting


async def filled(counting: Any, store: str, events: int) -> None:
    """Append events and wait until all are folded."""
    async with counting.today.open(store) as running:
        for number in range(events):
            done = await running.execute(counting.counters, str(number % 5), counting.Add(1))
        await running.get(counting.totals, "0", after=done.receipt)


@pytest.fixture
def twofold() -> Callable[..., Result]:
    """Run a command in this process."""

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(cli.commands, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def program() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start the program as a process; it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options: Any) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", "from twofold.cli import main; main()", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        started.append(subprocess.Popen(command, text=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
