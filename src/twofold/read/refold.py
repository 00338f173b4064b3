"""Repairs one row by folding it again from its first event, while all else continues."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from twofold.codec import Codec
from twofold.errors import BatchRefused
from twofold.failures import error_text
from twofold.feed.checkpoints import Claim, Parked
from twofold.feed.feed import Feed
from twofold.feed.follow import check_log
from twofold.feed.lease import taken_over
from twofold.feed.partitions import feed_of, partition_of
from twofold.messages import Position, Recorded
from twofold.read.columns import Values
from twofold.read.parked import ParkedKeys
from twofold.read.projection import Key, Projection, key_text
from twofold.read.publish import Publisher
from twofold.read.rollups import commit_standing
from twofold.read.selector import Selector
from twofold.read.store import Changes, ReadStore


class Refolded(msgspec.Struct, frozen=True):
    """The row before and after (None: no row), the number of its events, and what is no longer parked.

    With an `error`, at `failed`, the row cannot be folded, and nothing was changed.
    """

    before: Values | None
    after: Values | None
    events: int
    unparked: tuple[Parked, ...] = ()
    error: str | None = None
    failed: Position | None = None


class Refold:
    """Folds single rows of one projection and its read store again."""

    def __init__(self, projection: Projection[Any], store: ReadStore, log: Feed, codec: Codec) -> None:
        self.projection, self.codec = projection, codec
        self._store, self._log = store, log

    async def run(self, key: Key, owner: str) -> Refolded:
        """Fold a row up to the checkpoint, which does not move.

        Most events are folded before the checkpoint is taken over, and the rest while it stands still. Raises:
        InvalidInput, LogReplaced, Unavailable.
        """
        feed, checkpoints = self._feed_of(key), self._store.checkpoints
        follower = self.projection.follows.in_partition(feed.partition)
        seen, parked = await checkpoints.read(follower), await checkpoints.parked(follower)
        row = _Row(self, feed, key, parked)
        if seen is not None:
            check_log(seen, feed.log_id, await feed.head())
            await row.go_on(seen.position)
        async with taken_over(checkpoints, follower, owner) as (claim, now):
            check_log(now, feed.log_id, await feed.head())
            parked_now = await checkpoints.parked(follower)
            if parked_now != parked:
                row = _Row(self, feed, key, parked_now)
            await row.go_on(now.position)
            before = (await self._store.rows(self.projection.table, [key])).get(key)
            await self._write(row, key, before, claim, now.position)
        if row.error is not None:
            return Refolded(before, before, row.events, (), row.error, row.failed)
        if row.parked and not await checkpoints.parked(follower):
            await Publisher(self.projection.table, self._store, self._log).publish(look_for_lost=True)
        return Refolded(before, row.values, row.events, tuple(row.parked))

    def _feed_of(self, key: Key) -> Feed:
        """The feed of the partition with the row's stream; the log itself if the row has events of several."""
        if not self.projection.spreads:
            return self._log
        return feed_of(self._log, partition_of(self._log, str(key[0])))  # the one text of a key, see `key_of_stream`

    async def _write(self, row: _Row, key: Key, before: Values | None, claim: Claim, at: Position) -> None:
        if row.error is not None or (row.values == before and not row.parked):
            return
        changes = Changes({key: row.values} if row.values != before else {}, (), row.parked)
        try:
            await commit_standing(self._store, self.projection.table, claim, at, changes)
        except BatchRefused as error:
            row.error = f"the store cannot keep the row: {error}"


class _Row:
    """The row, folded so far."""

    def __init__(self, of: Refold, feed: Feed, key: Key, parked: Sequence[Parked]) -> None:
        self._projection, self._feed, self._key = of.projection, feed, key
        self._selector = Selector(of.projection, of.codec, key.__eq__)
        self.parked = [entry for entry in parked if self._is_of_row(entry.kind, entry.key)]
        self._others_parked = ParkedKeys(entry for entry in parked if entry not in self.parked)
        self._at = Position(feed.partition, 0)
        self.values: Values | None = None
        self.events = 0
        self.error: str | None = None
        self.failed: Position | None = None

    async def go_on(self, upto: Position) -> None:
        """Fold up to a position, or up to an event that cannot be folded."""
        if self.error is not None:
            return
        async with aclosing(self._selector.pages(self._feed, self._at, upto, self._others_parked)) as history:
            async for page in history:
                self._take(page.events.get(self._key, ()))
                for failure in page.failures:
                    if self._projection.key is not None or self._is_of_row(failure.kind, failure.key):
                        self.error, self.failed = f"{failure.event}: {failure.error}", failure.position
                self._at = page.upto
                if self.error is not None:
                    return

    def _take(self, events: Sequence[Recorded]) -> None:
        if not events:
            return
        folded = self._projection.fold(self._key, self.values, events)
        self.values, self.events = folded.values, self.events + len(events)
        if folded.failed is not None and folded.error is not None:
            self.error, self.failed = f"{folded.failed.id}: {error_text(folded.error)}", folded.failed.position

    def _is_of_row(self, kind: str, key: str) -> bool:
        """Whether a parked key is this row, or the only stream that it is folded from."""
        if kind == "row":
            return key == key_text(self._key)
        return self._projection.key_waiting(key) == self._key
