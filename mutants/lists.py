"""The defects that are committed, and what became of them: reading and writing the files of this folder."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from mutants.defect import Defect

FOLDER = Path(__file__).resolve().parent
DRAWN, BY_HAND, HARMLESS, RESULTS = (
    FOLDER / name for name in ("drawn.json", "by_hand.toml", "harmless.toml", "results.json")
)
SEED = 18


class Drawn(msgspec.Struct, frozen=True):
    """A seed, and what it drew from the source of its day."""

    seed: int
    defects: Sequence[Defect]


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a defect. `source` and `tests` name the state of its file and of all tests at the time.

    `by` is the test that noticed it, None if it survived; `hung` if the test did not fail, but took far longer than it
    does; `absent` if the file had changed, so that it could not be planted.
    """

    defect: Defect
    source: str
    tests: str
    date: str
    by: str | None = None
    hung: bool = False
    absent: bool = False
    ran: int = 0
    seconds: float = 0.0


def by_hand() -> Sequence[Defect]:
    """Those made by hand, in the order of their numbers, from 1."""
    return msgspec.convert(tomllib.loads(BY_HAND.read_text("utf-8"))["defect"], list[Defect])


def drawn() -> Drawn:
    """Those that were drawn and committed."""
    return msgspec.json.decode(DRAWN.read_bytes(), type=Drawn)


def write_drawn(made: Drawn) -> None:
    """Write the list, one defect a line."""
    lines = ",\n".join(msgspec.json.encode(defect).decode() for defect in made.defects)
    DRAWN.write_text(f'{{"seed": {made.seed}, "defects": [\n{lines}\n]}}\n', "utf-8")


def harmless() -> Mapping[str, str]:
    """Why a survivor changes nothing that a user could see, by its name."""
    return {name: one["reason"] for name, one in tomllib.loads(HARMLESS.read_text("utf-8")).items()}


def results(file: Path = RESULTS) -> Sequence[Result]:
    """The results in a file; none if there is no file."""
    return msgspec.json.decode(file.read_bytes(), type=list[Result]) if file.exists() else []


def write_results(made: Sequence[Result], file: Path = RESULTS) -> None:
    """Write results, one a line."""
    lines = ",\n".join(msgspec.json.encode(result).decode() for result in made)
    file.write_text(f"[\n{lines}\n]\n", "utf-8")
