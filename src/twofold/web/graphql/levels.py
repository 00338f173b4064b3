"""The rows that belong to all rows of a level, in one query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from twofold.api import Related
from twofold.feed.checkpoints import Parked
from twofold.read.columns import Values
from twofold.read.conditions import MAX_VALUES
from twofold.read.cursor import FIRST
from twofold.read.freshness import Covers, nothing
from twofold.read.store import Condition, Query
from twofold.web.graphql.context import Context

R = TypeVar("R")
MOST_ROWS = 2_000  # of one query: more than are wanted, because some values may have many rows


class Level(msgspec.Struct, frozen=True):
    """Related rows by the value that they are related by, and what was parked in a snapshot that some are of."""

    rows: Mapping[Any, Sequence[Values]]
    parked: Sequence[Parked]
    covers: Covers


class Loader(Generic[R]):
    """Values that are asked for in one turn of the event loop are loaded together."""

    def __init__(self, load: Callable[[Sequence[Any]], Awaitable[R]]) -> None:
        self._load = load
        self._waiting: list[Any] = []
        self._loading: asyncio.Future[R] | None = None

    async def load(self, value: Any) -> R:
        """What was loaded for this value and others. Raises: what `load` raises."""
        self._waiting.append(value)
        if self._loading is None:
            self._loading = asyncio.ensure_future(self._soon())
        return await asyncio.shield(self._loading)

    async def _soon(self) -> R:
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # so that all fields of a level have asked
        values, self._waiting, self._loading = self._waiting, [], None
        return await self._load(list(dict.fromkeys(values)))


async def level(context: Context, related: Related, query: Query, values: Sequence[Any]) -> Level:
    """At most `query.limit` rows for each value, in its order. Usually one query, and as many more as are needed.

    Raises: as `Queries.find`.
    """
    found: dict[Any, list[Values]] = {}
    place = [column.name for column in related.to.table.columns].index(related.theirs)
    waiting = sorted(value for value in values if value is not None)
    parked: dict[tuple[str, str], Parked] = {}
    covers: Covers = nothing
    while waiting:
        some = waiting[:MAX_VALUES]
        order = [(related.theirs, False), *[each for each in query.order if each[0] != related.theirs]]
        among = Query([Condition(related.theirs, "in", tuple(some)), *query.conditions], order, MOST_ROWS)
        page = await context.queries.page_from(related.to, among, FIRST, **context.freshly)
        parked, covers = {(one.kind, one.key): one for one in page.parked} | parked, page.covers
        complete = set(some)
        if page.following is not None:  # of the last value there may be more
            last = page.rows[-1][place]
            reached = {row[place] for row in page.rows} - {last}
            complete = {value for value in some if value in reached or value < last}
            if sum(row[place] == last for row in page.rows) >= query.limit:
                complete.add(last)
        for row in page.rows:
            if row[place] in complete:
                found.setdefault(row[place], []).append(row)
        waiting = [value for value in waiting if value not in complete]
    return Level({value: rows[: query.limit] for value, rows in found.items()}, list(parked.values()), covers)
