"""Ctrl-C while the program is still importing: it exits with 130 and prints nothing."""

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

TWOFOLD = [sys.executable, "-c", "from twofold_start import main; main()", "status", "none:app", "--store", "memory:"]


def interrupted_at(imported: str, command: list[str]) -> tuple[int, str]:
    """The exit code and output when Ctrl-C comes right after this module was imported."""
    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    ) as one:
        assert one.stderr is not None
        for line in one.stderr:
            if line.rstrip().endswith(f" {imported}"):
                break
        else:
            pytest.fail(f"it never imported {imported}")
        one.send_signal(signal.SIGINT)
        said = [line for line in one.stderr if not line.startswith("import time:")]
        return one.wait(), "".join(said)


@pytest.mark.parametrize("imported", ["msgspec", "twofold.codec", "typer"])
def test_the_command_line(imported: str) -> None:
    assert interrupted_at(imported, TWOFOLD) == (130, "")
