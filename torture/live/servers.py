"""`twofold serve` as processes that are killed, and other commands of `twofold`."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from pathlib import Path

START_S, STOP_S, TAIL_CHARACTERS = 60.0, 30.0, 1_500
LOOK_S = 0.05


class Fallen(Exception):
    """A process ended, or did not, against what was expected of it."""


class Server:
    """One place to connect to: a port, and the process that serves there, if one does."""

    def __init__(self, name: str, url: str, folder: Path, watchers: int) -> None:
        self.name, self._url, self._watchers = name, url, watchers
        self._output = folder / f"{name}.txt"
        self.port = _free_port()
        self.api = ""
        self._process: Process | None = None

    async def start(self, api: str) -> None:
        """Serve a version of the App, once no process does. Raises: Fallen."""
        limits = ["--max-watchers", str(self._watchers), "--max-connections", str(self._watchers + 200)]
        where = ["--store", self._url, "--port", str(self.port)]
        self._output.write_bytes(b"")
        self._process = await _begun(self._output, "serve", f"torture.live.ledger:{api}", *where, *limits)
        async with asyncio.timeout(START_S):
            while b"http://" not in self._output.read_bytes():
                if self._process.returncode is not None:
                    raise Fallen(f"{self.name} ended at its start: {self.tail()}")
                await asyncio.sleep(LOOK_S)
        self.api = api

    async def kill(self) -> None:
        """`kill -9`."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM. Raises: Fallen if it does not end by itself, or with an error."""
        status = await self._end(signal.SIGTERM)
        if status != 0:
            raise Fallen(f"{self.name} ended with status {status}: {self.tail()}")

    async def _end(self, how: signal.Signals) -> int:
        process, self._process, self.api = self._process, None, ""
        if process is None:
            return 0
        if process.returncode is not None:
            raise Fallen(f"{self.name} had ended by itself: {self.tail()}")
        os.kill(process.pid, how)
        try:
            async with asyncio.timeout(STOP_S):
                return await process.wait()
        except TimeoutError:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            raise Fallen(f"{self.name} was still running {STOP_S:g} s after SIGTERM") from None

    def tail(self) -> str:
        """The end of what it printed."""
        return self._output.read_text(errors="replace")[-TAIL_CHARACTERS:]


async def twofold(folder: Path, *arguments: str) -> None:
    """Run a command of `twofold`. Raises: Fallen unless it succeeds."""
    output = folder / "command.txt"
    process = await _begun(output, *arguments)
    status = await process.wait()
    if status != 0:
        told = output.read_text(errors="replace")[-TAIL_CHARACTERS:]
        raise Fallen(f"twofold {' '.join(arguments)} ended with status {status}: {told}")


async def _begun(output: Path, *arguments: str) -> Process:
    with output.open("ab") as errors:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "torture.live.process", *arguments,
            stdout=errors, stderr=errors, start_new_session=True,
        )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
