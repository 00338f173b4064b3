"""Checks of what an App declares: its parts, their names, and the events that they record and take."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from twofold.errors import ConfigurationError, InvalidInput
from twofold.react.reactor import Reactor
from twofold.read.projection import Projection
from twofold.sql.command import SqlCommand
from twofold.sql.view import View
from twofold.write.decider import Decider


def check_parts(
    deciders: Sequence[Decider[Any, Any, Any]],
    projections: Sequence[Projection[Any]],
    reactors: Sequence[Reactor],
    commands: Sequence[SqlCommand[Any, Any]],
    views: Sequence[View[Any]],
) -> None:
    """Raises: ConfigurationError for a part of the wrong type, or a name that is used twice."""
    _all_of("deciders", deciders, Decider)
    _all_of("projections", projections, Projection)
    for projection in projections:
        if isinstance(projection, View):
            raise ConfigurationError(f"{projection.owner} is not folded: it belongs in views=")
    _all_of("reactors", reactors, Reactor)
    _all_of("commands", commands, SqlCommand)
    _unique("command", (command.name for command in commands))
    _unique("category", (decider.category for decider in deciders))
    _all_of("views", views, View)
    named: list[Projection[Any] | Reactor] = [*projections, *views, *reactors]
    _unique("name", (each.name for each in named))
    for view in views:
        for each in view.over:
            if not any(each is known for known in projections):
                raise ConfigurationError(f"{view.owner} is over {each.owner}, which this App does not have: add it")


def check_names(name: str, formerly: str | None, http: str | None) -> None:
    """Raises: ConfigurationError for an invalid `http` or `formerly`."""
    if http is not None and not re.fullmatch(r"\w+(\.\w+)*:\w+", http):
        raise ConfigurationError(f"http= names a function as module:name, not {http!r:.80}")
    if formerly == name:
        raise ConfigurationError(f"formerly={formerly!r} is the App's current name: leave it out")


def check_recorded(name: str, followers: Sequence[Projection[Any] | Reactor], known: Collection[type]) -> None:
    """Raises: ConfigurationError for a follower that takes an event which nothing in this App records."""
    for follower in followers:
        for cls in follower.event_types:
            if cls not in known:
                raise ConfigurationError(
                    f"{follower.owner} takes {cls.__name__}, which no decider of {name} records: "
                    f"add its decider to deciders=, or, if another program records it, declare the class: "
                    f"stored={{{cls.__name__}: Stored({cls.__name__!r})}}"
                )


def check_appended(decider: Decider[Any, Any, Any] | None, events: Sequence[object]) -> None:
    """Check that events appended without a decider are of the types its category holds. Raises: InvalidInput."""
    if not isinstance(events, list | tuple):
        raise InvalidInput(f"append takes a list of events, not {events!r:.80}")
    if decider is None:
        return
    for event in events:
        if not isinstance(event, decider.recorded_types):
            names = ", ".join(cls.__name__ for cls in decider.recorded_types)
            raise InvalidInput(f"streams of {decider.owner} contain {names}, not {event!r:.200}")


def _all_of(what: str, values: Sequence[object], kind: type) -> None:
    if not isinstance(values, list | tuple):
        raise ConfigurationError(f"{what} must be a list of {kind.__name__}, not {values!r:.80}")
    for value in values:
        if not isinstance(value, kind):
            raise ConfigurationError(f"{what} must be a list of {kind.__name__}, but contains {value!r:.80}")


def _unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigurationError(f"{what} {name!r} is used twice in this App: rename one")
        seen.add(name)
