"""Every state that the tables of a history had, to compare with what watchers get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold.backends.memory.inspection import RowsInspection
from twofold.feed.checkpoints import FollowerId
from twofold.read.projection import Key
from twofold.read.watched import Standing, WatchToken


class State:
    """A table as it was, with its places and generation."""

    def __init__(self, standing: Standing, rows: Mapping[Key, Any]) -> None:
        self.token, self.rows = standing.token(), rows

    def has_reached(self, token: WatchToken) -> bool:
        """Whether it is at a token's places, or beyond."""
        return self._is_like(token) and all(
            place >= token.places[number] for number, place in self.token.places.items()
        )

    def is_within(self, token: WatchToken) -> bool:
        """Whether it is at a token's places, or before. Partitions move one by one, so it may be neither."""
        return self._is_like(token) and all(
            place <= token.places[number] for number, place in self.token.places.items()
        )

    def _is_like(self, token: WatchToken) -> bool:
        own = self.token
        return (own.log_id, own.generation) == (
            token.log_id,
            token.generation,
        ) and own.places.keys() == token.places.keys()


class States:
    """The states of each table, in the order in which it had them. A crash may bring an older one back."""

    def __init__(self, rows: RowsInspection) -> None:
        self._rows = rows
        self.of: dict[FollowerId, list[State]] = {}

    def record(self, changed: FollowerId | None = None) -> None:
        """Record the current state of a table that has changed, and of every other that has moved."""
        for follows, table in self._rows.tables.items():
            checkpoints = self._rows.checkpoints.parts(follows)
            if checkpoints:
                state, states = State(Standing(checkpoints, ()), table), self.of.setdefault(follows, [])
                if follows == changed or not states or states[-1].token != state.token:
                    state.rows = dict(table)
                    states.append(state)
