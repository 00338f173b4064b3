"""Readers that follow a feed in small pages and never stop: what they saw shows whether it has one order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from twofold.ambient import Ambient
from twofold.errors import LogReplaced, Unavailable
from twofold.feed.feed import Feed, PartitionSplit
from twofold.feed.partitions import feed_of
from twofold.messages import Entry, Position
from twofold.testing.simulation.server import connected
from twofold.testing.simulation.storage import Storage
from twofold.testing.simulation.world import LOOK_AGAIN_S


class Reader:
    """One reader. `seen` is what it got. When its partition splits, others go on in the parts (`splits`)."""

    def __init__(
        self,
        storage: Storage,
        ambient: Ambient,
        partition: int,
        seed: str,
        begins_at_s: float = 0.0,
        *,
        splits: Callable[[Reader, Feed], None] | None = None,
    ) -> None:
        self._storage, self._ambient, self.partition = storage, ambient, partition
        self.seed, self._begins_at_s, self._splits = seed, begins_at_s, splits
        self._limits = Random(seed)
        self.seen: list[Entry] = []
        self.upto = Position(partition, 0)
        self.has_split = False

    def __str__(self) -> str:
        feed = f"partition {self.partition}" if self.partition else "the feed"
        return f"a reader of {feed}" + (f" that started at {self._begins_at_s:.3f} s" if self._begins_at_s else "")

    async def follow(self) -> None:
        """Read until the log is replaced."""
        await asyncio.sleep(self._begins_at_s)
        while True:
            try:
                await self._read_on()
            except (LogReplaced, PartitionSplit):
                return
            except Unavailable:
                await asyncio.sleep(LOOK_AGAIN_S)

    async def _read_on(self) -> None:
        log = await connected(self._storage, self._ambient)
        feed = feed_of(log, self.partition)
        while True:
            try:
                page = await feed.read(self.upto, self._limits.randint(1, 9))
            except PartitionSplit:
                self.has_split = True
                if self._splits is not None:
                    self._splits(self, log)
                raise
            self.seen += page.entries
            if page.upto == self.upto:
                await feed.wait(page.upto, 5.0)
            self.upto = page.upto
