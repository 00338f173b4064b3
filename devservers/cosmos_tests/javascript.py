"""A client in another language, `@azure/cosmos` in Node, while a range of the server splits."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from devservers.cosmos.process import running

NAME = "javascript"
PACKAGE, VERSION = "@azure/cosmos", "4.10.1"
FOLDER = Path(__file__).parents[2] / "build" / "cosmos"
CLIENT = Path(__file__).with_name("client.mjs")
RANGES = 3
INSTALL_S, RUN_S = 300.0, 120.0


def missing() -> str | None:
    """Why the client cannot run without an installation; None if it can."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    described = FOLDER / "node_modules" / PACKAGE / "package.json"
    if not described.exists() or json.loads(described.read_text("utf-8"))["version"] != VERSION:
        return f"{PACKAGE} {VERSION} is not installed: run ./dev cosmos-tests {NAME}"
    return None


def install() -> None:
    """Raises: CalledProcessError when npm fails."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    options = ["--prefix", str(FOLDER), "--no-save", "--no-package-lock", "--no-audit", "--no-fund"]
    subprocess.run(  # noqa: S603
        ["npm", "install", *options, f"{PACKAGE}@{VERSION}"],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
    )


def run() -> subprocess.CompletedProcess[str]:
    """Run the client against a server of its own; its status is 0 if everything was as it must be."""
    here = FOLDER / CLIENT.name  # beside its packages, where Node looks for them
    shutil.copyfile(CLIENT, here)
    with running(ranges=RANGES) as server:
        command = ["node", str(here), server.connection_string]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=RUN_S)  # noqa: S603
