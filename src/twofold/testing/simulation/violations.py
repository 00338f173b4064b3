"""Broken promises, and how they are put in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WATCHERS = "watchers"  # what a watcher got does not lead to what the table holds; see docs/guarantees.md
ENGINE = "engine"  # breaks no promise itself: no rest is reached, or an error is lost


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise of the list G1 to G11, that of watchers, or one of the App, and how it was broken."""

    promise: str
    text: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.text}"


def difference(expected: Any, found: Any) -> str:
    """The first key at which two dictionaries differ."""
    for key in sorted({*expected, *found}, key=repr):
        if expected.get(key) != found.get(key):
            shown = key[0] if isinstance(key, tuple) and len(key) == 1 else key
            return f"{shown!r} should be {_shown(expected, key)}, but is {_shown(found, key)}"
    return "no difference"


def _shown(table: Any, key: Any) -> str:
    return f"{table[key]!r}" if key in table else "not there"
