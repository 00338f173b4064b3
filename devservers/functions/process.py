"""A host as a process of a test or tool."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
STOP_S = 60.0
WAIT_S = 120.0
news = threading.Condition()  # of all processes, so that one can wait for what any of them says


class Process:
    """A host that serves at `url`. Its log is in `lines`."""

    def __init__(self, app: Path, settings: Mapping[str, str], options: Sequence[str] = ()) -> None:
        """Start it and wait until it serves. Raises: RuntimeError."""
        environment = {**os.environ, **settings}
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "devservers.functions", "--app", str(app), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, "PYTHONPATH": os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])},
        )
        self.lines = list[str]()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self.status = self._end(signal.SIGTERM)
            raise RuntimeError("the host did not start: " + "\n".join(self.lines))

    @property
    def pid(self) -> int:
        """The process id of the host, not of its worker."""
        return self._process.pid

    def line(self, part: str) -> str:
        """The first line of the log with this text, as soon as there is one. Raises: TimeoutError."""
        await_news(lambda: any(part in line for line in self.lines), f"{part!r} in the log")
        return next(line for line in self.lines if part in line)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it in order; returns its exit status once its worker has ended, too."""
        return self._end(how)

    def kill(self) -> None:
        """End it as a power cut would; its worker notices."""
        self._end(signal.SIGKILL)

    def wait(self) -> int:
        """Wait until it has ended by itself; returns its exit status."""
        return self._ended()

    def _end(self, how: signal.Signals) -> int:
        if self._process.poll() is None:
            self._process.send_signal(how)
        return self._ended()

    def _ended(self) -> int:
        status = self._process.wait(STOP_S)
        self._reader.join(STOP_S)  # the log ends with the last process that has it
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as log:
            for line in log:
                with news:
                    self.lines.append(line.rstrip("\n"))
                    news.notify_all()


def await_news(holds: Callable[[], bool], what: str) -> None:
    """Wait until it holds, asking again after each line of any process. Raises: TimeoutError."""
    with news:
        if not news.wait_for(holds, WAIT_S):
            raise TimeoutError(f"waited {WAIT_S:.0f} s for {what}")


@contextmanager
def running(app: Path, settings: Mapping[str, str], options: Sequence[str] = ()) -> Iterator[Process]:
    """A host that is stopped at the end. Raises: RuntimeError."""
    process = Process(app, settings, options)
    try:
        yield process
    finally:
        process.stop()
