"""The feed of one part, as reactors read it."""

from __future__ import annotations

from twofold.backends.partitioned.merged import Merged
from twofold.backends.partitioned.proposing import shorter
from twofold.feed.feed import Feed, FeedPage
from twofold.messages import Position


class Gated:
    """See `Feed`. Once there is a cut, this feed ends at the newest one, so that effects of a reaction are in a later
    cut.

    A reader at that gate that sees news proposes the next cut. Without any cut this is the part's own feed.
    """

    def __init__(self, part: Feed, merged: Merged) -> None:
        self._part, self._merged = part, merged

    @property
    def log_id(self) -> str:
        """See `Feed.log_id`."""
        return self._part.log_id

    @property
    def partition(self) -> int:
        """See `Feed.partition`."""
        return self._part.partition

    async def head(self) -> Position:
        """See `Feed.head`: the part's newest event, even if it is beyond the gate."""
        return await self._part.head()

    async def read(
        self, after: Position, limit: int, types: frozenset[str] | None = None, until: Position | None = None
    ) -> FeedPage:
        """See `Feed.read`. `more` includes events beyond the gate, which the next read moves."""
        gate = await self._gate(after)
        if gate is None:
            return await self._part.read(after, limit, types, until)
        end = gate if until is None else min(gate, until)
        page = await self._part.read(after, limit, types, end)
        if page.upto == after < end and not page.more:
            raise shorter(self.partition, end.offset, after)
        if page.more or end == until or page.upto < end:
            return page
        return FeedPage(page.entries, page.upto, more=page.upto < await self._part.head())

    async def _gate(self, after: Position) -> Position | None:
        """How far this part may be read; None if there is no cut."""
        newest = await self._merged.cuts.learn()
        if newest.number and after >= self._at(newest.vector) and after < await self._part.head():
            newest = await self._merged.proposer.propose_for_reactor(newest)
        return self._at(newest.vector) if newest.number else None

    def _at(self, vector: tuple[int, ...]) -> Position:
        return Position(self.partition, self._merged.cuts.whole(vector)[self.partition - 1])

    async def wait(self, after: Position, timeout_s: float) -> None:
        """See `Feed.wait`. Events beyond the gate count as news, because the next read moves it."""
        newest = self._merged.cuts.newest
        if newest.number == 0 or after >= self._at(newest.vector):
            await self._part.wait(after, timeout_s)

    def before(self, position: Position) -> Position:
        """See `Feed.before`."""
        return self._part.before(position)

    async def distance(self, after: Position, to: Position) -> int:
        """See `Feed.distance`."""
        return await self._part.distance(after, to)

    async def behind(self, after: Position) -> int:
        """See `Feed.behind`."""
        return await self._part.behind(after)

    async def covering(self, position: Position) -> Position | None:
        """See `Feed.covering`."""
        return await self._part.covering(position)
