"""Rollup: a read model of a read model, declared and not coded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any, NoReturn, TypeVar

from msgspec.structs import replace

from twofold.errors import ConfigurationError, InvalidQuery
from twofold.feed.checkpoints import FollowerId
from twofold.read.aggregates import Aggregate, Declared
from twofold.read.columns import Column, RowFormat
from twofold.read.conditions import conditions_of
from twofold.read.definition import check_columns, declared_indexes, key_names
from twofold.read.projection import Key, Projection, Table, checked_identity
from twofold.read.rolling import condition_text, counts_of

R = TypeVar("R")

_ORDERED = ("decimal", "integer", "real", "text", "timestamp", "date", "uuid", "bytes", "boolean")
_MOST_DECIMALS = 30


def count(column: str | None = None) -> Aggregate:
    """How many rows there are, or how many whose `column` is not None."""
    return Aggregate("count", column)


def total(column: str) -> Aggregate:
    """The exact sum of a Decimal or int column; that of no values is 0. None does not count."""
    return Aggregate("total", column)


def maximum(column: str) -> Aggregate:
    """The greatest value of a column, None if no row has one."""
    return Aggregate("maximum", column)


def minimum(column: str) -> Aggregate:
    """The least value of a column, None if no row has one."""
    return Aggregate("minimum", column)


def latest(column: str) -> Aggregate:
    """The latest time or date in a column, None if no row has one."""
    return Aggregate("latest", column)


def distinct(column: str) -> Aggregate:
    """How many different values a column has, without None."""
    return Aggregate("distinct", column)


def average(column: str, *, scale: int) -> Aggregate:
    """The total of a column divided by the count of its values, rounded half to even to `scale` decimals.

    It follows from these two, which must be fields as well. It is None if no row has a value.
    """
    return Aggregate("average", column, scale)


class Rollup(Projection[R]):
    """A read model called `name`: one row of class `row` for each group of rows of another read model, `of`.

    `by` names the fields, of both row classes, that make a group, and are its key. Each other field of `row` is
    computed from the rows of the group: `count`, `total`, `maximum`, `minimum`, `latest`, `distinct`, `average`. A row
    with None in a field of `by` is in no group, and a group without rows has no row. `where` narrows the rows of `of`,
    by conditions as for `find`: `{"status__ne": "draft"}`. `indexes` are as for a Projection.

    The rows change in the transaction of those they are computed from. `of` then follows the merged feed of a
    partitioned log. Raise `version` with every change of the declaration, and with the version of `of`. To find the
    next maximum when the greatest value goes away, the table of `of` is read; an index on (by, value) makes that fast.

    Raises: ConfigurationError, naming the field at fault.
    """

    of: Projection[Any]

    def __init__(
        self,
        name: str,
        row: type[R],
        *,
        of: Projection[Any],
        by: str | Sequence[str],
        where: Mapping[str, Any] | None = None,
        version: int = 1,
        indexes: Sequence[str | Sequence[str]] = (),
        **fields: Aggregate,
    ) -> None:
        set_ = object.__setattr__
        for attribute, value in (("name", name), ("row", row), ("version", version), ("key", None), ("of", of)):
            set_(self, attribute, value)
        set_(self, "evolve", _not_folded)
        checked_identity(self.owner, name, version)
        if not isinstance(of, Projection) or isinstance(of, Rollup):
            raise ConfigurationError(f"{self.owner}: of= is a Projection, not {of!r:.80}")
        names = [by] if isinstance(by, str) else list(by)
        set_(self, "key_fields", tuple(names))
        set_(self, "indexes", indexes)
        set_(self, "event_types", ())
        set_(self, "format", RowFormat(row))
        columns = self.format.columns
        check_columns(self.owner, columns)
        key = key_names(self.owner, row, columns, names, computed=True)
        checked = _Checked(self.owner, row, columns, of.table)
        declared = Declared(of.follows, checked.by(key), checked.fields(key, fields), self._where(where or {}))
        follows = FollowerId(name, version)
        indexed = declared_indexes(self.owner, row, columns, indexes)
        set_(self, "table", Table(follows, columns, key, indexed, declared=declared))

    @property
    def owner(self) -> str:
        """How errors name this rollup."""
        return f"rollup {self.name!r}"

    @property
    def unwatchable(self) -> str | None:
        """See `Projection.unwatchable`."""
        return (
            f"{self.owner} cannot be watched, since no event names the rows that change: watch {self.of.name}, whose "
            f"rows it follows from, and read it again after each change"
        )

    @property
    def sources(self) -> Sequence[Projection[Any]]:
        """See `Projection.sources`."""
        return (self.of,)

    def over(self, of: Projection[Any], version: int | None = None) -> Rollup[R]:
        """The same over its source as an App folds it, or as version `version` over another version of its source."""
        other, set_ = copy(self), object.__setattr__
        set_(other, "of", of)
        if version is not None:
            declared = replace(self.table.declared, of=of.follows) if self.table.declared is not None else None
            set_(other, "version", version)
            set_(other, "table", replace(self.table, follows=FollowerId(self.name, version), declared=declared))
        return other

    def key_waiting(self, stream: str) -> Key | None:
        """None: which group a parked row will be in cannot be known."""
        return None

    def _where(self, where: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
        try:
            return tuple(condition_text(one) for one in conditions_of(self.of, where))
        except InvalidQuery as error:
            raise ConfigurationError(f"{self.owner}: where= holds conditions as for find: {error}") from error


class _Checked:
    """What is declared, checked against the columns of the row and of the source."""

    def __init__(self, owner: str, row: type, columns: Sequence[Column], source: Table) -> None:
        self._owner, self._row, self._source = owner, row, source
        self._columns = {column.name: column for column in columns}
        self._of = {column.name: column for column in source.columns}

    def by(self, key: Sequence[str]) -> tuple[str, ...]:
        """The columns of the source that make a group."""
        for name in key:
            if name not in self._of:
                self._refuse(f"by={name!r} is not a field of {self._source.name}, which has {', '.join(self._of)}")
            if self._of[name].kind != self._columns[name].kind:
                self._refuse(f"{name} is {self._columns[name].kind}, but {self._of[name].kind} in {self._source.name}")
        return tuple(key)

    def fields(self, key: Sequence[str], fields: Mapping[str, Aggregate]) -> tuple[tuple[str, Aggregate], ...]:
        """The aggregates, in the order of the row's fields."""
        rest = [name for name in self._columns if name not in key]
        if unknown := [name for name in fields if name not in rest]:
            self._refuse(f"{unknown[0]!r} is not a field of {self._row.__name__} that can be computed: {_list(rest)}")
        if missing := [name for name in rest if name not in fields]:
            self._refuse(f"say how {missing[0]!r} is computed, for example {missing[0]}=count()")
        for name, one in fields.items():
            if not isinstance(one, Aggregate):
                self._refuse(f"{name}= is count(), total(…), maximum(…) and so on, not {one!r:.80}")
            self._check(name, one, fields.values())
        return tuple((name, fields[name]) for name in rest)

    def _check(self, name: str, one: Aggregate, others: Iterable[Aggregate]) -> None:
        field, column = self._columns[name], None
        if one.column is not None:
            column = self._of.get(one.column)
            if column is None:
                self._refuse(f"{name}: {one.column!r} is not a field of {self._source.name}: {_list(self._of)}")
            if column.kind == "json":
                self._refuse(f"{name}: {one.column} is kept as JSON, of which only whole rows can be counted")
        kinds = _kinds(one, column)
        if field.kind not in kinds:
            of = "" if column is None else f" of {one.column}, which is {column.kind},"
            self._refuse(f"{name} is {field.kind}, but {one.operation}(){of} is {_list(kinds) or 'not defined'}")
        may_be_none = column is not None and column.nullable and one.operation not in ("count", "total", "distinct")
        if may_be_none and not field.nullable:
            self._refuse(f"{name} is None if {one.column} is None in all rows of a group: annotate it `… | None`")
        if one.operation == "average" and column is not None:
            self._check_average(name, one, column, list(others))

    def _check_average(self, name: str, one: Aggregate, column: Column, others: Sequence[Aggregate]) -> None:
        if type(one.scale) is not int or not 0 <= one.scale <= _MOST_DECIMALS:
            self._refuse(f"{name}: scale is a number of decimals from 0 to {_MOST_DECIMALS}, not {one.scale!r:.80}")
        counts = counts_of(column)
        if Aggregate("total", column.name) not in others or not any(count in others for count in counts):
            counted = "" if Aggregate("count") in counts else repr(column.name)
            self._refuse(
                f"{name}: an average follows from a total and a count, which must be fields of "
                f"{self._row.__name__} too: add one that is total({column.name!r}), and one that is count({counted})"
            )

    def _refuse(self, why: str) -> NoReturn:
        raise ConfigurationError(f"{self._owner}: {why}")


def _kinds(one: Aggregate, column: Column | None) -> Sequence[str]:
    """The kinds that a field of this aggregate can have."""
    kind = None if column is None else column.kind
    match one.operation:
        case "count" | "distinct":
            return ("integer",)
        case "total":
            return {"integer": ("integer", "decimal"), "decimal": ("decimal",)}.get(kind or "", ())
        case "average":
            return ("decimal",) if kind in ("integer", "decimal") else ()
        case "latest":
            return (kind,) if kind in ("timestamp", "date") else ()
        case _:
            return (kind,) if kind in _ORDERED else ()


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _not_folded(row: Any, event: Any, recorded: Any) -> NoReturn:
    raise ConfigurationError("a Rollup is not folded from events: its rows follow from those of its source")
