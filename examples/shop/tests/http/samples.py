"""What a soak samples and how it judges the samples."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import linear_regression, mean

MEMORY_MIB_A_MINUTE = 1.0
FEW_FILES = 5
LAG_EVENTS = 1_000
ROWS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """The server at one moment."""

    at_s: float
    memory_mib: float
    files: int
    connections: int
    """Of PostgreSQL; 0 without one."""
    lag_events: float
    lag_s: float
    command_p99_ms: float
    read_p99_ms: float

    def line(self) -> str:
        return "".join(f"{value:>12.1f}" if isinstance(value, float) else f"{value:>12}" for value in astuple(self))


async def sample_of(pid: int, url: str, metrics: str, at_s: float, command_p99_ms: float, read_p99_ms: float) -> Sample:
    status = await asyncio.to_thread(Path(f"/proc/{pid}/status").read_text)
    files = await asyncio.to_thread(lambda: len(list(Path(f"/proc/{pid}/fd").iterdir())))
    memory = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert memory is not None
    lags = {name: _largest(metrics, f"twofold_lag_{name}") for name in ("events", "seconds")}
    return Sample(
        at_s,
        int(memory[1]) / 1_024,
        files,
        await _connections(url),
        lags["events"],
        lags["seconds"],
        command_p99_ms,
        read_p99_ms,
    )


def _largest(metrics: str, name: str) -> float:
    return max(0.0, *(float(value) for value in re.findall(rf"^{name}{{.*}} (\S+)$", metrics, re.MULTILINE)))


async def _connections(url: str) -> int:
    if not url.startswith("postgresql:"):
        return 0
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        found: int = await connection.fetchval(others)
        return found
    finally:
        await connection.close()


def table(samples: Sequence[Sample]) -> str:
    """About twenty samples, with a header."""
    step = max(1, len(samples) // ROWS_SHOWN)
    head = "".join(f"{one.name:>12}" if len(one.name) < 12 else f" {one.name[:11]}" for one in fields(Sample))
    return "\n".join([head, *(sample.line() for sample in samples[::step])])


def judged(samples: Sequence[Sample]) -> list[str]:
    """What is wrong, one sentence each. The first half lets caches fill and is ignored."""
    early, late = samples[len(samples) // 4 : len(samples) // 2], samples[len(samples) // 2 :]
    if len(late) < 4 or not early:
        return ["too short to be judged"]
    faults = []
    growth = linear_regression([one.at_s / 60 for one in late], [one.memory_mib for one in late]).slope
    if growth > MEMORY_MIB_A_MINUTE:
        faults.append(f"memory grows by {growth:.2f} MiB a minute")
    for name, most in (("files", FEW_FILES), ("connections", FEW_FILES), ("lag_events", LAG_EVENTS)):
        before, after = (mean(getattr(one, name) for one in half) for half in (early, late))
        if after > before + most:
            faults.append(f"{name} grow: from {before:.0f} to {after:.0f}")
    return faults
