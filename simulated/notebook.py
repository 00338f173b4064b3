"""Notes: some cannot be folded, some have no key, and a reactor fails on some."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from twofold.app import App
from twofold.errors import Rejected
from twofold.messages import Recorded
from twofold.react.reactor import Reactor, To
from twofold.read.columns import Values
from twofold.read.projection import Projection, Table
from twofold.testing.simulation.scenario import Cure, Scenario
from twofold.write.decider import Decider


@dataclass(frozen=True, slots=True)
class Write:
    """Write a note."""

    text: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """Noted."""

    text: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notes:
    """Count the notes."""

    count: int = 0


CURSED, KEYLESS, POISON = "cursed", "keyless", "poison"
MOST_USED = 5
cure = Cure()


def decide_notes(command: Write, notes: Notes) -> list[Written]:
    """An empty text changes nothing."""
    return [Written(command.text, command.tags)] if command.text else []


def evolve_notes(notes: Notes, event: Written) -> Notes:
    """One more."""
    return Notes(notes.count + 1)


notes = Decider("note", Notes(), decide_notes, evolve_notes)


@dataclass(frozen=True, slots=True)
class Tag:
    """How often a tag was used, and its latest text."""

    tag: str
    used: int = 0
    last: str = ""


def tags_of(event: Written, recorded: Recorded) -> list[str]:
    """Keys of several rows or none; for some events it raises."""
    if event.text == KEYLESS and not cure.deployed:
        raise LookupError("this note has no key")
    return ["all", *event.tags]


def fold_tag(row: Tag, event: Written, recorded: Recorded) -> Tag:
    """Count; one of the tags rejects some texts."""
    if event.text == CURSED and row.tag != "all" and not cure.deployed:
        raise SystemExit("this cannot be folded")
    return Tag(row.tag, row.used + 1, event.text)


@dataclass(frozen=True, slots=True)
class Copies:
    """Count the copies."""

    count: int = 0


@dataclass(frozen=True, slots=True)
class Copy:
    """Keep one."""

    text: str


@dataclass(frozen=True, slots=True)
class Copied:
    """Kept."""

    text: str


def decide_copy(command: Copy, copies: Copies) -> list[Copied]:
    """Always."""
    if command.text == CURSED and not cure.deployed:
        raise Rejected("not this one")
    return [Copied(command.text)]


def evolve_copies(copies: Copies, event: Copied) -> Copies:
    """One more."""
    return Copies(copies.count + 1)


copies = Decider("copy", Copies(), decide_copy, evolve_copies)


def copy(event: Written, recorded: Recorded) -> list[To]:
    """To two archives, the first twice."""
    if event.text == POISON and not cure.deployed:
        raise GeneratorExit("no reaction to this is possible")
    return [To(copies, "a", Copy(event.text)), To(copies, "b", Copy(event.text)), To(copies, "a", Copy("again"))]


tags = Projection("tag", Tag, fold_tag, key=tags_of)
notebook = App(
    "notebook",
    deciders=[notes, copies],
    projections=[tags],
    reactors=[Reactor("copy", copy, start="beginning")],
)


def _text(random: Random) -> str:
    return random.choices(("hello", "world", "", CURSED, KEYLESS, POISON), (20, 20, 3, 3, 1, 1))[0]


def _note(random: Random) -> Any:
    return random.choice("abc"), _text(random), tuple(sorted(random.sample(("x", "y", "z"), random.randrange(3))))


def note_something(random: Random) -> To:
    """Write in a few notebooks."""
    id_, text, used = _note(random)
    return To(notes, id_, Write(text, used))


def append_notes(random: Random) -> tuple[str, tuple[list[Written], list[Written]]]:
    """Append without the decider."""
    id_, text, used = _note(random)
    return f"note-{id_}", ([Written(text or "first", used)], [Written("second", used), Written("third", used)])


def too_often(table: Table, values: Values) -> str | None:
    """A read store with narrow columns, which refuses some values."""
    return f"{values[1]} is out of range" if values[1] > MOST_USED else None


IN_THE_NOTEBOOK = Scenario(notebook, note_something, append_notes, may_park=True, cure=cure, refuses=too_often)
