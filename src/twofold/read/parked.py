"""Events that a fold leaves out because their row or stream is parked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from twofold.messages import Position
from twofold.read.projection import Key, key_text


class ParkedFrom(Protocol):
    """A parked row or stream, and the position of its first parked event."""

    @property
    def kind(self) -> str:
        """`row` or `stream`."""
        ...

    @property
    def key(self) -> str:
        """The row's key as JSON, or the stream."""
        ...

    @property
    def position(self) -> Position:
        """The position of the first parked event."""
        ...


class ParkedKeys:
    """Rows and streams that are parked, each from a position on."""

    def __init__(self, parked: Iterable[ParkedFrom] = ()) -> None:
        self._since: dict[tuple[str, str], Position] = {}
        self._rows = False
        for entry in parked:
            self.add(entry)

    def __bool__(self) -> bool:
        return bool(self._since)

    def add(self, entry: ParkedFrom) -> None:
        """Add a parked row or stream."""
        self._since[entry.kind, entry.key] = entry.position
        self._rows = self._rows or entry.kind == "row"

    def and_also(self, parked: Sequence[ParkedFrom]) -> ParkedKeys:
        """A copy with these added; itself if there are none."""
        if not parked:
            return self
        both = ParkedKeys()
        both._since, both._rows = dict(self._since), self._rows
        for entry in parked:
            both.add(entry)
        return both

    def stream(self, stream: str, position: Position) -> bool:
        """Whether an event of this stream is parked."""
        since = self._since.get(("stream", stream)) if self._since else None
        return since is not None and position >= since

    def row(self, key: Key, position: Position) -> bool:
        """Whether an event of this row is parked."""
        since = self._since.get(("row", key_text(key))) if self._rows else None
        return since is not None and position >= since

    def same_until(self, places: Mapping[int, Position], other: ParkedKeys) -> bool:
        """Whether both leave out the same events up to these places, by partition."""
        return self._until(places) == other._until(places)

    def _until(self, places: Mapping[int, Position]) -> dict[tuple[str, str], Position]:
        return {
            name: since
            for name, since in self._since.items()
            if since.partition in places and since <= places[since.partition]
        }
