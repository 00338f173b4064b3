"""Their tests, run by a pytest of their own against a server of their own, and what came of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devservers.cosmos.process import running
from devservers.cosmos_tests.plugin import REPORT

ROOT = Path(__file__).parents[2]
SHIMS = Path(__file__).parent / "shims"
TEST_TIMEOUT_S = 180
FILE_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one test. `name` is without its parameters."""

    file: str
    name: str
    outcome: str
    why: str


def run(tests: Path, files: Sequence[str], only: str = "") -> list[Outcome]:
    """Run some files in one process. Raises: RuntimeError if pytest did not run them."""
    with tempfile.TemporaryDirectory() as folder, running() as server:
        report, settings = Path(folder) / "report", Path(folder) / "pytest.ini"
        report.touch()
        settings.write_text("[pytest]\n")
        command = [sys.executable, "-m", "pytest", "-c", str(settings), "--rootdir", str(tests), "-q", "-W", "ignore"]
        command += ["-p", "no:cacheprovider", "-p", "devservers.cosmos_tests.plugin", f"--timeout={TEST_TIMEOUT_S}"]
        command += ["--tb=native", "--show-capture=no", *(["-k", only] if only else []), *files]
        environment = {
            **os.environ,
            "ACCOUNT_HOST": server.endpoint,
            "ACCOUNT_KEY": server.key,
            "PYTHONPATH": os.pathsep.join([str(SHIMS), str(ROOT)]),
            REPORT: str(report),
        }
        done = subprocess.run(  # noqa: S603
            command, check=False, cwd=tests, env=environment, capture_output=True, text=True, timeout=FILE_TIMEOUT_S
        )
        if done.returncode not in (0, 1, 5):
            raise RuntimeError(f"pytest could not run {', '.join(files)}: {(done.stdout + done.stderr)[-2_000:]}")
        return [_outcome(json.loads(line)) for line in report.read_text().splitlines()]


def _outcome(line: dict[str, str]) -> Outcome:
    file, _, rest = line["test"].partition("::")
    name = rest.partition("[")[0].rpartition("::")[2]
    return Outcome(file, name, line["outcome"], line["why"])
