"""The merged feed: one fixed order over all partitions.

Only the cuts are stored; the order within a cut follows from them (`order`). A reader that has reached the newest cut
and sees news proposes the next one. One proposer wins, and the others adopt its cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twofold.backends.partitioned import order
from twofold.backends.partitioned.cuts import Cuts
from twofold.backends.partitioned.order import LAST, MOST_IN_CUT, Vector, cut_behind, end_of, place
from twofold.backends.partitioned.proposing import PAUSE_S, Proposer, of_part, shorter
from twofold.backends.partitioned.runs import Run, Runs
from twofold.backends.partitioned.waiting import all_of, first_of
from twofold.errors import InvalidToken
from twofold.feed.feed import Feed, FeedPage, check_not_beyond
from twofold.messages import Entry, Position


class Merged:
    """See `Feed`. Methods raise Unavailable while a part, or the log of the cuts, cannot be reached.

    `feeds` are those of all partitions by number, `live` of those that have not split. Both may grow.
    """

    partition = 0

    pause_s = PAUSE_S

    def __init__(self, feeds: Mapping[int, Feed], cuts: Cuts, live: Mapping[int, Feed] | None = None) -> None:
        self._feeds, self.cuts, self._live = feeds, cuts, feeds if live is None else live
        self.forget()

    def forget(self) -> None:
        """Start over, after the log was given a new id."""
        self.cuts.forget()
        self._runs = Runs()
        self.proposer = Proposer(self._live, self.cuts, self._runs, self.pause_s)

    @property
    def log_id(self) -> str:
        """See `Feed.log_id`."""
        return self.cuts.log.log_id

    async def head(self) -> Position:
        """The end of the newest cut. Events in no cut yet have no position here; `behind` counts them.

        Raises: LogReplaced also when a part that responds ends before that cut (G11).
        """
        newest = await self.cuts.learn()
        await self.proposer.check_complete(newest)
        return end_of(newest.number)

    async def read(
        self, after: Position, limit: int, types: frozenset[str] | None = None, until: Position | None = None
    ) -> FeedPage:
        """See `Feed.read`. At the newest cut, if a part has news, the next cut is made first."""
        if until is not None and after >= until:
            await self._check_not_beyond(after)
            return FeedPage((), after)
        run = await self._run_behind(after)
        if run is None:
            return FeedPage((), after)
        page = run.page(after, limit, until)
        more = page.more or ((until is None or page.upto < until) and await self._goes_on_behind(run.last))
        wanted = page.entries if types is None else [entry for entry in page.entries if entry.type in types]
        return FeedPage(wanted, page.upto, more)

    async def wait(self, after: Position, timeout_s: float) -> None:
        """See `Feed.wait`. There is news as soon as a part has some; the next read makes the cut."""
        newest = self.cuts.newest
        if after < end_of(newest.number):
            return
        vector = self.cuts.whole(newest.vector)
        ends = [Position(number, vector[number - 1]) for number in self._live]
        news = [self._feeds[end.partition].wait(end, timeout_s) for end in ends]
        await first_of([*news, self.cuts.log.wait(newest.position, timeout_s)])

    def before(self, position: Position) -> Position:
        """See `Feed.before`."""
        return order.before(position)

    async def distance(self, after: Position, to: Position) -> int:
        """See `Feed.distance`."""
        if after >= to:
            return 0
        (begin, beyond_begin), (end, beyond_end) = await self._vector_at(after), await self._vector_at(to)
        return max(0, await self._between(begin, end) + beyond_end - beyond_begin)

    async def _between(self, begin: Vector, end: Vector) -> int:
        """How many events are after one cut, and in a later one or those between."""
        parents = self.cuts.lineage.parents()
        starts = [*begin, *(0 if parent is None else end[parent - 1] for parent in parents[len(begin) : len(end)])]
        return sum(
            await all_of(
                of_part(number, self._feeds[number].distance, Position(number, after), Position(number, to))
                for number, (after, to) in enumerate(zip(starts, end, strict=True), 1)
                if after < to
            )
        )

    async def behind(self, after: Position) -> int:
        """See `Feed.behind`. Includes events that are in no cut yet."""
        vector, beyond = await self._vector_at(after)
        ends = tuple(map(max, self.cuts.whole(vector), self.cuts.whole(self.cuts.newest.vector)))
        later = await all_of(
            of_part(number, feed.behind, Position(number, ends[number - 1])) for number, feed in self._live.items()
        )
        return max(0, await self._between(vector, ends) + sum(later) - beyond)

    async def covering(self, position: Position) -> Position | None:
        """See `Feed.covering`: for an event of a part, the end of the first cut that contains it."""
        if position.partition == self.partition:
            return position
        if position.partition not in self._feeds:
            raise InvalidToken(f"{position} is in partition {position.partition}, which this log does not have")
        number = await self.cuts.first_reaching(position.partition, position.offset)
        return None if number is None else end_of(number)

    async def covered_by(self, positions: Sequence[Position]) -> Sequence[Position]:
        """See `Parts.covered_by`."""
        at = {position.partition: position for position in positions}
        if self.partition in at:
            vector, _ = await self._vector_at(at[self.partition])
            return [at[self.partition], *(Position(n, self.cuts.reached(vector, n)) for n in self._feeds)]
        vector = tuple(self._come(number, at) for number in self._feeds)
        come = [Position(number, offset) for number, offset in enumerate(vector, 1) if number not in at]
        return [end_of(await self.cuts.last_within(vector)), *positions, *come]

    def _come(self, number: int, at: Mapping[int, Position]) -> int:
        """How far a follower is in a partition: in its parts, if it has split."""
        if number in at:
            return at[number].offset
        parts = [n for n, parent in enumerate(self.cuts.lineage.parents(), 1) if parent == number]
        return min((self._come(part, at) for part in parts), default=0)

    async def _vector_at(self, position: Position) -> tuple[Vector, int]:
        """The end of the last cut at or before a position, and how many events lie between the two."""
        cut, index = place(position)
        if index == LAST or cut == 0:
            return await self.cuts.vector(cut), 0
        return await self.cuts.vector(cut - 1), index

    async def _check_not_beyond(self, after: Position) -> None:
        if after > end_of(self.cuts.newest.number):
            check_not_beyond(after, await self.head())

    async def _run_behind(self, after: Position) -> Run | None:
        """The run that follows a position; None if nothing does."""
        await self._check_not_beyond(after)
        cut = cut_behind(after)
        if cut > self.cuts.newest.number:
            newest = await self.cuts.learn()
            if cut > newest.number and cut > (await self.proposer.propose(newest)).number:
                return None
        return self._runs.holding(cut) or await self._fetched(cut)

    async def _goes_on_behind(self, cut: int) -> bool:
        newest = self.cuts.newest
        return cut < newest.number or self.proposer.left_something(cut) or await self.proposer.has_news(newest)

    async def _fetched(self, first: int) -> Run:
        """This cut, and as many later ones as one page of each part covers."""
        vectors = await self.cuts.around(first)
        ends = zip(self._feeds, vectors[0], vectors[1], vectors[-1], strict=False)
        pages = await all_of(of_part(number, self._events, number, *offsets) for number, *offsets in ends)
        count = 1
        while count + 1 < len(vectors) and _reach(pages, vectors[count + 1]):
            count += 1
        entries = order.in_order(first, vectors[: count + 1], [page.entries for page in pages])
        run = Run.of(first, first + count - 1, entries)
        self._runs.keep(run)
        return run

    async def _events(self, number: int, after: int, at_least: int, at_most: int) -> FeedPage:
        entries: list[Entry] = []
        at, until = Position(number, after), Position(number, at_most)
        while at < until:
            page = await self._feeds[number].read(at, MOST_IN_CUT, None, until)
            entries += page.entries
            if page.upto.offset >= at_least:
                return FeedPage(entries, page.upto)
            if page.upto == at:
                raise shorter(number, at_least, at)
            at = page.upto
        return FeedPage(entries, at)


def _reach(pages: Sequence[FeedPage], vector: Vector) -> bool:
    return all(page.upto.offset >= offset for page, offset in zip(pages, vector, strict=True))
