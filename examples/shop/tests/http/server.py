"""The shop as a process of its own, as `./dev run` starts it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

WELCOME_LINES = 12


@dataclass
class Server:
    process: subprocess.Popen[str]
    welcome: str

    @property
    def address(self) -> str:
        return self.welcome.split("serves ")[1].split(",")[0]

    @property
    def lines_to_paste(self) -> list[str]:
        return [line.strip() for line in self.welcome.splitlines() if line.strip().startswith("curl")]

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=30)


@contextmanager
def serving(store: str, folder: Path) -> Iterator[Server]:
    """A server at a free port; it is stopped, and must then have ended well. Its logs are in `folder`."""
    with open(folder / "log", "a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "shop.serve", "--port", "0", "--store", store],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        assert process.stdout is not None
        try:
            server = Server(process, "".join(process.stdout.readline() for _ in range(WELCOME_LINES)))
            yield server
            assert server.stop() == 0
        finally:
            process.kill()
