"""The fields of a Rollup, and how each follows from the rows of a group that come and go. Pure.

What the rows of a page do not tell is asked of the source (`Ask`): the next value when a maximum goes away, or whether
another row has a value too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """The rows that come into a group and leave it. `gone`: the source's keys of those that leave."""

    __slots__ = ("came", "gone", "left")

    def __init__(self) -> None:
        self.came: list[Values] = []
        self.left: list[Values] = []
        self.gone: set[Key] = set()


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
        return before + len(_present(change.came, self._place)) - len(_present(change.left, self._place))


class Total:
    """An exact sum; that of no values is 0."""

    def __init__(self, place: int, *, decimal: bool) -> None:
        self._place, self._decimal = place, decimal

    def asks(self, group: Key, value: Any, change: Change) -> Sequence[Ask]:
        """See `Computed.asks`."""
        return ()

    def next(self, group: Key, value: Any, change: Change, answers: Answers) -> Any:
        """See `Computed.next`."""
        came, left = _present(change.came, self._place), _present(change.left, self._place)
        if not self._decimal:
            return (value or 0) + sum(came) - sum(left)
        sum_ = Decimal(0) if value is None else value
        for one in came:
            sum_ = EXACT.add(sum_, one)
        for one in left:
            sum_ = EXACT.subtract(sum_, one)
        return sum_


class Extreme:
    """The greatest or the least value; None if no row has one."""

    def __init__(self, column: str, place: int, *, greatest: bool) -> None:
        self._column, self._place, self._best = column, place, max if greatest else min
        self._what: Literal["greatest", "least"] = "greatest" if greatest else "least"

    def asks(self, group: Key, value: Any, change: Change) -> Sequence[Ask]:
        """See `Computed.asks`."""
        return [self._ask(group)] if self._is_undone(value, change) else ()

    def next(self, group: Key, value: Any, change: Change, answers: Answers) -> Any:
        """See `Computed.next`."""
        rest = answers[self._ask(group)] if self._is_undone(value, change) else value
        return self.best([rest, self._best_of(change.came)])

    def best(self, values: Sequence[Any]) -> Any:
        """The greatest or the least of these, without None."""
        return self._best([value for value in values if value is not None], default=None)

    def _ask(self, group: Key) -> Ask:
        return Ask(group, self._what, self._column)

    def _best_of(self, rows: Sequence[Values]) -> Any:
        return self._best(_present(rows, self._place), default=None)

    def _is_undone(self, value: Any, change: Change) -> bool:
        """Whether the row that had it leaves, and no row comes that has it, or a better one."""
        if value is None or value not in _present(change.left, self._place):
            return False
        came = self._best_of(change.came)
        return came is None or self._best([came, value]) != came


class Distinct:
    """How many different values."""

    def __init__(self, column: str, place: int) -> None:
        self._column, self._place = column, place

    def asks(self, group: Key, value: Any, change: Change) -> Sequence[Ask]:
        """See `Computed.asks`. A value that both comes and goes is there before and after."""
        came, left = set(_present(change.came, self._place)), set(_present(change.left, self._place))
        return [Ask(group, "value", self._column, one) for one in came ^ left]

    def next(self, group: Key, value: Any, change: Change, answers: Answers) -> int:
        """See `Computed.next`."""
        came = set(_present(change.came, self._place))
        alone = [ask for ask in self.asks(group, value, change) if not answers[ask]]
        return (value or 0) + sum(1 if ask.value in came else -1 for ask in alone)


def average(total: Any, count: int, scale: int) -> Decimal | None:
    """Rounded half to even to this many decimals; None of nothing."""
    if not count:
        return None
    rounded = Decimal(round(Fraction(total) * 10**scale / count))
    return EXACT.scaleb(rounded, -scale)


def canonical(column: Column, value: Any) -> Any:
    """A value as stores return it. Raises: ValueError for one that the column cannot hold."""
    return value if value is None or column.kind not in _NUMBERS else CHECKS[column.kind](value)


def _present(rows: Sequence[Values], place: int) -> list[Any]:
    return [value for row in rows if (value := row[place]) is not None]
