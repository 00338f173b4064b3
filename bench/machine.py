"""What the figures depend on: the machine, the versions, the durability of a commit, and the load."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw

from bench.places import Places
from bench.process import ROOT

PACKAGES = ("apsw", "asyncpg", "msgspec", "uvloop")


def header(places: Places, command: str) -> dict[str, Any]:
    """The first line of a run."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "commit": commit(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "os": platform.platform(terse=True),
        "file_system": file_system(places.folder),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "postgres": places.postgres_settings(),
        "sqlite": {"version": apsw.sqlite_lib_version(), "journal_mode": "WAL", "synchronous": "FULL (the log)"},
    }


def commit() -> str:
    """The commit of the checkout, marked if there are uncommitted changes."""
    try:
        told = [
            subprocess.run(["git", "-C", ROOT, *what], check=True, capture_output=True, text=True).stdout.strip()
            for what in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told[0] + (" and changes" if told[1] else "")


def processor() -> str:
    """The name of the processor, if the system reports one."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def file_system(folder: Path) -> str:
    """The file system of the disk that commits wait for."""
    if sys.platform != "linux":
        return "unknown"
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    path = str(folder.resolve())
    holding = [(len(at), kind) for at, kind in mounts if path == at or path.startswith(at.rstrip("/") + "/")]
    return max(holding)[1] if holding else "unknown"
