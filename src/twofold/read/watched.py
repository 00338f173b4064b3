"""What watchers get: rounds of changes, and tokens to resume from. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from sys import getsizeof
from typing import Any

import msgspec

from twofold.errors import InvalidToken
from twofold.feed.checkpoints import Checkpoint, Parked
from twofold.messages import Position
from twofold.read.columns import Values
from twofold.read.projection import Key
from twofold.read.store import Condition

_PLACES = r"\d{1,9}-\d{1,19}(?:_\d{1,9}-\d{1,19})*"
_NAMES = r"([0-9a-z]{1,64})\.(\d{1,9})\.([0-9a-z-]{1,2000})\.([0-9a-f]{8})"
_TOKEN = re.compile(rf"w\.{_NAMES}\.({_PLACES})\.([0-9a-f]{{8}})")
_OVERHEAD = 64  # bytes of a value that is not a text

Places = Mapping[int, Position]
"""A position in each partition that a read model follows."""


class WatchToken(msgspec.Struct, frozen=True):
    """How far a watcher's view has come: each of its rows is as it was at these positions, or newer.

    `generation` and `parked`, a digest of what was parked, show whether rows have changed since without an event.
    """

    log_id: str
    version: int
    generation: str
    parked: str
    places: Places

    @staticmethod
    def is_one(text: object) -> bool:
        """Whether a value is meant as such a token, not as that of a receipt."""
        return isinstance(text, str) and text.startswith("w.")

    @classmethod
    def parse(cls, text: str) -> tuple[WatchToken, str]:
        """The inverse of `text`. Raises: InvalidToken."""
        match = _TOKEN.fullmatch(text)
        if match is None:
            raise InvalidToken(f"{text!r:.80} is not a token of a watcher; send one exactly as it was returned", text)
        log_id, version, generation, parked, places, view = match.groups()
        pairs = [tuple(map(int, place.split("-"))) for place in places.split("_")]
        return cls(log_id, int(version), generation, parked, {p: Position(p, offset) for p, offset in pairs}), view

    def text(self, view: str) -> str:
        """The token that the watcher of a view gets (see `view_of`)."""
        places = "_".join(f"{place.partition}-{place.offset}" for place in self.places.values())
        return f"w.{self.log_id}.{self.version}.{self.generation}.{self.parked}.{places}.{view}"


class Standing:
    """Where a read model stands: its checkpoints and what is parked, from one snapshot."""

    def __init__(self, checkpoints: Sequence[Checkpoint], parked: Sequence[Parked]) -> None:
        first = checkpoints[0]
        self._names = first.log_id, first.follower.version, "-".join(one.generation or "0" for one in checkpoints)
        self._parked = parked
        self.places: Places = {one.follower.partition: one.position for one in checkpoints}

    @property
    def parked(self) -> int:
        """How many rows and streams are parked."""
        return len(self._parked)

    def token(self, places: Places | None = None) -> WatchToken:
        """The token of this standing, or that of a view which has come to earlier places of it."""
        at = self.places if places is None else places
        return WatchToken(*self._names, self._parked_until(at), at)

    def follows(self, token: WatchToken) -> bool:
        """Whether only events lie between a token and this standing, so that they name every row that has changed.

        What was parked at or before the token's places must still be. If it is not, its events were folded: by a
        process of a release that knew no generations, or again after a crash.
        """
        return (
            token.places.keys() == self.places.keys()
            and all(token.places[partition] <= place for partition, place in self.places.items())
            and self.token(token.places) == token
        )

    def _parked_until(self, places: Places) -> str:
        entries = [
            f"{one.kind} {one.position} {one.key}"
            for one in self._parked
            if one.position.partition in places and one.position <= places[one.position.partition]
        ]
        return digest(sorted(entries))


class Round:
    """The newest values of every row that changed between two tokens, None for rows that are gone."""

    def __init__(self, rows: Mapping[Key, Values | None], token: WatchToken, parked: int) -> None:
        self.rows, self.token, self.parked = rows, token, parked

    @cached_property
    def sizes(self) -> Mapping[Key, int]:
        """About how many bytes each row takes, for the bounds of slow watchers."""
        return {key: size_of(key, values) for key, values in self.rows.items()}

    @cached_property
    def size(self) -> int:
        """Of all rows."""
        return sum(self.sizes.values())

    @cached_property
    def shown(self) -> dict[Any, Any]:
        """What watchers that get all of it are sent: made for the first of them, kept for the others."""
        return {}


def view_of(name: str, conditions: Iterable[Condition]) -> str:
    """A digest of what a watcher asked for: a token of another view cannot be resumed from."""
    return digest([name, *sorted(f"{one.column} {one.operator} {one.value!r}" for one in conditions)])


def digest(texts: Sequence[str]) -> str:
    """Eight hexadecimal digits."""
    return blake2b(repr(texts).encode(errors="backslashreplace"), digest_size=4).hexdigest()


def size_of(key: Key, values: Values | None) -> int:
    """About how many bytes a row takes."""
    return sum(_size(value) for value in (*key, *(values or ())))


def _size(value: Any) -> int:
    return getsizeof(value) if isinstance(value, str | bytes) else _OVERHEAD
