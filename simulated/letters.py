"""Letters: a reactor with an external effect, at a post office that sometimes fails."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

from twofold.app import App
from twofold.messages import Recorded
from twofold.react.reactor import Reactor, To
from twofold.testing.simulation.scenario import Scenario
from twofold.write.decider import Decider

UNDELIVERABLE = "nobody lives there"


@dataclass(frozen=True, slots=True)
class Write:
    """Write one."""

    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """A letter was written and is to be posted."""

    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """Note that a letter was posted."""

    letter: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A letter was posted."""

    letter: str


@dataclass(frozen=True, slots=True)
class Letters:
    """Count the letters."""

    count: int = 0


def decide_letters(command: Write, letters: Letters) -> list[Written]:
    """Always."""
    return [Written(command.text)]


def evolve_letters(letters: Letters, event: Written) -> Letters:
    """One more."""
    return Letters(letters.count + 1)


def decide_posted(command: Note, posted: Letters) -> list[Noted]:
    """Always."""
    return [Noted(command.letter)]


def evolve_posted(posted: Letters, event: Noted) -> Letters:
    """One more."""
    return Letters(posted.count + 1)


letters = Decider("letter", Letters(), decide_letters, evolve_letters)
posted = Decider("posted", Letters(), decide_posted, evolve_posted)


CLOSED: tuple[type[BaseException], ...] = (ConnectionError, asyncio.CancelledError, SystemExit)


class Office:
    """Slow; now and then it refuses a letter, and at times it takes one without confirming it."""

    def __init__(self) -> None:
        self.random = Random()

    def begin(self, seed: str) -> None:
        """Reset for a new history."""
        self.random = Random(seed)

    async def take(self, text: str) -> None:
        """Raises: one of `CLOSED`."""
        await asyncio.sleep(self.random.random() * 0.05)
        if text == UNDELIVERABLE or self.random.random() < 0.1:
            raise self.random.choice(CLOSED)("the office is closed")


office = Office()


async def post(event: Written, recorded: Recorded) -> list[To]:
    """Post the letter and note it."""
    await office.take(event.text)
    return [To(posted, "all", Note(recorded.id))]


correspondence = App("correspondence", deciders=[letters, posted], reactors=[Reactor("post", post, start="beginning")])


def write_somebody(random: Random) -> To:
    """Write letters to a few people."""
    text = UNDELIVERABLE if random.random() < 0.02 else random.choice(("hello", "world"))
    return To(letters, random.choice("abc"), Write(text))


IN_THE_OFFICE = Scenario(correspondence, write_somebody, may_park=True, begin=office.begin)
