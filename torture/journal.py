"""What each process records, in a file of its own and before the record counts: one JSON object per line.

A line is one write to an append-only file. That is enough to survive `kill -9`, which ends the process and not the
system; a line without its newline does not count.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec


class Asked(msgspec.Struct, frozen=True, tag=True):
    """A command is about to be sent. `sizes`: how many events it may store."""

    id: str
    stream: str
    kind: str
    command: str
    sizes: tuple[int, ...]
    expected_version: int | None = None


class Acked(msgspec.Struct, frozen=True, tag=True):
    """The command was acknowledged with this receipt."""

    id: str
    stream: str
    version: int
    events: int
    position: int
    token: str
    repeated: bool


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The command was refused: nothing was stored."""

    id: str
    stream: str
    why: str


class Unknown(msgspec.Struct, frozen=True, tag=True):
    """The outcome of the command is unknown."""

    id: str
    stream: str
    why: str


class Seen(msgspec.Struct, frozen=True, tag=True):
    """A page of a feed: offset, stream and version of each event. Partition 0 is the feed of the log as a whole."""

    after: int
    upto: int
    events: list[tuple[int, str, int]]
    partition: int = 0


class Looked(msgspec.Struct, frozen=True, tag=True):
    """A row was read with the token of `version`; `answer` is `get`, `find` or the name of an error.

    `found` is the version up to which the returned row had been folded, 0 without a row.
    """

    stream: str
    version: int
    answer: str
    found: int = 0
    parked: int = 0


class Claimed(msgspec.Struct, frozen=True, tag=True):
    """A worker now holds a follower; `taken_over` from one that had not released it."""

    follower: str
    epoch: int
    taken_over: bool


class Fenced(msgspec.Struct, frozen=True, tag=True):
    """A write was refused because another worker holds the follower."""

    follower: str


class Retried(msgspec.Struct, frozen=True, tag=True):
    """Parked rows were retried: how many were unparked, how many parked again, and how many events were folded."""

    done: int
    again: int
    events: int


class Struck(msgspec.Struct, frozen=True, tag=True):
    """The process is killed or paused at the place of its strike."""

    place: str
    signal: str


Fact = Asked | Acked | Refused | Unknown | Seen | Looked | Claimed | Fenced | Retried | Struck

_DECODER: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)


class Journal:
    """The file of one process."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, fact: Fact) -> None:
        """Write one line; the system has it when this returns."""
        line = msgspec.json.encode(fact) + b"\n"
        if os.write(self._descriptor, line) != len(line):
            raise OSError("a journal line was only partly written")


class Journals:
    """All journals of a folder whose names begin with `prefix`, read incrementally."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self._folder, self._prefix = folder, prefix
        self._read: dict[Path, int] = {}

    def news(self) -> Iterator[tuple[str, Fact]]:
        """Yield what was written since the last call: the name of the process, and a fact."""
        for file in sorted(self._folder.glob(f"{self._prefix}*.jsonl")):
            done = self._read.get(file, 0)
            with file.open("rb") as lines:
                lines.seek(done)
                text = lines.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read[file] = done + len(whole)
            for line in whole.splitlines():
                yield name_of(file), _DECODER.decode(line)


def file_of(folder: Path, name: str, life: int) -> Path:
    """Each life of a process has its own file, so only the last line can be incomplete."""
    return folder / f"{name}.{life:05}.jsonl"


def name_of(file: Path) -> str:
    """The name of the process that wrote a file."""
    return file.name.partition(".")[0]
