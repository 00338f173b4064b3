"""Letters: a reactor with an effect outside, at an office that is not always up to it."""

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
    """It is written, and to be posted."""

    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """Note that it is posted."""

    letter: str


@dataclass(frozen=True, slots=True)
class Noted:
    """It is posted."""

    letter: str


@dataclass(frozen=True, slots=True)
class Letters:
    """How many there are."""

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
    """It takes its time, refuses now and then, and at times takes a letter and says nothing of it."""

    def __init__(self) -> None:
        self.random = Random()

    def begin(self, seed: str) -> None:
        """A new history."""
        self.random = Random(seed)

    async def take(self, text: str) -> None:
        """Raises: one of `CLOSED`."""
        await asyncio.sleep(self.random.random() * 0.05)
        if text == UNDELIVERABLE or self.random.random() < 0.1:
            raise self.random.choice(CLOSED)("the office is closed")


office = Office()


async def post(event: Written, recorded: Recorded) -> list[To]:
    """And note it."""
    await office.take(event.text)
    return [To(posted, "all", Note(recorded.id))]


correspondence = App("correspondence", deciders=[letters, posted], reactors=[Reactor("post", post, start="beginning")])


def write_somebody(random: Random) -> To:
    """To a few people."""
    text = UNDELIVERABLE if random.random() < 0.02 else random.choice(("hello", "world"))
    return To(letters, random.choice("abc"), Write(text))


IN_THE_OFFICE = Scenario(correspondence, write_somebody, may_park=True, begin=office.begin)
