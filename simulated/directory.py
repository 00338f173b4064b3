"""Profiles: documents whose newest state is the row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from twofold.app import App
from twofold.errors import Rejected
from twofold.messages import Recorded
from twofold.react.reactor import To
from twofold.read.projection import Projection
from twofold.rollup import Rollup, count, distinct, maximum, total
from twofold.testing.simulation.scenario import Scenario
from twofold.write.decider import Decider


@dataclass(frozen=True, slots=True)
class Rename:
    """Rename the profile."""

    name: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """The profile was renamed."""

    name: str


@dataclass(frozen=True, slots=True)
class Profile:
    """The document."""

    name: str = ""
    changes: int = 0


def decide_profile(command: Rename, profile: Profile) -> list[Renamed]:
    """Rename only to a different name."""
    if not command.name:
        raise Rejected("a name must not be empty")
    return [Renamed(command.name)] if command.name != profile.name else []


def evolve_profile(profile: Profile, event: Renamed) -> Profile:
    """Count the change."""
    return replace(profile, name=event.name, changes=profile.changes + 1)


profiles = Decider("profile", Profile(), decide_profile, evolve_profile, stored="state")


@dataclass(frozen=True, slots=True)
class Card:
    """The document as a row."""

    id: str
    name: str = ""
    changes: int = 0


def fold_card(row: Card, event: Profile, recorded: Recorded) -> Card:
    """Built from the document alone."""
    return Card(row.id, event.name, row.changes + event.changes)


cards = Projection("card", Card, fold_card, indexes=["name"])
directory = App("directory", deciders=[profiles], projections=[cards])


def rename_somebody(random: Random) -> To:
    """A few documents, a few names."""
    return To(profiles, random.choice("abc"), Rename(random.choice(("Ada", "Bob", "Cleo", "Dan", ""))))


IN_THE_DIRECTORY = Scenario(directory, rename_somebody)


@dataclass(frozen=True, slots=True)
class Name:
    """How many cards have a name, and the most changes of one: renaming undoes it."""

    name: str
    cards: int
    changes: int
    most: int
    ids: int


names = Rollup(
    "name",
    Name,
    of=cards,
    by="name",
    cards=count(),
    changes=total("changes"),
    most=maximum("changes"),
    ids=distinct("id"),
)
IN_THE_REGISTER = Scenario(App("register", deciders=[profiles], projections=[cards, names]), rename_somebody)
