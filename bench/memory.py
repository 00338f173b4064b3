"""How much memory a piece of work adds to this process."""

import resource
import sys
from pathlib import Path


class PeakMemory:
    """Start measuring."""

    def __init__(self) -> None:
        if sys.platform == "linux":
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the current size
        self._before_mb = _peak_mb()

    def added_mb(self) -> float:
        """The growth of the peak since."""
        return _peak_mb() - self._before_mb


def _peak_mb() -> float:
    if sys.platform == "linux":  # not getrusage: its peak may predate this program
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1_024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1_024) / 1e6
