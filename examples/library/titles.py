"""Titles: what the library has copies of."""

from dataclasses import dataclass

from twofold import Decider, Rejected


@dataclass(frozen=True, slots=True)
class AddTitle:
    name: str
    author: str
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CorrectTitle:
    name: str
    author: str
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TitleAdded:
    name: str
    author: str
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TitleCorrected:
    name: str
    author: str
    subjects: tuple[str, ...]


Event = TitleAdded | TitleCorrected


def decide(command: AddTitle | CorrectTitle, title: Event | None) -> list[Event]:
    if not command.name.strip():
        raise Rejected("A title needs a name")
    wanted = (command.name, command.author, command.subjects)
    match command:
        case AddTitle() if title is None:
            return [TitleAdded(*wanted)]
        case CorrectTitle() if title is not None:
            return [] if wanted == (title.name, title.author, title.subjects) else [TitleCorrected(*wanted)]
        case _:
            raise Rejected("There is no such title" if title is None else "The title has been added already")


def evolve(title: Event | None, event: Event) -> Event | None:
    return event


titles = Decider("title", None, decide, evolve)
