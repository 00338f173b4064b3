"""What can be planted: one piece of one file replaced by another. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec


class Defect(msgspec.Struct, frozen=True, omit_defaults=True):
    """`old`, which begins at a line and column (both from 1, in characters), becomes `new`.

    `kind` says what was done. `within` is the line in which it begins: it is found again after lines above it have come
    or gone. One made by hand also says what a user would meet, and which promise that breaks; its `old` occurs once in
    the file, so it has no place.
    """

    file: str
    kind: str
    old: str
    new: str
    line: int = 0
    column: int = 0
    meets: str = ""
    promise: str = ""
    within: str = ""

    @property
    def name(self) -> str:
        """Short, and the same in every run."""
        where = f"{self.file}\0{self.line}\0{self.column}\0{self.kind}\0{self.old}\0{self.new}"
        return hashlib.sha256(where.encode()).hexdigest()[:10]

    def planted_in(self, text: str) -> str:
        """The text with the defect. Raises: DoesNotApply."""
        start = self.start_in(text)
        return text[:start] + self.new + text[start + len(self.old) :]

    def applies_to(self, text: str) -> bool:
        """Whether the text still has what it replaces."""
        try:
            self.start_in(text)
        except DoesNotApply:
            return False
        return True

    def start_in(self, text: str) -> int:
        """Where it begins. Raises: DoesNotApply."""
        if not self.line:
            if text.count(self.old) != 1:
                raise DoesNotApply(f"{self.file}: found {text.count(self.old)} times, not once: {self.old!r:.100}")
            return text.index(self.old)
        lines = text.splitlines(keepends=True)
        start = sum(map(len, lines[: self._line_in(lines) - 1])) + self.column - 1
        if text[start : start + len(self.old)] != self.old:
            raise DoesNotApply(f"{self.file}:{self.line}:{self.column}: no longer reads {self.old!r:.100}")
        return start

    def _line_in(self, lines: Sequence[str]) -> int:
        """The nearest line that reads as `within`; without one, where it was."""
        alike = (
            number for number, line in enumerate(lines, start=1) if self.within and line.rstrip("\n") == self.within
        )
        return min(alike, key=lambda number: abs(number - self.line), default=self.line)

    def lines_in(self, text: str) -> range:
        """The lines it changes."""
        start = self.start_in(text)
        first = text.count("\n", 0, start) + 1
        return range(first, first + self.old.count("\n") + 1)


class DoesNotApply(Exception):
    """The file has changed since the defect was listed."""


def placed(file: str, kind: str, text: str, start: int, end: int, new: str) -> Defect:
    """The defect that replaces a piece of a text."""
    line = text.count("\n", 0, start) + 1
    column = start - (text.rfind("\n", 0, start) + 1) + 1
    return Defect(file, kind, text[start:end], new, line, column, within=text.splitlines()[line - 1])
