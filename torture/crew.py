"""The processes: started, killed, paused, and restarted when they die."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

import msgspec

from torture.aim import Strike
from torture.member import Orders, Role

AIM_S = 1.0  # how long to wait for a process to reach the place of a strike
ENDING_S = 20.0
TAIL_CHARACTERS = 1_500


class Crew:
    """All processes of a run. `kills` counts deaths by `kill -9`; `fallen` describes those that ended otherwise."""

    def __init__(self, url: str, folder: Path, seed: str, mutation: str | None) -> None:
        self._url, self._seed, self._mutation = url, seed, mutation
        self.journals, self._output = folder / "journals", folder / "output"
        for made in (self.journals, self._output):
            made.mkdir()
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, Process] = {}
        self._wakers: dict[Process, asyncio.Task[None]] = {}
        self._hit = asyncio.Event()
        self._ending: set[str] = set()
        self.kills = self.pauses = 0
        self.fallen: list[str] = []

    def start(self, role: Role, count: int) -> None:
        """Start `count` processes of a role and keep each alive."""
        for number in range(count):
            name = f"{role}-{number}"
            self._keepers[name] = asyncio.create_task(self._keep(role, name), name=name)

    def _of(self, role: Role) -> Sequence[tuple[str, Process]]:
        return [(name, process) for name, process in self._processes.items() if name.startswith(role)]

    async def strike(self, role: Role, number: int, strike: Strike) -> None:
        """Hit the first process of a role that reaches the place; if none does in time, hit one wherever it is."""
        if strike.place and await self._comes_by(role, strike):
            return
        if awake := [process for _, process in self._of(role) if process not in self._wakers]:
            process = awake[number % len(awake)]
            _signal(process, signal.Signals[strike.signal])
            self._was_hit(process, strike)

    async def _comes_by(self, role: Role, strike: Strike) -> bool:
        self._hit.clear()
        self._tell(role, strike)
        try:
            async with asyncio.timeout(AIM_S):
                await self._hit.wait()
        except TimeoutError:
            return False
        finally:
            self._tell(role, None)
        return True

    def _tell(self, role: Role, strike: Strike | None) -> None:
        for _, process in self._of(role):
            if process.stdin is not None and not process.stdin.is_closing():
                process.stdin.write(msgspec.json.encode(strike) + b"\n")

    def _was_hit(self, process: Process, strike: Strike) -> None:
        self._hit.set()
        if strike.signal == signal.SIGSTOP.name:
            self.pauses += 1
            self._wakers[process] = asyncio.create_task(self._wake(process, strike.pause_s))

    async def _wake(self, process: Process, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        _signal(process, signal.SIGCONT)
        self._wakers.pop(process, None)

    async def end(self, role: Role) -> None:
        """SIGTERM: each finishes what it has begun. One that does not is killed and reported."""
        self._ending.update(name for name in self._keepers if name.startswith(role))
        for _, process in self._of(role):
            _signal(process, signal.SIGCONT)
            _signal(process, signal.SIGTERM)
        keepers = [keeper for name, keeper in self._keepers.items() if name.startswith(role)]
        _, late = await asyncio.wait(keepers, timeout=ENDING_S)
        for keeper in late:
            self.fallen.append(f"{keeper.get_name()} was still running {ENDING_S:g} s after SIGTERM")
            _signal(self._processes[keeper.get_name()], signal.SIGKILL)
        await asyncio.gather(*keepers)

    async def abandon(self) -> None:
        """Kill the processes that are left."""
        for task in (*self._keepers.values(), *self._wakers.values()):
            task.cancel()
        await asyncio.gather(*self._keepers.values(), *self._wakers.values(), return_exceptions=True)
        for process in self._processes.values():
            _signal(process, signal.SIGKILL)
            await process.wait()

    async def _keep(self, role: Role, name: str) -> None:
        life = 0
        while name not in self._ending:
            life += 1
            output = self._output / f"{name}.{life:05}.txt"
            orders = Orders(role, name, life, self._url, str(self.journals), self._seed, self._mutation)
            status = await self._live(orders, output)
            if status == -signal.SIGKILL:
                self.kills += 1
            elif name not in self._ending or status not in (0, -signal.SIGTERM):  # SIGTERM: it had barely started
                output_tail = output.read_text(errors="replace")[-TAIL_CHARACTERS:]
                self.fallen.append(f"{name} ended by itself with status {status}: {output_tail}")

    async def _live(self, orders: Orders, output: Path) -> int:
        """Run one process to its end; returns its exit status."""
        command = [sys.executable, "-m", "torture.member", msgspec.json.encode(orders).decode()]
        with output.open("wb") as errors:  # in its own session: Ctrl-C is for the torturer
            process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=errors, start_new_session=True
            )
        self._processes[orders.name] = process
        if orders.name in self._ending:
            _signal(process, signal.SIGTERM)
        assert process.stdout is not None
        async for line in process.stdout:
            self._was_hit(process, msgspec.json.decode(line, type=Strike))
        status = await process.wait()
        del self._processes[orders.name]
        return status


def _signal(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        try:
            # not process.send_signal: it polls first, and that would take the exit status from the waiting task
            os.kill(process.pid, number)
        except ProcessLookupError:
            pass
