"""The server as a process of a test or tool."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
STOP_TIMEOUT_S = 30.0


class Process:
    """A server. It is reached through `connection_string` or `url`."""

    def __init__(self, options: list[str], environment: Mapping[str, str] | None = None) -> None:
        """Start it and wait until it serves. Raises: RuntimeError."""
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed when the process has ended)
        outer = {**os.environ, **(environment or {})}
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "devservers.cosmos", *options],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**outer, "PYTHONPATH": os.pathsep.join([str(ROOT), outer.get("PYTHONPATH", "")])},
        )
        assert self._process.stdout is not None
        self.connection_string = self._process.stdout.readline().strip()
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self._process.wait(STOP_TIMEOUT_S)
            errors = self.errors().strip()
            self._close()
            raise RuntimeError(f"the server did not start: {errors}")

    @property
    def endpoint(self) -> str:
        """The account's address."""
        return self._setting("AccountEndpoint")

    @property
    def key(self) -> str:
        """The account's key."""
        return self._setting("AccountKey")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self.endpoint.rstrip("/").rpartition(":")[2])

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def errors(self) -> str:
        """What it has written to its standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def stop(self) -> int:
        """End it in order; returns its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int:
        if self._process.poll() is None:
            self._process.send_signal(how)
        status = self._process.wait(STOP_TIMEOUT_S)
        self._close()
        return status

    def _close(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()

    def _setting(self, name: str) -> str:
        settings = dict(part.split("=", 1) for part in self.connection_string.rstrip(";").split(";"))
        return settings[name]


@contextmanager
def running(
    data: Path | None = None, ranges: int = 1, port: int = 0, tls: bool = False, key: str | None = None
) -> Iterator[Process]:
    """A server that is stopped at the end. Without `data` it keeps nothing. Raises: RuntimeError."""
    options = ["--ranges", str(ranges), "--port", str(port), *(["--tls"] if tls else [])]
    options += [] if data is None else ["--data", str(data)]
    process = Process(options, {} if key is None else {"COSMOS_KEY": key})
    try:
        yield process
    finally:
        process.stop()
