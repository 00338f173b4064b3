"""The README's lines over HTTP, run as they are written."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_quickstart_over_http(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    [serve] = re.findall(r"^    cd examples && \.\./dev -- (twofold serve .*)$", readme, flags=re.MULTILINE)
    lines = re.findall(r"^    (curl .*)$", readme, flags=re.MULTILINE)
    command = [Path(sys.executable).with_name("twofold"), *serve.split()[1:], "--port", "0"]
    settings = {**os.environ, "PYTHONPATH": str(ROOT / "examples")}
    with subprocess.Popen(command, cwd=tmp_path, env=settings, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = re.findall(r"http://[^\s\"]+", process.stderr.readline())[0]
            post, *reads = [line.replace("localhost:8000", address) for line in lines]
            sent = pasted(f"{post} -D headers", tmp_path)
            [token] = re.findall(r"(?i)^consistency-token: (\S+)", (tmp_path / "headers").read_text(), re.MULTILINE)
            row, page = [pasted(f"{line} -H 'Consistency-Token: {token}'", tmp_path) for line in reads]
        finally:
            process.terminate()
    assert (sent["version"], sent["events"][0]["type"]) == (1, "Paid")
    assert row == {"owner": "ada", "total": "30"}
    assert page == {"data": [row], "has_more": False, "next_cursor": None, "parked": 0}


def pasted(line: str, folder: Path) -> dict[str, object]:
    done = subprocess.run(f"{line} -sS", shell=True, check=True, cwd=folder, capture_output=True, text=True, timeout=30)
    found: dict[str, object] = json.loads(done.stdout)
    return found
