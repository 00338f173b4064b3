"""The Api of an App that declares none."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from twofold import App, ConfigurationError, Decider, Projection, Recorded
from twofold.api import anyone
from twofold.api.addresses import kebab, snake
from twofold.api.rule import by_rule


@dataclass(frozen=True)
class Open:
    pass


@dataclass(frozen=True)
class HTTPCall:
    pass


@dataclass(frozen=True)
class Things:
    pass


@dataclass(frozen=True)
class Opened:
    pass


@dataclass(frozen=True)
class Row:
    id: str


@dataclass(frozen=True)
class Two:
    a: str
    b: str


def decide(command: Open | HTTPCall | Things, state: int) -> list[Opened]:
    return []


def decide_one(command: Open, state: int) -> list[Opened]:
    return []


def evolve(state: int, event: Opened) -> int:
    return state


def fold(row: Row, event: Opened, recorded: Recorded) -> Row:
    return row


def fold_two(row: Two, event: Opened, recorded: Recorded) -> Two:
    return row


def two(name: str) -> Projection[Two]:
    return Projection(name, Two, fold_two, key=lambda event, recorded: ("a", "b"), key_fields=["a", "b"])


def test_everything_is_served() -> None:
    app = App(
        "app",
        deciders=[
            Decider("door", 0, decide, evolve, internal=[HTTPCall]),
            Decider("window", 0, decide_one, evolve),
        ],
        projections=[Projection("things", Row, fold), two("pairs"), two("things_list")],
    )
    api = by_rule(app)
    assert [(one.name, str(one.at)) for one in api.served] == [
        ("door_open", "POST /door/{id}/open"),
        ("door_things", "POST /door/{id}/things"),
        ("window_open", "POST /window/{id}/open"),
        ("things", "GET /things/{id}"),
        ("things_list", "GET /things"),
        ("pairs", "GET /pairs/{a}/{b}"),
        ("pairs_list", "GET /pairs"),
        ("things_list_row", "GET /things_list/{a}/{b}"),
        ("things_list_list", "GET /things_list"),
    ]
    assert all(one.allow is anyone for one in api.served)


@pytest.mark.parametrize("name", ["docs", "graphql", "health", "live", "metrics", "status"])
def test_names_that_twofold_needs(name: str) -> None:
    for app in (
        App("app", deciders=[Decider(name, 0, decide, evolve)]),
        App("app", deciders=[Decider("door", 0, decide, evolve)], projections=[Projection(name, Row, fold)]),
    ):
        with pytest.raises(ConfigurationError, match=f"'{name}' cannot be served at /{name}.*declare an Api.*at="):
            by_rule(app)


@pytest.mark.parametrize(
    ("name", "snaked", "kebabed"),
    [
        ("CheckIn", "check_in", "check-in"),
        ("HTTPCall2", "http_call2", "http-call2"),
        ("A", "a", "a"),
        ("AOrB", "a_or_b", "a-or-b"),
    ],
)
def test_names(name: str, snaked: str, kebabed: str) -> None:
    assert (snake(name), kebab(name)) == (snaked, kebabed)
