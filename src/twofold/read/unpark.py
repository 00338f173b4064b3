"""Folds parked events after a fix: exactly those, in the order of each row, while everything else continues.

Parked events are collected from the feed up to the checkpoint. Then the checkpoint is taken over, so that it stands
still and its previous holder cannot write; the rest is collected, and rows and parked entries change in one
transaction. If it is stopped anywhere, all of it has happened or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from twofold.ambient import Ambient
from twofold.codec import Codec
from twofold.errors import BatchRefused
from twofold.failures import error_text
from twofold.feed.checkpoints import Parked, parked_again
from twofold.feed.feed import Feed
from twofold.feed.lease import taken_over
from twofold.feed.partitions import feed_of
from twofold.feed.unparking import Unparked
from twofold.messages import Position, Recorded
from twofold.read.columns import Values
from twofold.read.parked import ParkedKeys
from twofold.read.projection import FoldedRow, Key, Projection, key_text
from twofold.read.publish import Publisher
from twofold.read.refused import without_refused
from twofold.read.rollups import commit_standing
from twofold.read.selector import Failure, Selector
from twofold.read.store import Changes, ReadStore


class Unparking:
    """For one projection and its read store (an `Unparker`)."""

    def __init__(
        self,
        projection: Projection[Any],
        store: ReadStore,
        log: Feed,
        codec: Codec,
        ambient: Ambient,
        *,
        partition: int = 0,
    ) -> None:
        self.projection, self._log = projection, log
        self.feed, self._follower = feed_of(log, partition), projection.follows.in_partition(partition)
        self._store, self._codec, self._ambient = store, codec, ambient

    async def retry(self, chosen: Sequence[Parked], owner: str) -> Unparked:
        """Fold the parked events of these. What fails again stays parked. Raises: InvalidInput, Unavailable, …"""
        follower, checkpoints = self._follower, self._store.checkpoints
        seen = await checkpoints.read(follower)
        collected = _Collected(self, chosen, await checkpoints.parked(follower))
        if seen is not None:
            await collected.go_on(seen.position)
        async with taken_over(checkpoints, follower, owner) as (claim, now):
            parked = await checkpoints.parked(follower)
            if not collected.still_true_of(parked):
                collected = _Collected(self, chosen, parked)
            await collected.go_on(now.position)
            collected, afresh = await self._that_fit(collected, parked, now.position)
            changes = await self._folded(collected, afresh)
            try:
                await commit_standing(self._store, self.projection.table, claim, now.position, changes)
            except BatchRefused as error:
                changes = await without_refused(
                    changes,
                    error,
                    self.projection,
                    self._store,
                    collected.events.__getitem__,
                    lambda key: collected.entry("row", key),
                    now=self._ambient.now(),
                )
                if {one.key for one in changes.parked} & {key_text(key) for key in collected.overtaken}:
                    raise  # no earlier state of such a row could be stored; nothing was changed
                await commit_standing(self._store, self.projection.table, claim, now.position, changes)
        again = {(one.kind, one.key) for one in changes.parked}
        done = [one for one in collected.chosen if (one.kind, one.key) not in again]
        await self._publish()
        return Unparked(done, changes.parked, sum(map(len, collected.events.values())))

    async def discard(self, chosen: Sequence[Parked], owner: str) -> Sequence[Parked]:
        """Give up the parked events of these; later ones are folded again. Returns what was discarded."""
        follower, checkpoints = self._follower, self._store.checkpoints
        async with taken_over(checkpoints, follower, owner) as (claim, now):
            those = _present(chosen, await checkpoints.parked(follower))
            changes = Changes({}, (), those)
            await commit_standing(self._store, self.projection.table, claim, now.position, changes)
        await self._publish()
        return those

    async def _publish(self) -> None:
        """Publish the version if nothing of it is parked."""
        if not await self._store.checkpoints.parked(self._follower):
            await Publisher(self.projection.table, self._store, self._log).publish(look_for_lost=True)

    async def _that_fit(
        self, collected: _Collected, parked: Sequence[Parked], position: Position
    ) -> tuple[_Collected, Mapping[Key, FoldedRow]]:
        """Without the streams whose rows cannot be folded from their beginning; and the rows that were.

        An earlier event of such a row fails: it was discarded, or the code has changed since. If the row were parked
        there, everything that is in it since then would be lost for its readers, and discarded with the next discard.
        """
        afresh = await self._folded_afresh(collected, position)
        while kept_out := collected.kept_out():
            those = [one for one in collected.chosen if one not in kept_out]
            collected = _Collected(self, those, parked, {**collected.left, **kept_out})
            await collected.go_on(position)
            afresh = await self._folded_afresh(collected, position)
        return collected, afresh

    async def _folded(self, collected: _Collected, afresh: Mapping[Key, FoldedRow]) -> Changes:
        """The rows to write, and the keys to park and unpark."""
        before = await self._store.rows(self.projection.table, sorted(collected.events))
        rows: dict[Key, Values | None] = {}
        parked = list(collected.parked_again(self._ambient.now()))
        unparked = [*collected.chosen, *collected.left]
        for key, events in sorted(collected.events.items()):
            folded = afresh.get(key)
            if folded is None:
                folded = self.projection.fold(key, before.get(key), events)
            if folded.values != before.get(key):
                rows[key] = folded.values
            if folded.failed is not None and folded.error is not None:
                was = collected.entry("row", key_text(key))
                at, now = folded.failed.position, self._ambient.now()
                parked.append(parked_again(was, folded.error, "row", key_text(key), at, now))
                if was is not None and was not in unparked:
                    unparked.append(was)
        return Changes(rows, parked, unparked)

    async def _folded_afresh(self, collected: _Collected, position: Position) -> Mapping[Key, FoldedRow]:
        """Rows that already include later events: to keep the order they are folded from the beginning.

        Notes in `collected` the events that fail and do not wait.
        """
        keys = collected.overtaken
        folded: dict[Key, FoldedRow] = {key: FoldedRow(None) for key in keys}
        if not keys:
            return folded
        selector = Selector(self.projection, self._codec, keys.__contains__)
        beginning = Position(position.partition, 0)
        async with aclosing(selector.pages(self.feed, beginning, position, collected.then)) as history:
            async for page in history:
                for failure in page.failures:  # of streams, which may be in any of the rows
                    collected.cannot_fold(keys, failure.event, failure.error)
                for key, of_key in page.events.items():
                    if folded[key].failed is None:
                        folded[key] = self.projection.fold(key, folded[key].values, of_key)
        for key, row in folded.items():
            if row.failed is not None and row.error is not None and not collected.waits(key, row.failed.position):
                collected.cannot_fold([key], row.failed.id, error_text(row.error))
        return folded

    def selector(self, chosen: Sequence[Parked]) -> Selector:
        """A selector that decodes no other rows, if it is known which rows are parked."""
        rows = {one.key for one in chosen if one.kind == "row"}
        if self.projection.key is None:
            waiting = [self.projection.key_waiting(one.key) for one in chosen if one.kind == "stream"]
            rows |= {key_text(key) for key in waiting if key is not None}
        elif len(rows) < len(chosen):
            return Selector(self.projection, self._codec)
        return Selector(self.projection, self._codec, lambda key: key_text(key) in rows)


class _Collected:
    """The parked events that are to be folded: by row, in order."""

    def __init__(
        self,
        of: Unparking,
        chosen: Sequence[Parked],
        parked: Sequence[Parked],
        left: Mapping[Parked, ValueError] | None = None,
    ) -> None:
        self._of, self.left = of, left or {}
        self._parked = {(one.kind, one.key): one for one in parked}
        self.chosen = _present(chosen, parked)
        names = {(one.kind, one.key) for one in self.chosen}
        self.until_now = ParkedKeys(parked)
        self.then = ParkedKeys(one for one in parked if (one.kind, one.key) not in names)
        self.events: dict[Key, list[Recorded]] = {}
        self.overtaken: set[Key] = set()
        self._failures: dict[str, Failure] = {}
        self._broken: dict[Key, ValueError] = {}
        self._selector = of.selector(self.chosen)
        first = min((one.position for one in self.chosen), default=None)
        self._at = None if first is None else of.feed.before(first)

    def still_true_of(self, parked: Sequence[Parked]) -> bool:
        """Whether the same is still parked, apart from keys parked after what was collected so far."""
        now = {(entry.kind, entry.key): entry for entry in parked}
        for name, entry in now.items():
            if name not in self._parked and self._at is not None and entry.position > self._at:
                self._parked[name] = entry
                self.until_now.add(entry)
                self.then.add(entry)
        return _positions(self._parked) == _positions(now)

    def entry(self, kind: str, key: str) -> Parked | None:
        """How a key was parked until now."""
        return self._parked.get((kind, key))  # type: ignore[arg-type]

    async def go_on(self, upto: Position) -> None:
        """Collect up to a position."""
        if self._at is None:
            return
        async with aclosing(self._selector.pages(self._of.feed, self._at, upto, self.then)) as waiting:
            async for page in waiting:
                for failure in page.failures:
                    self._failures.setdefault(failure.key, failure)
                for key, of_key in page.events.items():
                    for recorded in of_key:
                        self._take(key, recorded)
                self._at = page.upto

    def _take(self, key: Key, recorded: Recorded) -> None:
        waited = self.until_now.stream(str(recorded.stream), recorded.position)
        if waited or self.until_now.row(key, recorded.position):
            self.events.setdefault(key, []).append(recorded)
        elif key in self.events:
            self.overtaken.add(key)

    def waits(self, key: Key, position: Position) -> bool:
        """Whether the event of a row at a position is among those that are to be folded."""
        return any(one.position == position for one in self.events[key])

    def cannot_fold(self, keys: Iterable[Key], event: str, error: str) -> None:
        """These rows cannot be folded from their beginning: an event that does not wait fails."""
        for key in keys:
            text = (
                f"row {key_text(key)} includes later events and cannot be folded from its beginning: {event}: {error}"
            )
            self._broken.setdefault(key, ValueError(text))

    def kept_out(self) -> Mapping[Parked, ValueError]:
        """The streams that wait for rows that cannot be folded from their beginning, and why."""
        found: dict[Parked, ValueError] = {}
        for key, why in self._broken.items():
            waiting = {str(one.stream) for one in self.events[key]}
            found |= {one: why for one in self.chosen if one.kind == "stream" and one.key in waiting}
        return found

    def parked_again(self, now: datetime) -> Sequence[Parked]:
        """Streams that fail again: they stay parked from there on."""
        again = [parked_again(one, why, one.kind, one.key, one.position, now) for one, why in self.left.items()]
        for entry in self.chosen:
            failure = self._failures.get(entry.key)
            if entry.kind == "stream" and failure is not None:
                again.append(parked_again(entry, failure.raised, entry.kind, entry.key, failure.position, now))
        return again


def _positions(parked: Mapping[Any, Parked]) -> Mapping[Any, Position]:
    return {name: entry.position for name, entry in parked.items()}


def _present(chosen: Sequence[Parked], parked: Sequence[Parked]) -> list[Parked]:
    """Those that are still parked, as they are now."""
    names = {(one.kind, one.key) for one in chosen}
    return [one for one in parked if (one.kind, one.key) in names]
