"""What watchers are told: rounds of changes, and tokens to resume from. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from twofold.errors import InvalidToken
from twofold.feed.checkpoints import Checkpoint
from twofold.messages import Position
from twofold.read.columns import Values
from twofold.read.projection import Key

_TOKEN = re.compile(r"w\.([0-9a-z]{1,64})\.(\d{1,4})\.([0-9a-z-]{0,2000})\.(\d{1,9}-\d{1,18}(?:_\d{1,9}-\d{1,18})*)")
_OVERHEAD = 64  # bytes of a value beside its characters

Places = Mapping[int, Position]
"""A position in each partition that a read model follows."""


class WatchToken(msgspec.Struct, frozen=True):
    """How far a watcher's view has come: it is that of the table at these positions, or newer.

    `generation` is renewed by whatever changes rows without an event (see `Checkpoint.generation`).
    """

    log_id: str
    version: int
    generation: str
    places: Places

    @classmethod
    def at(cls, checkpoints: Sequence[Checkpoint]) -> WatchToken:
        """The token of a snapshot with these checkpoints."""
        first = checkpoints[0]
        generation = "-".join(checkpoint.generation for checkpoint in checkpoints)
        places = {checkpoint.follower.partition: checkpoint.position for checkpoint in checkpoints}
        return cls(first.log_id, first.follower.version, generation, places)

    @staticmethod
    def is_one(text: str) -> bool:
        """Whether a text is meant as such a token, not as that of a receipt."""
        return text.startswith("w.")

    @classmethod
    def parse(cls, text: str) -> WatchToken:
        """The inverse of `str`. Raises: InvalidToken."""
        match = _TOKEN.fullmatch(text)
        if match is None:
            raise InvalidToken(f"{text!r:.80} is not a token of a watcher", text)
        log_id, version, generation, places = match.groups()
        pairs = [tuple(map(int, place.split("-"))) for place in places.split("_")]
        return cls(log_id, int(version), generation, {p: Position(p, offset) for p, offset in pairs})

    def leads_to(self, other: WatchToken) -> bool:
        """Whether events alone have changed rows between this token and another."""
        return (
            (self.log_id, self.version, self.generation) == (other.log_id, other.version, other.generation)
            and self.places.keys() == other.places.keys()
            and all(self.places[partition] <= place for partition, place in other.places.items())
        )

    def __str__(self) -> str:
        places = "_".join(f"{place.partition}-{place.offset}" for place in self.places.values())
        return f"w.{self.log_id}.{self.version}.{self.generation}.{places}"


class Round:
    """The newest values of every row that changed between two tokens, None for rows that are gone."""

    def __init__(self, rows: Mapping[Key, Values | None], token: WatchToken, parked: int) -> None:
        self.rows, self.token, self.parked = rows, token, parked

    @cached_property
    def sizes(self) -> Mapping[Key, int]:
        """About how many bytes each row takes, for the bounds of slow watchers."""
        return {key: sum(_size(value) for value in (*key, *(values or ()))) for key, values in self.rows.items()}


def _size(value: Any) -> int:
    return _OVERHEAD + (len(value) if isinstance(value, str | bytes) else 0)
