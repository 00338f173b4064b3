"""A plugin for the pytest that runs their tests: writes one line of JSON for each test into a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

REPORT = "COSMOS_TESTS_REPORT"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a test's outcome: of its call, or of what came before or after if that failed."""
    if report.when == "call" or report.outcome != "passed":
        line = {"test": report.nodeid, "outcome": report.outcome, "why": _why(report)}
        with Path(os.environ[REPORT]).open("a") as file:
            file.write(json.dumps(line) + "\n")


def _why(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else (crash.message if crash else "")
    return (str(text).splitlines() or [""])[0][:300]
