"""Folds one page of the feed into rows, event by event."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from twofold.ambient import Ambient
from twofold.codec import Codec
from twofold.errors import NewerSchema
from twofold.failures import failure, reraise_if_interrupt
from twofold.feed.checkpoints import Parked, ParkedKind, parked_by
from twofold.messages import Entry, Position, Recorded
from twofold.read.cache import RowCache
from twofold.read.columns import Values
from twofold.read.parked import ParkedKeys
from twofold.read.projection import Key, Projection, key_text
from twofold.read.store import Changes

Fetch = Callable[[Sequence[Key]], Awaitable[Mapping[Key, Values]]]
_UNTOUCHED: Any = object()
EVENTS_PER_SLICE = 250  # between two turns of the event loop


class Folding:
    """Folds one page. If an event cannot be folded, its row's key is parked, or its stream if no key can be known.

    `known` are the rows before the page, and `parked_before` what was parked before it.
    """

    def __init__(
        self,
        projection: Projection[Any],
        codec: Codec,
        ambient: Ambient,
        known: RowCache,
        parked_before: ParkedKeys,
    ) -> None:
        self._projection, self._codec, self._ambient = projection, codec, ambient
        self._known, self._parked_before = known, parked_before
        self._parked: dict[tuple[ParkedKind, str], Parked] = {}
        self._failed: set[Key] = set()
        self._fetched: dict[Key, Values | None] = {}
        self._rows: dict[Key, Any] = {}
        self.replaced: Mapping[Key, Values | None] = {}

    async def page(self, entries: Sequence[Entry], fetch: Fetch) -> Changes:
        """Fold a page, slice by slice. `fetch` reads the rows that are not known from the store.

        Raises: NewerSchema; like `fetch`.
        """
        for start in range(0, len(entries), EVENTS_PER_SLICE):
            missing = self._fold_what_is_known(entries[start : start + EVENTS_PER_SLICE])
            if missing:
                self._fold_on_fetched(missing, await fetch(sorted(missing)))
            await asyncio.sleep(0)  # folding shares its thread with the requests of a server
        return self._changes(entries)

    def _fold_what_is_known(self, entries: Sequence[Entry]) -> Mapping[Key, list[Recorded]]:
        """Fold the events of a slice as they are read, so that few of them are in memory at a time.

        Returns those whose rows must be fetched first.
        """
        missing: dict[Key, list[Recorded]] = {}
        rows, projection = self._rows, self._projection
        evolve, as_read_back, documents = projection.evolve, projection.as_read_back, projection.documents
        for recorded, keys in self._read(entries):
            for key in keys:
                row = rows.get(key)
                if row is None or documents or self._failed:  # the slow path: begins a row, or leaves an event out
                    self._fold_or_fetch(key, recorded, missing)
                    continue
                try:
                    rows[key] = evolve(as_read_back(key, row), recorded.event, recorded)
                except BaseException as error:  # what a fold raises is the user's
                    self._fail(key, error)
        return missing

    def _read(self, entries: Iterable[Entry]) -> Iterator[tuple[Recorded, list[Key]]]:
        """The events, and the keys of the rows that each of them touches."""
        recorded_from, keys_of, fixed = self._codec.recorded, self._projection.keys, self._projection.events_are_fixed
        before = self._parked_before
        for entry in entries:
            if (before and before.stream(entry.stream, entry.position)) or (self._parked and self._is_parked(entry)):
                continue
            recorded = None
            try:
                recorded = recorded_from(entry)
                keys = keys_of(recorded)
            except BaseException as error:  # decoding and key= are user code
                if recorded is None and type(error) is NewerSchema:
                    raise  # the event is fine, but this code is too old: newer code has to take over
                self._park("stream", entry.stream, entry.position, failure(error))
            else:
                if fixed or len(keys) < 2:
                    yield recorded, keys
                else:  # a change that the fold of one row makes to the event must not affect another row
                    yield from ((self._projection.given(recorded), [key]) for key in keys)

    def _is_parked(self, entry: Entry) -> bool:
        parked = self._parked.get(("stream", entry.stream))
        return parked is not None and entry.position >= parked.position

    def _fold_or_fetch(self, key: Key, recorded: Recorded, missing: dict[Key, list[Recorded]]) -> None:
        if key not in self._rows and key not in self._fetched and self._known.is_unknown(key):
            missing.setdefault(key, []).append(recorded)
        else:
            self._fold(key, recorded)

    def _fold_on_fetched(self, missing: Mapping[Key, list[Recorded]], stored: Mapping[Key, Values]) -> None:
        """Fold the events that were left for the rows that the store has."""
        for key, events in missing.items():
            self._fetched[key] = stored.get(key)
            for recorded in events:
                self._fold(key, recorded)

    def _fold(self, key: Key, recorded: Recorded) -> None:
        if self._parked_before.row(key, recorded.position) or key in self._failed:
            return
        try:
            row = self._row_before(key)
            before = self._projection.initial(key) if row is None or self._projection.documents else row
            self._rows[key] = self._projection.evolve(before, recorded.event, recorded)
        except BaseException as error:  # a fold is user code, and so is reading a row
            self._fail(key, error)

    def _row_before(self, key: Key) -> Any:
        """The row that the next event is folded on."""
        row = self._rows.get(key, _UNTOUCHED)
        if row is _UNTOUCHED:
            values = self._values_before(key)
            return None if values is None else self._projection.format.from_values(values)
        return self._projection.as_read_back(key, row) if row is None or not self._projection.documents else row

    def _values_before(self, key: Key) -> Values | None:
        """The row before the page."""
        return self._fetched[key] if key in self._fetched else self._known.get(key)

    def _changes(self, entries: Sequence[Entry]) -> Changes:
        """The rows that have changed, in the order of their keys, and what is to be parked.

        `entries` is the whole page, for rows whose events must be read again.
        """
        folded: dict[Key, Values | None] = {}
        values_of = self._projection.values
        for key, row in self._rows.items():
            if key not in self._failed:
                try:
                    folded[key] = values_of(key, row)
                except BaseException as error:  # a row that no column can hold
                    self._fail(key, error)
        if self._failed:
            folded |= self._refolded_up_to_failure(entries)
        changed = sorted(key for key, values in folded.items() if values != self._values_before(key))
        return Changes({key: folded[key] for key in changed}, tuple(self._parked.values()))

    def _fail(self, key: Key, error: BaseException) -> None:
        """Fold this row again at the end; until then its events are left out."""
        reraise_if_interrupt(error)
        self._failed.add(key)

    def _refolded_up_to_failure(self, entries: Sequence[Entry]) -> Mapping[Key, Values | None]:
        """The rows that failed, folded again up to the event that fails, each time from and into columns.

        The failed fold may have left anything behind: it may have changed the row or the event.
        """
        folded: dict[Key, Values | None] = {}
        for key, events in sorted(self._events_of(self._failed, entries).items()):
            outcome = self._projection.fold(key, self._values_before(key), events)
            if outcome.failed is not None and outcome.error is not None:
                self._park("row", key_text(key), outcome.failed.position, outcome.error)
            folded[key] = outcome.values
        return folded

    def _park(self, kind: ParkedKind, key: str, position: Position, error: BaseException) -> None:
        self._parked[kind, key] = parked_by(error, kind, key, position, self._ambient.now())

    def note_replaced(self, keys: Iterable[Key]) -> None:
        """Note the rows that the page replaces, before `known` learns of it."""
        self.replaced = {key: self._values_before(key) for key in keys}

    def events_of(self, key: Key, entries: Sequence[Entry]) -> Sequence[Recorded]:
        """The events of the page that touch a row."""
        return self._events_of({key}, entries)[key]

    def _events_of(self, those: set[Key], entries: Iterable[Entry]) -> Mapping[Key, list[Recorded]]:
        events: dict[Key, list[Recorded]] = {key: [] for key in those}
        for recorded, keys in self._read(entries):
            for key in those.intersection(keys):
                events[key].append(recorded)
        return events
