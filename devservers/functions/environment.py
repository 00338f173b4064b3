"""The worker's Python: an environment of its own, so that an app sees none of this checkout's packages but twofold.

It is made on demand in `.venv-functions`, with pip as it is configured, from the two lock files beside this module, and
made anew when they or the Python change. An app that brings its dependencies in `.python_packages` has those first.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
LOCKS = (HERE / "requirements-app.lock", HERE / "requirements-worker.lock")
FOLDER = ROOT / ".venv-functions" / f"{sys.version_info.major}.{sys.version_info.minor}"
INSTALL_S = 240.0  # below the time that a test may take
REMEMBERED_S = 600.0


class Unavailable(Exception):
    """Why the worker's environment could not be made."""


def python(*, again: bool = True) -> Path:
    """Its Python, ready to run an app. Raises: Unavailable; without `again` also if it has just failed to be made."""
    FOLDER.parent.mkdir(exist_ok=True)
    stamp, failure = FOLDER / "stamp", FOLDER.with_suffix(f"{FOLDER.suffix}.failed")
    with open(FOLDER.with_suffix(f"{FOLDER.suffix}.guard"), "w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != _wanted():
            if not again and failure.exists() and time.time() - failure.stat().st_mtime < REMEMBERED_S:
                raise Unavailable(failure.read_text())
            try:
                _make(FOLDER)
            except Unavailable as reason:
                failure.write_text(str(reason))
                raise
            stamp.write_text(_wanted())
            failure.unlink(missing_ok=True)
    return FOLDER / "bin" / "python"


def install_worker(python: Path) -> None:
    """Add Microsoft's worker library to an environment that has an app's own dependencies. Raises: Unavailable."""
    _pip(python, ["-r", str(LOCKS[1])])
    _pip(python, ["--constraint", str(LOCKS[0]), "protobuf"], checked=False)


def _wanted() -> str:
    contents = [file.read_bytes() for file in LOCKS]
    return hashlib.sha256(b"\0".join([*contents, sys.version.encode(), str(FOLDER).encode()])).hexdigest()


def _make(folder: Path) -> None:
    print(f"functions: setting up the worker's environment in {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)  # noqa: T201
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    _pip(folder / "bin" / "python", [part for lock in LOCKS for part in ("-r", str(lock))])
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "twofold.pth").write_text(f"{ROOT / 'src'}\n")


def _pip(python: Path, what: Sequence[str], *, checked: bool = True) -> None:
    """Without dependencies, which are all in the lock files, and whatever Python a package says that it needs."""
    how = ["--no-deps", "--ignore-requires-python", *(["--require-hashes"] if checked else [])]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    _run([sys.executable, "-m", "pip", "--python", str(python), "install", *quiet, *how, *what])


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=INSTALL_S
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the worker's packages were not installed within {INSTALL_S:.0f} s") from None
    if done.returncode:
        lines = done.stdout.splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        said = re.sub(r"\S*/\S*", "…", " ".join(errors))  # without addresses and local paths
        raise Unavailable(f"the worker's packages could not be installed: {said[:500]}")
