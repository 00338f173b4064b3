"""A side as the parent sees it: a process that handles one request at a time."""

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[1]
ANSWER_TIMEOUT_S = 900.0
END_TIMEOUT_S = 15.0


class SideFailed(Exception):
    """A side failed to carry out a request."""


class Side:
    """`bench.sides.MODULE`, run by this Python."""

    def __init__(self, name: str, python: Path, arguments: Mapping[str, Any], folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name}-{os.urandom(3).hex()}.log"
        paths = os.pathsep.join(str(ROOT / part) for part in ("", "src", "examples"))
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        module = f"bench.sides.{name.replace('-', '_')}"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [python, "-P", "-m", module, json.dumps(dict(arguments))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=folder,
                text=True,
            )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Call a method of the side; returns its answer. Raises: SideFailed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        too_late = threading.Timer(ANSWER_TIMEOUT_S, self._process.kill)
        too_late.start()
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            too_late.cancel()
        if not line:
            raise SideFailed(f"{self.name} ended during {do!r}: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SideFailed(f"{self.name}, {do}: {answer['error']}")
        return answer

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it printed nothing"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def processor_s(pid: int) -> float:
    """Processor time used so far by a process and its children. Only on Linux."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has since ended
            continue
        if int(stat.parent.name) == pid or int(fields[1]) == pid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
