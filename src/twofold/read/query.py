"""Queries: one row, or a page of rows, at least as new as a token asks for."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from twofold.errors import (
    InvalidQuery,
    RowParked,
    RowUnreadable,
)
from twofold.failures import error_text, failure
from twofold.feed.checkpoints import Checkpoint, Parked
from twofold.feed.feed import Feed
from twofold.messages import Token
from twofold.read.columns import Values
from twofold.read.conditions import check_projection, conditions_of, query_of
from twofold.read.cursor import FIRST, Cursors, Start
from twofold.read.freshness import DEFAULT_WAIT_S, After, Covers, Freshness, nothing
from twofold.read.projection import Projection, key_text
from twofold.read.store import Condition, Query, QueryResult, ReadStore
from twofold.read.written import WritesJson

R = TypeVar("R")

log = logging.getLogger("twofold.query")

DEFAULT_LIMIT = 50


class Page(msgspec.Struct, Generic[R], frozen=True):
    """Rows in the requested order.

    `cursor` gets the next page and is None on the last one; `previous` gets the page before and is None on the first
    one, and if the first row has values that are too long for a cursor. `parked` counts the parked rows of the whole
    read model, and the rows of this page that could not be read.
    """

    rows: Sequence[R]
    cursor: str | None
    parked: int
    previous: str | None = None

    def __iter__(self) -> Iterator[R]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class StoredPage(msgspec.Struct, frozen=True):
    """A page as stored: the values of its rows, the cursors around it, and what was in the same snapshot."""

    rows: Sequence[Values]
    previous: str | None
    following: str | None
    checkpoints: Sequence[Checkpoint]
    parked: Sequence[Parked]
    covers: Covers = nothing


class Queries:
    """Reads rows of one read store that were folded from `log`.

    `scope` holds conditions as for `find` that the caller of an edge cannot choose: rows that do not match them do not
    exist for it. `where` holds conditions like the keywords, also on a field that is called like another parameter.
    """

    def __init__(self, store: ReadStore, log: Feed) -> None:
        self._store, self.freshness = store, Freshness(store, log)
        self._writing = store if isinstance(store, WritesJson) else None

    async def get(
        self,
        projection: Projection[R],
        key: Any,
        *,
        scope: Mapping[str, Any] = {},
        after: After | None = None,
        wait_s: float = DEFAULT_WAIT_S,
    ) -> R | None:
        """The row with this key (a tuple if the key has several fields), or None.

        A parked row raises RowParked. With a token, so does any row that may be parked: a stream was parked before the
        token, and it cannot be known which rows its events touch. If no row of this key is in scope, it may only be
        that its first events are parked: RowParked is raised if the token covers them, and otherwise None returned.

        Raises: InvalidQuery, InvalidToken, ReadModelBehind, RowParked, RowUnreadable, LogReplaced, Unavailable.
        """
        values = key_values(projection, key)
        token = self.freshness.token(after)
        if scope:
            query = query_of_key(projection, values, scope)
            fresh = await self.freshness.at_least(token, wait_s, lambda: self._find(projection, query))
        else:
            fresh = await self.freshness.at_least(token, wait_s, lambda: self._get(projection, values))
        found = fresh.found
        certain = bool(found.rows) or not scope
        check_not_parked(projection, values, found.parked, fresh.covers, certain=certain)
        return row_of(projection, found.rows[0]) if found.rows else None

    async def find(
        self,
        projection: Projection[R],
        where: Mapping[str, Any] = {},
        /,
        *,
        scope: Mapping[str, Any] = {},
        order_by: str | Sequence[str] = (),
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
        after: After | None = None,
        wait_s: float = DEFAULT_WAIT_S,
        **conditions: Any,
    ) -> Page[R]:
        """A page of the rows that match all conditions.

        A condition is a field (`customer_id="c-1"`), or a field and an operator after two underscores, such as
        `day__ge` (see `OPERATORS`). `order_by` names fields, with a leading `-` for descending; the key breaks ties.
        None sorts first. `limit` is 1 to 500. `cursor` is that of a page, or its `previous`. A row that cannot be read
        (see `RowUnreadable`) is left out, logged, and counted in `parked`.

        Raises: InvalidQuery, InvalidCursor, InvalidToken, ReadModelBehind, LogReplaced, Unavailable.
        """
        query = query_of(projection, {**where, **conditions}, order_by, limit, scope)
        start = self._start(projection, query, cursor)
        found = await self._page(projection, query, start, after, wait_s, lambda q: self._find(projection, q))
        readable, unreadable = _rows(projection, found.rows)
        parked = {one.key for one in found.parked if one.kind == "row"}
        return Page(readable, found.following, len(found.parked) + len(unreadable - parked), found.previous)

    async def page(
        self, projection: Projection[Any], query: Query, cursor: str | None, after: After | None, wait_s: float
    ) -> StoredPage:
        """A page of rows as stored. Raises: as `find`."""
        return await self.page_from(projection, query, self._start(projection, query, cursor), after, wait_s)

    async def page_from(
        self, projection: Projection[Any], query: Query, start: Start, after: After | None, wait_s: float
    ) -> StoredPage:
        """The same from a place (see `Cursors.read`). Raises: as `find`."""
        store, table = self._store, projection.table
        return await self._page(projection, query, start, after, wait_s, lambda q: store.find(table, q))

    def _start(self, projection: Projection[Any], query: Query, cursor: str | None) -> Start:
        return FIRST if cursor is None else Cursors(projection, query).read(cursor)

    async def _page(
        self,
        projection: Projection[Any],
        query: Query,
        start: Start,
        after: After | None,
        wait_s: float,
        find: Callable[[Query], Awaitable[QueryResult]],
    ) -> StoredPage:
        cursors = Cursors(projection, query)
        fetching = start.fetching(query)
        token = self.freshness.token(after)
        fresh = await self.freshness.at_least(token, wait_s, lambda: find(fetching))
        found = fresh.found
        rows = found.rows[: query.limit]
        previous, following = cursors.around(start, rows, more=len(found.rows) > query.limit)
        in_order = rows[::-1] if start.backward else rows
        return StoredPage(in_order, previous, following, found.checkpoints, found.parked, fresh.covers)

    async def count(
        self,
        projection: Projection[Any],
        where: Mapping[str, Any] = {},
        /,
        *,
        scope: Mapping[str, Any] = {},
        after: After | None = None,
        wait_s: float = DEFAULT_WAIT_S,
        **conditions: Any,
    ) -> int:
        """How many rows match all conditions, which are those of `find`.

        Parked rows, and rows that cannot be read, count as they are stored. It takes as long as reading every row that
        matches, or its entry in an index.

        Raises: InvalidQuery, InvalidToken, ReadModelBehind, LogReplaced, Unavailable.
        """
        wanted = conditions_of(projection, {**where, **conditions}, scope)
        token = self.freshness.token(after)
        counting = self.freshness.at_least(token, wait_s, lambda: self._store.count(projection.table, wanted))
        return (await counting).found.rows

    async def _get(self, projection: Projection[Any], key: Values) -> QueryResult:
        shape, found = projection.format.shape, None
        if shape is not None and self._writing is not None:
            found = await self._writing.get_json(projection.table, shape, key)
        return found or await self._store.get(projection.table, key)

    async def _find(self, projection: Projection[Any], query: Query) -> QueryResult:
        shape, found = projection.format.shape, None
        if shape is not None and self._writing is not None:
            found = await self._writing.find_json(projection.table, shape, query)
        return found or await self._store.find(projection.table, query)

    async def check_token(self, after: After | None) -> None:
        """Check a token for a read of the log itself, which is never behind. Raises: InvalidToken."""
        await self.checked([after])

    async def checked(self, after: Iterable[After | None]) -> Sequence[Token]:
        """The tokens of these, none of which is beyond the end of the log. Raises: InvalidToken."""
        tokens = [token for one in after if (token := self.freshness.token(one)) is not None]
        newest = {token.position.partition: token for token in sorted(tokens, key=lambda token: token.position)}
        for token in newest.values():
            await self.freshness.check(token)
        return tokens


def query_of_key(projection: Projection[Any], key: Values, scope: Mapping[str, Any]) -> Query:
    """The query for the row with this key. Raises: ConfigurationError if the scope is not a condition."""
    names = projection.table.key
    of_key = [Condition(name, "eq", value) for name, value in zip(names, key, strict=True)]
    return Query([*of_key, *conditions_of(projection, {}, scope)], [(name, False) for name in names], 1)


def key_values(projection: Projection[Any], key: Any) -> Values:
    """A row's key as stored in its columns. `key` is a tuple if it has several fields. Raises: InvalidQuery."""
    try:
        return projection.key_values(key if isinstance(key, tuple) else (key,))
    except ValueError as error:
        raise InvalidQuery(str(error)) from error
    except AttributeError:  # checked only now, since every read comes here
        check_projection(projection)
        raise


def row_of(projection: Projection[R], values: Values) -> R:
    """Raises: RowUnreadable."""
    try:
        return projection.format.from_values(values)  # type: ignore[no-any-return]
    except BaseException as error:  # a validator or a __post_init__ is user code: it may raise anything
        raise RowUnreadable(projection.name, projection.key_in(values), error_text(failure(error))) from error


def _rows(projection: Projection[R], found: Sequence[Values]) -> tuple[list[R], set[str]]:
    """The rows, and the keys of those that cannot be read: one of them must not hide the others."""
    try:
        return [projection.format.from_values(values) for values in found], set()
    except BaseException as error:  # once more, one by one
        failure(error)
        rows, unreadable = [], set()
        for values in found:
            try:
                rows.append(row_of(projection, values))
            except RowUnreadable as one:
                log.error("a row of %s cannot be read: %s", one.projection, one.error.partition(":")[0])
                unreadable.add(key_text(one.key))
        return rows, unreadable


def check_not_parked(
    projection: Projection[Any], key: Values, parked: Sequence[Parked], covers: Covers, *, certain: bool
) -> None:
    """`certain`: a row of this key is in scope. Raises: RowParked."""
    for one in parked:
        covered = covers(one.position)
        if _waits(projection, key, one) and (covered or certain):
            raise RowParked(projection.name, key, one.since, one.error)
        if covered and _may_wait(projection, one):
            why = f"it may be among the rows that are parked with {one.kind} {one.key}: {one.error}"
            raise RowParked(projection.name, key, one.since, why)


def _waits(projection: Projection[Any], key: Values, parked: Parked) -> bool:
    """Whether this row is certainly parked."""
    if parked.kind == "row" and projection.table.declared is None:
        return parked.key == key_text(key)
    return parked.kind == "stream" and projection.key_waiting(parked.key) == key


def _may_wait(projection: Projection[Any], parked: Parked) -> bool:
    """Whether any row may be parked: with `key=`, or if the stream's id is not a key, its rows are unknown.

    Which row of a Rollup a parked row of its source would change is never known.
    """
    if projection.table.declared is not None:
        return True
    return parked.kind == "stream" and projection.key_waiting(parked.key) is None
