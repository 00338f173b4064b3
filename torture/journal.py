"""What each process writes down: one JSON object a line, in a file of its own, before it counts.

A line is one write to a file that is only appended to. That is enough to survive `kill -9`, which takes the process
and not the system; a line without its end was not written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec


class Asked(msgspec.Struct, frozen=True, tag=True):
    """A command is about to be sent. `sizes` says how many events it may come to, when it is stored."""

    id: str
    stream: str
    kind: str
    command: str
    sizes: tuple[int, ...]
    expected_version: int | None = None


class Acked(msgspec.Struct, frozen=True, tag=True):
    """It was acknowledged, with this receipt."""

    id: str
    stream: str
    version: int
    events: int
    position: int
    token: str
    repeated: bool


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It was refused: nothing was stored."""

    id: str
    stream: str
    why: str


class Unknown(msgspec.Struct, frozen=True, tag=True):
    """What became of it could not be told."""

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
    """A row was asked for with the token of `version`: how it was answered, by `get`, `find` or an error.

    `found` is the version up to which the row that came had been folded, 0 where none came.
    """

    stream: str
    version: int
    answer: str
    found: int = 0
    parked: int = 0


class Claimed(msgspec.Struct, frozen=True, tag=True):
    """A worker holds a follower now; `taken_over` from one that did not let go."""

    follower: str
    epoch: int
    taken_over: bool


class Fenced(msgspec.Struct, frozen=True, tag=True):
    """A write was refused, because somebody else holds the follower."""

    follower: str


class Retried(msgspec.Struct, frozen=True, tag=True):
    """What was parked was tried again: so many rows wait no longer, so many again, and so many events were folded."""

    done: int
    again: int
    events: int


class Struck(msgspec.Struct, frozen=True, tag=True):
    """The process dies or stands still, at a place it was told."""

    place: str
    signal: str


Fact = Asked | Acked | Refused | Unknown | Seen | Looked | Claimed | Fenced | Retried | Struck

_DECODER: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)


class Journal:
    """The file of one process."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, fact: Fact) -> None:
        """One line, handed to the system when this returns."""
        line = msgspec.json.encode(fact) + b"\n"
        if os.write(self._descriptor, line) != len(line):
            raise OSError("a line of the journal was not written whole")


class Journals:
    """All journals of a folder whose names begin with `prefix`, read on from where they were last."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self._folder, self._prefix = folder, prefix
        self._read: dict[Path, int] = {}

    def news(self) -> Iterator[tuple[str, Fact]]:
        """What was written since the last call: the name of the process, and a fact."""
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
    """Each life of a process has a file of its own, so that half a line is always the last one."""
    return folder / f"{name}.{life:05}.jsonl"


def name_of(file: Path) -> str:
    """The process of a file."""
    return file.name.partition(".")[0]
