"""Queries: one row, or a page of rows, at least as new as a token asks for."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any, Generic, TypeVar, get_args
from uuid import UUID

import msgspec

from twofold.errors import (
    InvalidCursor,
    InvalidQuery,
    InvalidToken,
    ReadModelBehind,
    RowParked,
    RowUnreadable,
    Unavailable,
)
from twofold.failures import error_text, failure
from twofold.feed.checkpoints import Checkpoint, Parked
from twofold.feed.feed import Feed
from twofold.feed.follow import check_log
from twofold.messages import BEGINNING, Receipt, Token
from twofold.read.columns import Field, Values
from twofold.read.kinds import canonical_decimal, member
from twofold.read.projection import Projection, key_text
from twofold.read.store import Condition, Found, Operator, Query, ReadStore

R = TypeVar("R")

log = logging.getLogger("twofold.query")

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
DEFAULT_WAIT_S = 5.0
MAX_WAIT_S = 30.0
MAX_CURSOR_LENGTH = 16_384
LOOK_EVERY_S = 1.0  # how often reads look whether the log is still the one whose rows they answer
LOOK_PATIENCE_S = 0.25

After = Receipt | Token | str


class Page(msgspec.Struct, Generic[R], frozen=True):
    """Rows in the order that was asked for. `cursor` gets the next page, None when this is the last.

    `parked` counts the rows of the whole read model that wait behind an event which could not be folded, and those of
    this page that could not be read.
    """

    rows: Sequence[R]
    cursor: str | None
    parked: int

    def __iter__(self) -> Iterator[R]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class Queries:
    """Reads rows of one read store, whose feed tells what a token means."""

    def __init__(self, store: ReadStore, feed: Feed) -> None:
        self._store, self._feed = store, feed
        self._head, self._looked_at = BEGINNING, -LOOK_EVERY_S
        self._looking = asyncio.Lock()

    async def get(
        self, projection: Projection[R], key: Any, *, after: After | None = None, wait_s: float = DEFAULT_WAIT_S
    ) -> R | None:
        """The row of this key (a tuple where the key has several fields), or None.

        A row that waits behind an event that could not be folded is refused. So is, with a token, any row that may: a
        stream waits since before the token, and nobody can say which rows its events touch.

        Raises: InvalidQuery, InvalidToken, ReadModelBehind, RowParked, RowUnreadable, LogReplaced, Unavailable.
        """
        values = key_values(projection, key)
        token = self._token(after)
        found = await self._at_least(token, wait_s, lambda: self._store.get(projection.table, values))
        for parked in found.parked:
            if _waits(projection, values, parked):
                raise RowParked(projection.name, values, parked.since, parked.error)
            if token is not None and parked.position <= token.position and _may_wait(projection, parked):
                why = f"it may be among the rows that wait with stream {parked.key}: {parked.error}"
                raise RowParked(projection.name, values, parked.since, why)
        return _row(projection, found.rows[0]) if found.rows else None

    async def find(
        self,
        projection: Projection[R],
        *,
        order_by: str | Sequence[str] = (),
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
        after: After | None = None,
        wait_s: float = DEFAULT_WAIT_S,
        **conditions: Any,
    ) -> Page[R]:
        """A page of rows, the conditions all met.

        A condition is a field (`customer_id="c-1"`), or a field and an operator after two underscores: `__gt`,
        `__ge`, `__lt`, `__le`, or `__contains` for a member of a list field. `order_by` names fields, `-` before one
        for descending; the key decides between equals. None is smaller than any value. `limit` is 1 to 500. A row that
        cannot be read (see `RowUnreadable`) is left out, logged, and counted in `parked`.

        Raises: InvalidQuery, InvalidCursor, InvalidToken, ReadModelBehind, LogReplaced, Unavailable.
        """
        query = _query(projection, conditions, order_by, limit)
        asked = _fingerprint(projection, query)
        if cursor is not None:
            query = msgspec.structs.replace(query, after=_read_cursor(projection, query, asked, cursor))
        one_more = msgspec.structs.replace(query, limit=limit + 1)
        token = self._token(after)
        found = await self._at_least(token, wait_s, lambda: self._store.find(projection.table, one_more))
        rows = found.rows[:limit]
        more = len(found.rows) > limit
        readable, unreadable = _rows(projection, rows)
        parked = {one.key for one in found.parked if one.kind == "row"}
        return Page(
            readable,
            _write_cursor(projection, query, asked, rows[-1]) if more else None,
            len(found.parked) + len(unreadable - parked),
        )

    async def check_token(self, after: After | None) -> None:
        """For a read that is never behind, of the log itself. Raises: InvalidToken when this is no token of it."""
        token = self._token(after)
        if token is not None:
            await self._refuse_beyond_head(token)

    async def _at_least(self, token: Token | None, wait_s: float, look: Callable[[], Awaitable[Found]]) -> Found:
        """Look until the checkpoint of the snapshot has reached the token, in `wait_s` seconds at most (G6)."""
        if not isinstance(wait_s, int | float) or not 0 <= wait_s <= MAX_WAIT_S:
            raise InvalidQuery(f"wait_s is a number of seconds from 0 to {MAX_WAIT_S:g}, not {wait_s!r:.80}")
        clock = asyncio.get_running_loop().time
        deadline = clock() + wait_s
        checked = False
        while True:
            found = await look()
            checkpoint = found.checkpoints[0]
            if clock() - self._looked_at >= LOOK_EVERY_S:
                await self._look_at_log()
            await self._check_log(checkpoint)
            if token is None or checkpoint.position >= token.position:
                return found
            if not checked:
                await self._refuse_beyond_head(token)
                checked = True
            left_s = deadline - clock()
            if left_s <= 0:
                behind = await self._feed.distance(checkpoint.position, token.position)
                raise ReadModelBehind(checkpoint.follower.name, behind, wait_s)
            await self._store.wait(checkpoint.follower, self._feed.before(token.position), left_s)

    async def _check_log(self, checkpoint: Checkpoint) -> None:
        """Rows of another log, or from beyond this one's end, are no answer (G11). The end moves on, so it is kept."""
        if checkpoint.log_id != self._feed.log_id or checkpoint.position > self._head:
            self._head = await self._feed.head()
            check_log(checkpoint, self._feed.log_id, self._head)

    async def _look_at_log(self) -> None:
        """See how far the log goes by now: an older copy may have been put in its place. Raises: LogReplaced.

        One read a second pays for it. Where the log cannot be reached, rows are answered all the same.
        """
        clock = asyncio.get_running_loop().time
        async with self._looking:
            if clock() - self._looked_at < LOOK_EVERY_S:  # somebody else has, meanwhile
                return
            try:
                async with asyncio.timeout(LOOK_PATIENCE_S):
                    self._head = await self._feed.head()
            except (Unavailable, TimeoutError):
                pass
            self._looked_at = clock()

    def _token(self, after: After | None) -> Token | None:
        if after is None:
            return None
        if isinstance(after, Receipt):
            token = Token(after.log_id, after.position)
        elif not isinstance(after, Token | str):
            raise InvalidToken(f"after is a receipt (done.receipt) or its token, not {after!r:.80}")
        else:
            token = after if isinstance(after, Token) else Token.parse(after)
        if token.log_id != self._feed.log_id:
            raise InvalidToken(f"the token is of log {token.log_id}, and this is log {self._feed.log_id}")
        return token

    async def _refuse_beyond_head(self, token: Token) -> None:
        head = await self._feed.head()
        if token.position.partition != head.partition or token.position > head:
            raise InvalidToken(f"the token's position {token.position} lies beyond the end of the log, {head}")


def key_values(projection: Projection[Any], key: Any) -> Values:
    """A row's key as its columns hold it; a tuple where it has several fields. Raises: InvalidQuery."""
    try:
        return projection.key_values(key if isinstance(key, tuple) else (key,))
    except ValueError as error:
        raise InvalidQuery(str(error)) from error


def _row(projection: Projection[R], values: Values) -> R:
    """Raises: RowUnreadable."""
    try:
        return projection.format.from_values(values)  # type: ignore[no-any-return]
    except BaseException as error:  # a validator or a __post_init__ is the user's: it may raise anything
        raise RowUnreadable(projection.name, projection.key_in(values), error_text(failure(error))) from error


def _rows(projection: Projection[R], found: Sequence[Values]) -> tuple[list[R], set[str]]:
    """The rows, and the keys of those that cannot be read: one of them must not hide its neighbours."""
    try:
        return [projection.format.from_values(values) for values in found], set()
    except BaseException as error:  # once more, one by one
        failure(error)
        rows, unreadable = [], set()
        for values in found:
            try:
                rows.append(_row(projection, values))
            except RowUnreadable as one:
                log.error("%s", one)
                unreadable.add(key_text(one.key))
        return rows, unreadable


def _waits(projection: Projection[Any], key: Values, parked: Parked) -> bool:
    """Whether this row certainly lies behind what is parked."""
    if parked.kind == "row":
        return parked.key == key_text(key)
    return projection.key_waiting(parked.key) == key


def _may_wait(projection: Projection[Any], parked: Parked) -> bool:
    """Whether it may be any row: with `key=`, or from an id that is no key, nobody can know which ones it would be."""
    return parked.kind == "stream" and projection.key_waiting(parked.key) is None


def _query(
    projection: Projection[Any], conditions: Mapping[str, Any], order_by: str | Sequence[str], limit: int
) -> Query:
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise InvalidQuery(f"limit is a number from 1 to {MAX_LIMIT}, not {limit!r:.80}")
    return Query(
        [_condition(projection, name, value) for name, value in conditions.items()],
        _order(projection, (order_by,) if isinstance(order_by, str) else tuple(order_by)),
        limit,
    )


def _condition(projection: Projection[Any], name: str, value: Any) -> Condition:
    field_name, _, operator = name.rpartition("__") if "__" in name else (name, "", "eq")  # of `from___gt` the last two
    if operator not in get_args(Operator):
        raise InvalidQuery(f"{name}: the operators are __gt, __ge, __lt, __le and __contains")
    field = _field(projection, field_name)
    if operator == "contains":
        if not field.column.elements:
            raise InvalidQuery(f"{name}: {field_name} is not a list")
        try:
            return Condition(field_name, "contains", member(value))
        except (TypeError, ValueError) as error:
            raise InvalidQuery(f"{name}: a member is looked for by a text or an integer: {error}") from error
    if field.column.kind == "json":
        raise InvalidQuery(f"{name}: {field_name} is kept as JSON and cannot be compared")
    if value is None:
        if operator != "eq":
            raise InvalidQuery(f"{name}: None has no order to be asked for; write {field_name}=None")
        return Condition(field_name, "eq", None)
    try:
        return Condition(field_name, operator, field.to_column(value))  # type: ignore[arg-type]
    except ValueError as error:
        raise InvalidQuery(str(error)) from error


def _order(projection: Projection[Any], names: Sequence[str]) -> list[tuple[str, bool]]:
    order: list[tuple[str, bool]] = []
    for name in names:
        field = _field(projection, name.removeprefix("-"))
        if field.column.kind == "json":
            raise InvalidQuery(f"order_by: {field.name} is kept as JSON and has no order")
        if field.name not in dict(order):
            order.append((field.name, name.startswith("-")))
    descending = bool(order) and order[-1][1]
    return order + [(name, descending) for name in projection.table.key if name not in dict(order)]


def _field(projection: Projection[Any], name: str) -> Field:
    for field in projection.format.fields:
        if field.name == name:
            return field
    names = ", ".join(field.name for field in projection.format.fields)
    raise InvalidQuery(f"{projection.name} has no field {name!r:.80}; it has {names}")


def _fingerprint(projection: Projection[Any], query: Query) -> str:
    """What a cursor belongs to: the same projection, conditions and order; the limit may change from page to page."""
    conditions = sorted((c.column, c.operator, repr(c.value)) for c in query.conditions)
    asked = json.dumps([projection.name, projection.version, conditions, list(query.order)])
    return sha256(asked.encode()).hexdigest()[:16]


def _write_cursor(projection: Projection[Any], query: Query, asked: str, values: Values) -> str:
    row = {column.name: value for column, value in zip(projection.format.columns, values, strict=True)}
    last = [_cursor_value(row[name]) for name, _ in query.order]
    text = json.dumps([asked, last], separators=(",", ":"), ensure_ascii=False)
    cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    if len(cursor) > MAX_CURSOR_LENGTH:
        names = ", ".join(name for name, _ in query.order)
        raise InvalidQuery(f"order_by: values of {names} are too long to get the next page by; order by shorter ones")
    return cursor


def _cursor_value(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return canonical_decimal(value)
        case bytes():
            return value.hex()
        case _:
            return str(value)


def _read_cursor(projection: Projection[Any], query: Query, asked: str, cursor: str) -> Values:
    wrong = InvalidCursor("the cursor is not one that was given out for this query; begin again without it")
    if not isinstance(cursor, str) or len(cursor) > MAX_CURSOR_LENGTH:
        raise wrong
    try:
        belongs_to, last = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if belongs_to != asked or len(last) != len(query.order):
            raise wrong
        fields = [_field(projection, name) for name, _ in query.order]
        return tuple([_order_value(field, value) for field, value in zip(fields, last, strict=True)])
    except (ValueError, TypeError, RecursionError, InvalidOperation, OverflowError):
        raise wrong from None


def _order_value(field: Field, value: Any) -> Any:
    """A cursor's value as the column holds it. Raises: ValueError, TypeError."""
    read = _CURSOR_READERS.get(field.column.kind)
    if read is None or value is None:
        return field.to_column(value)
    if not isinstance(value, str):
        raise TypeError("a text was given out")
    return field.to_column(read(value))


_CURSOR_READERS: dict[str, Callable[[str], Any]] = {
    "decimal": Decimal,
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
    "uuid": UUID,
    "bytes": bytes.fromhex,
}
