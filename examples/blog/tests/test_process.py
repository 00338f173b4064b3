"""`./dev blog` as a process: the lines it prints work as pasted, and Ctrl-C ends it and its PostgreSQL."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash"),
]


def test_it_serves_keeps_its_data_and_ends() -> None:
    folder = Path("/var/tmp") / f"twofold-blog-{os.getpid()}"  # as root, PostgreSQL runs as another user
    try:
        made = _served(folder)
        assert made[0]["data"]["createUser"]["id"]
        assert made[1]["data"]["createPost"]["status"] == "draft"
        again = _served(folder)
        assert again[0]["errors"][0]["extensions"]["code"] == "DUPLICATE_EMAIL"
        assert again[1]["data"]["createPost"]["title"] == "Tea"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _served(folder: Path) -> list[Any]:
    """The responses to the lines of the welcome, pasted into a shell."""
    command = [sys.executable, "-P", "-m", "blog.serve", "--port", "0", "--data", str(folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.startswith("PostgreSQL"):
            break
    pasted = "\n".join(line for line in lines if "curl" in line)
    done = subprocess.run(["bash", "-c", pasted], capture_output=True, text=True, check=True, timeout=60)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, logged = process.communicate(timeout=60)
    assert process.returncode == 0, logged
    assert {json.loads(line)["level"] for line in logged.splitlines()} == {"info"}
    socket = lines[-1].partition("host=")[2].partition("&")[0]
    assert not Path(socket).exists()
    return [json.loads(line) for line in done.stdout.splitlines()]
