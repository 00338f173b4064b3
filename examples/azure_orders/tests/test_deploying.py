"""The README followed step by step, and the folder that is deployed: both clean installed, both load in the worker."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from devservers.functions import package
from devservers.functions.channel import Worker
from devservers.functions.functions import understood
from tests.devservers.functions_running import worker_python

APP = Path(__file__).parents[1]
ROOT = APP.parents[1]
CONNECTION = "AccountEndpoint=http://127.0.0.1:1/;AccountKey=a2V5;"
FUNCTIONS = {
    "add_item_to_order",
    "create_order",
    "get_customer_orders",
    "get_customer_summary",
    "get_metrics",
    "get_openapi",
    "get_order_projection",
    "get_status",
    "project_order_read_models",
    "submit_order",
}


def steps() -> list[str]:
    """The commands of the README's section on running it."""
    section = (APP / "README.md").read_text("utf-8").partition("## Run it")[2]
    found = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1].splitlines()


def run(folder: Path, environment: Mapping[str, str], *command: str | Path) -> None:
    """Run a command to its end."""
    how: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, cwd=folder, env=environment, check=False, **how)
    assert done.returncode == 0, done.stdout


async def loaded(python: Path, app: Path, settings: dict[str, str]) -> set[str]:
    """The functions of an app in the worker."""
    worker = await Worker.started(python, app, {**os.environ, **settings}, print)
    try:
        return {one.name for one in map(understood, await worker.load(app))}
    finally:
        await worker.stop()


def add_worker(environment: Path) -> None:
    """Let an environment find Microsoft's worker, behind all that it has itself."""
    [packages] = environment.glob("lib/python*/site-packages")
    [worker] = worker_python().parents[1].glob("lib/python*/site-packages")
    (packages / "worker.pth").write_text(f"{worker}\n")


@pytest.fixture
def offline() -> None:
    """Skipped where packages cannot be had, with the reason."""
    worker_python()


@pytest.mark.slow
@pytest.mark.timeout(900)  # pip installs everything
@pytest.mark.usefixtures("offline")
async def test_the_steps_of_the_readme(tmp_path: Path) -> None:
    """All but `func start`, in a copy of what they need of the checkout."""
    for name in ("pyproject.toml", "README.md", "LICENSE", "src"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tmp_path / name)
    app = tmp_path / "examples" / APP.name
    shutil.copytree(APP, app, ignore=shutil.ignore_patterns(".venv", "__pycache__", "*.db", "local.settings.json"))
    *commands, last = steps()
    assert last == "func start"
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environment["PIP_NO_COMPILE"] = "yes"  # to save time
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    run(tmp_path, environment, "bash", "-e", "-c", "\n".join(commands))
    with closing(sqlite3.connect(app / "readmodels.db")) as rows:
        assert rows.execute("SELECT count(*) FROM order_read_models").fetchall() == [(0,)]
    local = json.loads((app / "local.settings.json").read_text())["Values"]
    settings, python = {**local, "CosmosDBConnection": CONNECTION}, app / ".venv" / "bin" / "python"
    run(app, {**environment, **settings}, python, "-c", "import function_app")
    add_worker(app / ".venv")
    assert await loaded(python, app, settings) == FUNCTIONS


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
async def test_the_folder_that_is_deployed(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    assert package.main(folder) == 0
    with pytest.raises(SystemExit, match="is not empty"):
        package.main(folder)
    wheel = next(folder.glob("*.whl")).name
    assert f"./{wheel}[azure,sql]" in (folder / "requirements.txt").read_text().splitlines()
    install = [sys.executable, "-m", "uv", "pip", "install", "--target", ".python_packages/lib/site-packages"]
    run(folder, os.environ, *install, "-r", "requirements.txt")
    settings = {"CosmosDBConnection": CONNECTION, "READ_DB_URL": "sqlite:///readmodels.db"}
    assert await loaded(worker_python(), folder, settings) == FUNCTIONS
    assert not (folder / "tests").exists()


def test_the_requirements_are_those_of_the_project() -> None:
    """So that `pip install -r` and `pip install -e` bring the same."""
    lines = [line for line in (APP / "requirements.txt").read_text().splitlines() if line and line[0] not in "#."]
    text = (APP / "pyproject.toml").read_text()
    found = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    named = re.findall(r'"(.*)",', found[1])
    assert [one.replace("'", '"') for one in named if not one.startswith("twofold")] == lines


def test_the_settings_and_the_host_file(host_schema: dict[str, Any]) -> None:
    settings = json.loads((APP / "local.settings.json.example").read_text())
    assert set(settings["Values"]) == {
        "AzureWebJobsStorage",
        "FUNCTIONS_WORKER_RUNTIME",
        "CosmosDBConnection",
        "READ_DB_URL",
    }
    assert jsonschema_rs.is_valid(host_schema, json.loads((APP / "host.json").read_text()))


@pytest.fixture
def host_schema() -> dict[str, Any]:
    """What Microsoft's schema of host.json says about what is in ours."""
    text = {"type": "string"}
    bundle = {
        "type": "object",
        "required": ["id", "version"],
        "properties": {"id": text, "version": {"type": "string", "pattern": r"^[\[(][0-9.]+, ?[0-9.]+[\])]$"}},
        "additionalProperties": False,
    }
    levels = {"enum": ["Trace", "Debug", "Information", "Warning", "Error", "Critical", "None"]}
    log = {"type": "object", "properties": {"logLevel": {"type": "object", "additionalProperties": levels}}}
    http = {"type": "object", "properties": {"http": {"type": "object", "properties": {"routePrefix": text}}}}
    return {
        "type": "object",
        "required": ["version"],
        "properties": {"version": {"const": "2.0"}, "extensionBundle": bundle, "logging": log, "extensions": http},
        "additionalProperties": False,
    }
