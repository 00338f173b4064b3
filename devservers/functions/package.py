"""`./dev functions --package FOLDER`: the example as a folder that can be deployed, with a wheel of twofold in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
APP = ROOT / "examples" / "azure_orders"
FILES = (
    ".funcignore",
    "README.md",
    "edge.py",
    "function_app.py",
    "host.json",
    "local.settings.json.example",
    "schema.sql",
)
MODULES = "orders"
REWRITTEN = {  # how the example names this checkout, and how a folder of its own names the wheel beside it
    "requirements.txt": ("../..[azure,sql]", "./{wheel}[azure,sql]"),
    "pyproject.toml": ("{root:parent:parent:uri}", "{{root:uri}}/{wheel}"),
}


def main(folder: Path) -> int:
    """Write it; returns the exit status."""
    try:
        if folder.exists() and any(folder.iterdir()):
            sys.exit(f"functions: {folder} is not empty: name a folder that does not exist yet")
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, _wheel(folder))
    except OSError as error:
        sys.exit(f"functions: {folder} cannot be written: {error}")
    print(f"Wrote {folder}: deploy it, or run it with ./dev functions --app {folder}")  # noqa: T201
    return 0


def _wheel(folder: Path) -> str:
    """Build it there. Returns its name."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder.resolve())]
    done = subprocess.run(build, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
    if done.returncode:
        sys.exit(f"functions: the wheel could not be built: {done.stdout.strip()}")
    [wheel] = folder.glob("*.whl")
    return wheel.name


def _write(folder: Path, wheel: str) -> None:
    for name in FILES:
        shutil.copyfile(APP / name, folder / name)
    shutil.copytree(APP / MODULES, folder / MODULES, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (here, there) in REWRITTEN.items():
        text = (APP / name).read_text("utf-8")
        if here not in text:
            raise AssertionError(f"{APP / name} no longer names {here}")
        (folder / name).write_text(text.replace(here, there.format(wheel=wheel)), "utf-8")
