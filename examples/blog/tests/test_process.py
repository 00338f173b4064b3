"""`./dev blog` as a process: the lines it prints work as pasted, and Ctrl-C ends it and its PostgreSQL."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash"),
]


def test_the_lines_work_as_pasted_and_ctrl_c_ends_it_all() -> None:
    command = [sys.executable, "-P", "-m", "blog.serve", "--port", "0"]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **pipes, start_new_session=True)
    try:
        lines = list(_welcome(process))
        pasted = "\n".join(line for line in lines if "curl" in line)
        done = subprocess.run(["bash", "-c", pasted], capture_output=True, text=True, check=True, timeout=60)
        user, post = (json.loads(line)["data"] for line in done.stdout.splitlines())
        by_sql = f"{lines[-1].partition(': ')[2]} -Atc 'SELECT name, post_count FROM v_user_with_stats'"
        asked = subprocess.run(["bash", "-c", by_sql], capture_output=True, text=True, check=True, timeout=60)
        assert asked.stdout == "Ann|1\n"
        assert user["createUser"]["id"]
        assert (post["createPost"]["title"], post["createPost"]["status"]) == ("Tea", "draft")
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, logged = process.communicate(timeout=60)
    assert process.returncode == 0, logged
    assert {json.loads(line)["level"] for line in logged.splitlines()} == {"info"}
    socket = lines[-1].partition("host=")[2].partition("&")[0]
    assert not Path(socket).exists()


def _welcome(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line.strip()
        if line.startswith("PostgreSQL"):
            return
