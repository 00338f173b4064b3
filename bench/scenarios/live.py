"""Live rows: how long after a change in another process a thousand watchers have seen it.

The value is the 99th percentile of all deliveries of rows; `cpu_us` is the server's processor time for each of them,
with its folding, and `rss_mb` its memory. In the end every view must equal its table. The clients, all in one process,
run on the same cores as the server: with few cores they are part of what is measured.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from bench.live import KEYS
from bench.places import Backend, Place
from bench.process import ROOT, SideFailed, processor_s
from bench.results import Case
from bench.run import Measured, Run, WrongResult
from bench.watchers import ROW, Watchers

BACKENDS: tuple[Backend, ...] = ("postgres", "sqlite")
CASES = {
    "SSE, 1 watcher, 20 changes/s": ("/counters", 1, 20),
    "1,000 SSE on 100 keys, 100 changes/s": ("/counters/k{}", 1_000, 100),
    "1,000 SSE on everything, 100 changes/s": ("/counters", 1_000, 100),
    "1,000 WebSockets, 20 changes/s": ("ws", 1_000, 20),
}
LONGER = 2.0
ROUNDS = 3
STOP_TIMEOUT_S = 15.0


def live(run: Run) -> None:
    """Measure on both backends."""
    for backend in BACKENDS:
        for name, (path, watchers, per_second) in CASES.items():
            with run.places.fresh(backend) as place:

                def measure(
                    place: Place = place, path: str = path, count: int = watchers, rate: int = per_second
                ) -> Measured:
                    with _served(place) as (address, pid):
                        return asyncio.run(_measured(place, address, pid, path, count, rate, LONGER * run.size.seconds))

                run.alone(Case("live", backend, name, "ms p99"), measure, rounds=ROUNDS)


async def _measured(
    place: Place, address: str, pid: int, path: str, count: int, per_second: int, seconds: float
) -> Measured:
    async with Watchers() as watchers:
        if path == "ws":
            addresses = [address.replace("http:", "ws:") + "/live"] * count
        else:
            addresses = [address + path.format(number % KEYS) for number in range(count)]
        await watchers.begin(iter(addresses))
        before = processor_s(pid)
        arguments = [place.url, str(per_second), str(seconds)]
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "bench.live", "write", *arguments, env=_environment()
        )
        if await writer.wait():
            raise SideFailed("the writer failed")
        await watchers.rest()
        used_s = processor_s(pid) - before
        _check(watchers, path, await asyncio.to_thread(_table, address))
        delays = sorted(watchers.delays)
        details = {
            "p50_ms": 1000 * delays[len(delays) // 2],
            "cpu_us": 1e6 * used_s / len(delays),
            "frames": float(watchers.frames),
            "rss_mb": _memory_mb(pid),
        }
        return Measured(1000 * delays[int(len(delays) * 0.99)], details)


def _table(address: str) -> dict[bytes, int]:
    """All counters, as a plain read returns them."""
    with urlopen(f"{address}/counters?limit=500") as page:
        return {key: int(n) for key, n, _ in ROW.findall(page.read())}


def _check(watchers: Watchers, path: str, table: dict[bytes, int]) -> None:
    """Every view equals its table. Raises: WrongResult."""
    for number, view in enumerate(watchers.views):
        key = f"k{number % KEYS}".encode()
        expected = {key: table[key]} if "{}" in path and key in table else {} if "{}" in path else table
        if view != expected:
            raise WrongResult(f"watcher {number} knows {view}, and the table has {expected}")


@contextmanager
def _served(place: Place) -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-P", "-m", "bench.live", "serve", place.url]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(), text=True
    ) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://\S+", process.stdout.readline())
            if found is None:
                raise SideFailed("the server did not start")
            yield found[0], process.pid
        finally:
            process.terminate()  # it releases what it follows, for the next round
            try:
                process.wait(STOP_TIMEOUT_S)
            finally:
                process.kill()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "src", "examples"))}


def _memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
