"""The host's log: time, function, invocation, level, text. It goes to the standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime

HOST = "host"
LEVELS = ("Trace", "Debug", "Information", "Warning", "Error", "Critical", "None")
USUAL = "Information"


class Log:
    """Lines of at least the level that `levels` (`logging.logLevel` of host.json) gives for a category."""

    def __init__(self, levels: Mapping[str, str] | None = None) -> None:
        self._levels = levels or {}
        self.running = dict[str, str]()  # the functions by the ids of their invocations

    def write(self, level: str, text: str, function: str = HOST, invocation: str = "") -> None:
        """Write one; a text of several lines stays as it is."""
        if self._wanted(level, function):
            time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            who = f"{function} {invocation}" if invocation else function
            print(f"{time} {who} [{level}] {text}", file=sys.stderr, flush=True)  # noqa: T201

    def of_worker(self, level: str, text: str, invocation: str) -> None:
        """Write a line that the app has logged."""
        self.write(level, text, self.running.get(invocation, "worker"), invocation)

    def _wanted(self, level: str, function: str) -> bool:
        categories = ("default", "Function", f"Function.{function}", f"Function.{function}.User")
        named = [self._levels[one] for one in categories if one in self._levels and (function != HOST or one[0] == "d")]
        least = named[-1] if named else USUAL
        return level not in LEVELS or least not in LEVELS or LEVELS.index(level) >= LEVELS.index(least)
