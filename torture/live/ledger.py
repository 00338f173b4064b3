"""The App whose rows are watched: items that change their owners, in three versions of its code.

`first` cannot fold an event that `mended` can, and `second` has a new version of the read model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from twofold.api import Actor, Api, logged_in
from twofold.app import App
from twofold.messages import Recorded
from twofold.read.projection import Projection
from twofold.write.decider import Decider

ADMIN = "admin"
POISON = "poison"


@dataclass(frozen=True, slots=True)
class Put:
    """A command: the item is this owner's, with this text."""

    owner: str
    text: str


@dataclass(frozen=True, slots=True)
class Remove:
    """A command: there is no such item any more."""


@dataclass(frozen=True, slots=True)
class Written:
    """An item has this owner and text."""

    owner: str
    text: str


@dataclass(frozen=True, slots=True)
class Removed:
    """An item is gone."""

    owner: str


def decide(command: Put | Remove, owner: str) -> list[Written | Removed]:
    """Everything is allowed."""
    return [Removed(owner) if isinstance(command, Remove) else Written(command.owner, command.text)]


def evolve(owner: str, event: Written | Removed) -> str:
    """The owner."""
    return event.owner


@dataclass(frozen=True, slots=True)
class Item:
    """An item. `version` is that of its newest event."""

    item_id: str
    owner: str = ""
    text: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class MeasuredItem:
    """An item in version 2 of the read model."""

    item_id: str
    owner: str = ""
    text: str = ""
    version: int = 0
    length: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """How much was written for an owner; `version` is the position of the newest event."""

    owner: str
    written: int = 0
    version: int = 0


def fold(row: Item, event: Written | Removed, recorded: Recorded) -> Item | None:
    """Fold; it cannot take what is poison."""
    if isinstance(event, Written) and event.text == POISON:
        raise ValueError(event.text)
    return mended_fold(row, event, recorded)


def mended_fold(row: Item, event: Written | Removed, recorded: Recorded) -> Item | None:
    """Fold everything."""
    return Item(row.item_id, event.owner, event.text, recorded.version) if isinstance(event, Written) else None


def measuring_fold(row: MeasuredItem, event: Written | Removed, recorded: Recorded) -> MeasuredItem | None:
    """Fold everything, with the length of the text."""
    if isinstance(event, Removed):
        return None
    return MeasuredItem(row.item_id, event.owner, event.text, recorded.version, len(event.text))


def count(row: Tally, event: Written, recorded: Recorded) -> Tally:
    """Count."""
    return Tally(row.owner, row.written + 1, recorded.position.offset)


keeping = Decider("item", "", decide, evolve)
items = Projection("items", Item, fold, indexes=["owner"])
mended_items = replace(items, evolve=mended_fold)
measured_items = Projection("items", MeasuredItem, measuring_fold, version=2, indexes=["owner"])
tallies = Projection("tallies", Tally, count, key=lambda event, recorded: event.owner)


async def actor(headers: Mapping[str, str]) -> Actor | None:
    """Whoever the header X-User names."""
    name = headers.get("x-user")
    return None if name is None else Actor(name, {}, None)


def scope(actor: Actor | None, projection: Projection[Any]) -> Mapping[str, Any]:
    """Everyone has rows of their own; the admin has all of them."""
    return {} if actor is not None and actor.id == ADMIN else {"owner": "" if actor is None else actor.id}


def _api(of_items: Projection[Any]) -> Api:
    app = App("ledger", deciders=[keeping], projections=[of_items, tallies])
    api = Api(app, actor=actor, scope=scope)
    api.row(of_items, "GET /items/{item_id}", allow=logged_in)
    api.page(of_items, "GET /items", allow=logged_in)
    api.page(tallies, "GET /tallies", allow=logged_in)
    return api


first, mended, second = _api(items), _api(mended_items), _api(measured_items)

Apis: Mapping[str, Api] = {"first": first, "mended": mended, "second": second}
Fold = Callable[[Any, Any, Recorded], Any]
