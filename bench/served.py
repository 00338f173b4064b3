"""A server as a process: started, found by the address that it prints, stopped."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.process import ROOT, SideFailed

STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Served:
    """A running server: its name in the report, its address, and its process."""

    name: str
    address: str
    pid: int


@contextmanager
def served(name: str, module: str, *arguments: str, python: Path | None = None) -> Iterator[Served]:
    """Run `python -m MODULE ARGUMENTS`, which prints its address. Raises: SideFailed."""
    paths = os.pathsep.join(str(ROOT / part) for part in ("", "src", "examples"))
    with subprocess.Popen(
        [python or sys.executable, "-P", "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": paths},
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            found = next(filter(None, (re.search(r"http://\S+:\d+", line) for line in process.stdout)), None)
            if found is None:
                raise SideFailed(f"{name} did not start")
            yield Served(name, found[0], process.pid)
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
