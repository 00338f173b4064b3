"""What an app can import in the worker: its own dependencies first, and nothing of this checkout but twofold."""

import os
from pathlib import Path

import pytest

from devservers.functions.channel import Worker
from tests.devservers.functions_running import worker_python

APP = """
import importlib.util

import azure.functions as func
import packed
import twofold

assert packed.WHERE == "packed"
found = [name for name in ("bench", "shop", "uvicorn") if importlib.util.find_spec(name)]
assert not found, found

app = func.FunctionApp()

@app.route()
def nothing(req: func.HttpRequest) -> str:
    return ""
"""


@pytest.mark.slow
async def test_an_app_imports_what_it_brings_and_nothing_of_the_checkout_but_twofold(tmp_path: Path) -> None:
    packages = tmp_path / ".python_packages" / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "packed.py").write_text('WHERE = "packed"')
    (tmp_path / "function_app.py").write_text(APP)
    worker = await Worker.started(worker_python(), tmp_path, os.environ, lambda *_: None)
    try:
        assert [one["name"] for one in await worker.load(tmp_path)] == ["nothing"]
    finally:
        await worker.stop()
