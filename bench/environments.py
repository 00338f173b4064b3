"""The Pythons of the sides: that of ./dev, and an environment per peer, built from its locked packages.

They are kept in `.venv-bench` and rebuilt when their lock file, Python or path changes. If that is not possible (no
registry, no Python of the version a peer needs), the peer is missing, with the reason.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.process import ROOT

FOLDER = ROOT / ".venv-bench"
UV = Path(sys.prefix) / "bin" / "uv"
INSTALL_TIMEOUT_S = 600.0


class Missing(Exception):
    """A side cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Environment:
    """`requirements-NAME.lock`, installed for our own Python or another one found on this machine."""

    name: str
    version: str | None = None

    @property
    def lock(self) -> Path:
        """The packages to install, with hashes."""
        return ROOT / "bench" / f"requirements-{self.name}.lock"

    def python(self) -> Path:
        """Its Python, ready to run. Raises: Missing, the same each time."""
        found = _ready(self)
        if isinstance(found, Missing):
            raise found
        return found

    def prepared(self) -> Path:
        """Build it if needed. Raises: Missing."""
        interpreter = Path(sys.executable) if self.version is None else find_python(self.version)
        folder = FOLDER / self.name
        wanted = "\n".join((hashlib.sha256(self.lock.read_bytes()).hexdigest(), str(interpreter), str(folder)))
        FOLDER.mkdir(exist_ok=True)
        with open(FOLDER / f"{self.name}.guard", "w") as one_at_a_time:
            fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
            stamp = folder / "stamp"
            if not stamp.exists() or stamp.read_text() != wanted:
                self._make(interpreter, folder)
                stamp.write_text(wanted)
        return folder / "bin" / "python"

    def _make(self, interpreter: Path, folder: Path) -> None:
        print(f"bench: setting up {self.name} in {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        commands: list[list[str | Path]] = [
            ["venv", "--quiet", "--python", interpreter, folder],
            ["pip", "sync", "--quiet", "--require-hashes", "--python", folder / "bin" / "python", self.lock],
        ]
        for command in commands:
            environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
            try:
                done = subprocess.run(
                    [UV, *command],
                    check=False,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=INSTALL_TIMEOUT_S,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise Missing(f"{self.name} could not be installed: {error}") from error
            if done.returncode:
                said = re.sub(r"\S*/\S*", "…", " ".join(done.stdout.split()))  # without addresses and local paths
                raise Missing(f"{self.name} could not be installed: {said[:300]}")


@cache
def _ready(environment: Environment) -> Path | Missing:
    try:
        return environment.prepared()
    except Missing as missing:
        return missing


def find_python(version: str) -> Path:
    """A Python of this version on the PATH or from pyenv. Raises: Missing."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    on_path = shutil.which(f"python{version}")
    candidates = [Path(on_path)] if on_path else []
    candidates += sorted(pyenv.glob(f"versions/{version}*/bin/python{version}"), reverse=True)
    for candidate in candidates:
        asked: list[str | Path] = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"]
        done = subprocess.run(asked, check=False, capture_output=True, text=True)  # a shim of pyenv may start nothing
        found, _, executable = done.stdout.strip().partition(" ")
        if found == version:
            return Path(executable)
    raise Missing(f"no Python {version} on the PATH or in pyenv")
