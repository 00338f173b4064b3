"""Trials of defects: a process that has collected the tests, and what its forks report."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from mutants.copy import Copy
from mutants.nursery import SIMULATION, SOCKET
from mutants.tracing import NOTES

LEFT_OUT = (
    *("tests/test_bench.py", "tests/test_dev.py", "tests/test_docs.py", "tests/test_prose.py", "tests/test_wheel.py"),
    *(
        "tests/devservers",
        "tests/mutants",
        "tests/torture",
        "tests/testing/test_mutations.py",
        "tests/test_roll_out.py",
    ),
    *("tests/backends/test_cosmos_killed.py", "examples/shop/tests/http/test_page.py", "examples/library"),
)  # they are about the tools, or start so many processes that no defect is worth it
COLLECT_S = 900.0
PATIENCE_S, PATIENCE = 15.0, 8.0  # for one test: at least this long, and this multiple of its usual time
SIMULATION_S = 5.0


class Outcome(msgspec.Struct, frozen=True):
    """`by` is the test that failed; None if none did. `hung`: it did not fail, it took far longer than it does."""

    by: str | None
    hung: bool = False
    refused: bool = False
    tests: int = 0


class Nursery:
    """A pytest process over some files of the copy, which plants defects in forks of itself."""

    def __init__(self, copy: Copy, server: str, chosen: Sequence[str] = ("tests", "examples")) -> None:
        ours, theirs = socket.socketpair()
        environment = {**copy.environment(), SOCKET: str(theirs.fileno()), "TWOFOLD_TEST_POSTGRES": server}
        options = [f"--ignore={path}" for path in LEFT_OUT]
        program = [
            sys.executable,
            "-P",
            "-m",
            "pytest",
            "-p",
            "mutants.nursery",
            "-p",
            "no:cacheprovider",
            "-q",
            *options,
        ]
        self.log = copy.root / "nursery.log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [*program, *chosen], cwd=copy.root, env=environment, pass_fds=[theirs.fileno()], stdout=log, stderr=log
            )
        theirs.close()
        self._socket, self._buffer = ours, b""
        self.tests: Sequence[str] = (self._next(COLLECT_S) or {"collected": []})["collected"]

    def _next(self, seconds: float) -> Mapping[str, Any] | None:
        """The next report, or None if there is none in time, or ever."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                received = self._socket.recv(1 << 20)
            except TimeoutError:
                return None
            if not received:
                return None
            self._buffer += received
        line, self._buffer = self._buffer.split(b"\n", 1)
        report: Mapping[str, Any] = json.loads(line)
        return report

    def run(
        self,
        changes: Mapping[str, tuple[str, str]],
        tests: Sequence[str],
        seconds: Mapping[str, float],
        histories: int = 0,
        within_s: float = math.inf,
    ) -> Outcome:
        """Run tests in a fork with these changes, until one fails, or a limit of processor seconds is used up."""
        wanted = {"changes": changes, "tests": tests, "histories": histories, "within_s": min(within_s, 1e6)}
        self._socket.settimeout(None)
        self._socket.sendall(json.dumps(wanted).encode() + b"\n")
        child, current, done, outcome = 0, None, 0, None
        while outcome is None:
            usual = SIMULATION_S if current == SIMULATION else seconds.get(current or "", 1.0)
            report = self._next(PATIENCE_S + PATIENCE * usual)
            if report is None:
                outcome = Outcome(current or "?", hung=True, tests=done)
            elif "child" in report:
                child = report["child"]
            elif "test" in report:
                current, done = report["test"], done + 1
            elif "failed" in report:
                outcome = Outcome(report["failed"], refused=report["refused"] is not None, tests=done)
            elif "ended" in report:
                return Outcome(f"the process ended in {current}", tests=done)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # with what its tests left running
        while (report := self._next(PATIENCE_S)) is not None and "ended" not in report:
            pass
        return outcome

    def close(self) -> None:
        """End the process that waits."""
        self._socket.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def trace(copy: Copy, server: str, notes: Path, processes: int = os.cpu_count() or 1) -> None:
    """Note which quick test runs which lines, unless that was done before. An interrupted trace goes on."""
    done = notes / "complete"
    if done.exists():
        return
    environment = {**copy.environment(), NOTES: str(notes), "TWOFOLD_TEST_POSTGRES": server}
    options = [f"--ignore={path}" for path in LEFT_OUT]
    plugins = ["-p", "mutants.tracing", "-p", "no:cacheprovider", "-n", str(processes), "--dist", "worksteal"]
    program = [sys.executable, "-P", "-m", "pytest", *plugins, "-q", "-m", "not slow", *options, "tests", "examples"]
    subprocess.run(program, cwd=copy.root, env=environment, check=False)  # tests that fail are left out later
    done.touch()


def files_of(tests: Sequence[str], most: int) -> Sequence[str]:
    """The files of these tests, the first ones only."""
    return list(dict.fromkeys(test.split("::")[0] for test in tests))[:most]
