"""The expected read models at every position, folded event by event without the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twofold.app import App
from twofold.backends.memory import Refuses
from twofold.codec import Codec
from twofold.kept import own
from twofold.messages import MAX_OFFSET, Entry, Recorded
from twofold.react.reactor import To
from twofold.read.columns import Values
from twofold.read.projection import Key, Projection, key_text

Waiting = Mapping[tuple[str, str], int]  # kind and key of a parked item → the offset of its first event


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Discarded events, which are not folded: those of a row or a stream, from one offset to another.

    `retried`: since then something else was retried, which may have folded rows again from their beginning.
    """

    kind: str
    key: str
    first: int
    last: int
    retried: bool = False

    def holds(self, kind: str, key: str, offset: int) -> bool:
        """Whether this event is discarded."""
        return self.first <= offset <= self.last and (self.kind, self.key) == (kind, key)


def name_of(to: To) -> str:
    """The stream of a command."""
    return f"{to.decider.category}-{to.id}"


class Fold:
    """One projection over the feed: `tables[n]` and `parked[n]` are what they should be at position n."""

    def __init__(
        self, projection: Projection[Any], app: App, refuses: Refuses, given_up: Sequence[GivenUp] = ()
    ) -> None:
        self.projection, self._refuses, self._given_up = app.folding(projection), refuses, given_up
        self._types, self._codec = app.codec.names(projection.event_types), app.codec
        self.tables: list[dict[Key, Values]] = [{}]
        self.parked: list[Waiting] = [{}]

    def waits(self, key: Key, at: int, token: int) -> bool:
        """Whether a row is parked at a position: certainly, or for a token that may belong to a parked event."""
        parked = self.parked[at]
        streams = {name: offset for (kind, name), offset in parked.items() if kind == "stream"}
        if self.projection.key is None:
            return ("row", key_text(key)) in parked or any(name.partition("-")[2] == key[0] for name in streams)
        return ("row", key_text(key)) in parked or any(offset <= token for offset in streams.values())

    def without(self, entries: Sequence[Entry], parked: Waiting, found: Mapping[Key, Values]) -> dict[Key, Values]:
        """The table after these entries, with exactly this parked.

        A retry may have folded some rows from their beginning, with what was given up before: then they are as `found`.
        """
        table = self._without(entries, parked, self._given_up)
        for before in range(1, sum(one.retried for one in self._given_up) + 1):
            if table == found:
                break
            afresh = self._without(entries, parked, self._given_up[before:])
            table |= {key: values for key, values in afresh.items() if found.get(key) == values}
        return table

    def _without(self, entries: Sequence[Entry], parked: Waiting, given_up: Sequence[GivenUp]) -> dict[Key, Values]:
        table: dict[Key, Values] = {}
        for entry in entries:
            offset = entry.position.offset
            waits = offset >= parked.get(("stream", entry.stream), MAX_OFFSET)
            if entry.type not in self._types or waits or _holds(given_up, "stream", entry.stream, offset):
                continue
            recorded = self._codec.recorded(entry)
            for key in self.projection.keys(recorded):
                text = key_text(key)
                if offset < parked.get(("row", text), MAX_OFFSET) and not _holds(given_up, "row", text, offset):
                    folded = self.projection.fold(key, table.pop(key, None), [recorded])
                    if folded.values is not None:
                        table[key] = folded.values
        return table

    def take(self, entries: Iterable[Entry]) -> Fold:
        """Fold the next entries of the feed."""
        for entry in entries:
            self.tables.append(self.tables[-1])
            self.parked.append(self.parked[-1])
            given_up = self._is_given_up("stream", entry.stream, entry.position.offset)
            if entry.type in self._types and not given_up and ("stream", entry.stream) not in self.parked[-1]:
                self._fold(entry)
        return self

    def _is_given_up(self, kind: str, key: str, offset: int) -> bool:
        return _holds(self._given_up, kind, key, offset)

    def _fold(self, entry: Entry) -> None:
        try:
            recorded = self._codec.recorded(entry)
            keys = self.projection.keys(recorded)
        except Exception:  # decoding and key= are user code: any exception parks the stream
            self._park("stream", entry.stream, entry)
            return
        for key in keys:
            text = key_text(key)
            if ("row", text) not in self.parked[-1] and not self._is_given_up("row", text, entry.position.offset):
                self._fold_row(key, recorded, entry)

    def _fold_row(self, key: Key, recorded: Recorded, entry: Entry) -> None:
        table = self.tables[-1]
        folded = self.projection.fold(key, table.get(key), [recorded])
        refused = folded.values is not None and self._refuses(self.projection.table, folded.values) is not None
        if folded.failed is not None or refused:
            self._park("row", key_text(key), entry)
        elif folded.values is None:
            self.tables[-1] = {other: values for other, values in table.items() if other != key}
        else:
            self.tables[-1] = {**table, key: folded.values}

    def _park(self, kind: str, key: str, entry: Entry) -> None:
        self.parked[-1] = {**self.parked[-1], (kind, key): entry.position.offset}


def _holds(given_up: Sequence[GivenUp], kind: str, key: str, offset: int) -> bool:
    return any(one.holds(kind, key, offset) for one in given_up)


class Streams:
    """The write model at every version, from the log alone."""

    def __init__(self, app: App, entries: Iterable[Entry]) -> None:
        self._codec: Codec = app.codec
        self._deciders = {decider.category: decider for decider in app.deciders}
        self.entries: dict[str, list[Entry]] = {}
        for entry in entries:
            self.entries.setdefault(entry.stream, []).append(entry)
        self._events: dict[str, list[Any]] = {}
        self._states: dict[str, list[Any]] = {}

    def events(self, stream: str) -> list[Any]:
        """All events, decoded."""
        if stream not in self._events:
            self._events[stream] = [self._codec.decode(entry) for entry in self.entries.get(stream, [])]
        return self._events[stream]

    def states(self, stream: str) -> list[Any]:
        """The state at version 0, 1, 2, …"""
        if stream not in self._states:
            decider = self._deciders[stream.partition("-")[0]]
            states = [decider.first.own()]
            for event in self.events(stream):
                states.append(decider.after(own(states[-1]), [own(event)]))
            self._states[stream] = states
        return self._states[stream]
