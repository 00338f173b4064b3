"""The fields of a Rollup, and how each follows from the rows of a group that come and go. Pure.

What the rows of a page do not show is asked of the source (`Ask`): the next value when a maximum goes away, or whether
another row has a value too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from fractions import Fraction
from typing import Any, Literal, Protocol

import msgspec

from twofold.feed.checkpoints import FollowerId
from twofold.read.columns import Column, Values
from twofold.read.kinds import CHECKS

Operation = Literal["count", "total", "maximum", "minimum", "latest", "distinct", "average"]
Key = tuple[Any, ...]

EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_NUMBERS = ("integer", "decimal")


class Aggregate(msgspec.Struct, frozen=True):
    """One field: what is computed of which column of the source. `scale`: the decimals of an average."""

    operation: Operation
    column: str | None = None
    scale: int = 0


class Declared(msgspec.Struct, frozen=True):
    """The declaration of a Rollup, as it is stored: any process that folds the source maintains it, whatever its code.

    `where` are conditions: column, operator, and the value as JSON.
    """

    of: FollowerId
    by: tuple[str, ...]
    fields: tuple[tuple[str, Aggregate], ...]
    where: tuple[tuple[str, str, str], ...] = ()


class Ask(msgspec.Struct, frozen=True):
    """A question about the other rows of a group, those that have not changed.

    `any`: is there one? `value`: does one have this value? `greatest`, `least`: which of their values is that?
    """

    group: Key
    what: Literal["any", "value", "greatest", "least"]
    column: str = ""
    value: Any = None


Answers = Mapping[Ask, Any]


class Change:
    """The rows that come into a group, and those that leave it, by their keys in the source."""

    __slots__ = ("came", "left")

    def __init__(self) -> None:
        self.came: list[Values] = []
        self.left: dict[Key, Values] = {}


class Computed(Protocol):
    """One field of a group's row. `value` is what it was, None if there was no row."""

    def asks(self, group: Key, value: Any, change: Change) -> Sequence[Ask]:
        """What must be known to compute it."""
        ...

    def next(self, group: Key, value: Any, change: Change, answers: Answers) -> Any:
        """Its value afterwards."""
        ...


def computed(aggregate: Aggregate, field: Column, places: Mapping[str, int]) -> Computed:
    """The field for an aggregate other than an average. `places` are those of the source's columns."""
    column = aggregate.column or ""
    match aggregate.operation:
        case "count":
            return Count(places[column] if column else None)
        case "total":
            return Total(places[column], decimal=field.kind == "decimal")
        case "distinct":
            return Distinct(column, places[column])
        case "minimum":
            return Extreme(column, places[column], greatest=False)
        case _:
            return Extreme(column, places[column], greatest=True)


class Count:
    """How many rows, or how many with a value in this place."""

    def __init__(self, place: int | None) -> None:
        self._place = place

    def asks(self, group: Key, value: Any, change: Change) -> Sequence[Ask]:
        """See `Computed.asks`."""
        return ()

    def next(self, group: Key, value: Any, change: Change, answers: Answers) -> int:
        """See `Computed.next`."""
        before: int = value or 0
        if self._place is None:
            return before + len(change.came) - len(change.left)
        return before + len(_came(change, self._place)) - len(_left(change, self._place))


class Total:
    """An exact sum; that of no values is 0."""

    def __init__(self, place: int, *, decimal: bool) -> None:
        self._place, self._decimal = place, decimal

    def asks(self, group: Key, value: Any, change: Change) -> Sequence[Ask]:
        """See `Computed.asks`."""
        return ()

    def next(self, group: Key, value: Any, change: Change, answers: Answers) -> Any:
        """See `Computed.next`."""
        place, sum_ = self._place, value or 0
        if not self._decimal:
            for row in change.came:
                sum_ += row[place] or 0
            for row in change.left.values():
                sum_ -= row[place] or 0
            return sum_
        for row in change.came:
            sum_ = EXACT.add(sum_, row[place] or 0)
        for row in change.left.values():
            sum_ = EXACT.subtract(sum_, row[place] or 0)
        return sum_


class Extreme:
    """The greatest or the least value; None if no row has one."""

    def __init__(self, column: str, place: int, *, greatest: bool) -> None:
        self._column, self._place = column, place
        self._best: Callable[..., Any] = max if greatest else min
        self._what: Literal["greatest", "least"] = "greatest" if greatest else "least"

    def asks(self, group: Key, value: Any, change: Change) -> Sequence[Ask]:
        """See `Computed.asks`."""
        undone = self._is_undone(value, self.best(_came(change, self._place)), change)
        return [self._ask(group)] if undone else ()

    def next(self, group: Key, value: Any, change: Change, answers: Answers) -> Any:
        """See `Computed.next`."""
        came = change.came[0][self._place] if len(change.came) == 1 else self.best(_came(change, self._place))
        rest = answers[self._ask(group)] if change.left and self._is_undone(value, came, change) else value
        if rest is None or came is None:
            return came if rest is None else rest
        return self._best(rest, came)

    def best(self, values: Sequence[Any]) -> Any:
        """The greatest or the least of these, without None."""
        return self._best([value for value in values if value is not None], default=None)

    def _ask(self, group: Key) -> Ask:
        return Ask(group, self._what, self._column)

    def _is_undone(self, value: Any, came: Any, change: Change) -> bool:
        """Whether a row that had it leaves, and `came`, the best that comes, is not as good."""
        if value is None or not any(row[self._place] == value for row in change.left.values()):
            return False
        return came is None or self._best(came, value) != came


class Distinct:
    """How many different values."""

    def __init__(self, column: str, place: int) -> None:
        self._column, self._place = column, place

    def asks(self, group: Key, value: Any, change: Change) -> Sequence[Ask]:
        """See `Computed.asks`. A value that both comes and goes is there before and after."""
        came, left = set(_came(change, self._place)), set(_left(change, self._place))
        return [Ask(group, "value", self._column, one) for one in came ^ left]

    def next(self, group: Key, value: Any, change: Change, answers: Answers) -> int:
        """See `Computed.next`."""
        came = set(_came(change, self._place))
        alone = [ask for ask in self.asks(group, value, change) if not answers[ask]]
        return (value or 0) + sum(1 if ask.value in came else -1 for ask in alone)


def average(total: Any, count: int, scale: int) -> Decimal | None:
    """Rounded half to even to this many decimals; None if there are no values."""
    if not count:
        return None
    rounded = Decimal(round(Fraction(total) * 10**scale / count))
    return EXACT.scaleb(rounded, -scale)


def canonical(column: Column, value: Any) -> Any:
    """A value as stores return it. Raises: ValueError for one that the column cannot hold."""
    return value if value is None or column.kind not in _NUMBERS else CHECKS[column.kind](value)


def _came(change: Change, place: int) -> list[Any]:
    return [value for row in change.came if (value := row[place]) is not None]


def _left(change: Change, place: int) -> list[Any]:
    return [value for row in change.left.values() if (value := row[place]) is not None]
