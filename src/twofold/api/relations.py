"""Relations between read models: the rows of one that belong to a row of another. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twofold.api.actors import Allow
from twofold.api.reads import ORDER, check_condition, split
from twofold.api.served import check_allow
from twofold.errors import ConfigurationError, InvalidQuery
from twofold.read.columns import Column, Field
from twofold.read.conditions import field_named, query_of
from twofold.read.projection import Projection
from twofold.read.query import DEFAULT_LIMIT


@dataclass(frozen=True, eq=False)
class Many:
    """The rows of `projection` whose field `by` equals the row's `key`, which is its key unless another is named.

    `order_by` and `limit` hold unless a client asks for others. `filters` are the conditions that it may set, every one
    by default, and `order_by` if it may choose the order.
    """

    projection: Projection[Any]
    by: str
    order_by: str | Sequence[str] = ()
    limit: int = DEFAULT_LIMIT
    key: str | None = None
    allow: Allow | None = None
    filters: Sequence[str] | None = None


@dataclass(frozen=True, eq=False)
class One:
    """The row of `projection` whose key equals the row's field `by`, if there is one."""

    projection: Projection[Any]
    by: str
    allow: Allow | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Related:
    """A declared relation: rows of `to` whose `theirs` equals the field `own` of a row of `of`."""

    name: str
    of: Projection[Any]
    to: Projection[Any]
    own: str
    theirs: str
    many: bool
    order_by: tuple[str, ...]
    limit: int
    allow: Allow | None
    filters: Mapping[str, str] | None

    @property
    def owner(self) -> str:
        """How errors name it."""
        return f"relation {self.name!r} of {self.of.owner}"

    def check(self) -> None:
        """Raises: ConfigurationError."""
        own, theirs = self._column(self.of, self.own), self._column(self.to, self.theirs)
        if own.kind != theirs.kind or own.kind == "json":
            raise ConfigurationError(
                f"{self.owner}: {self.to.name}.{self.theirs} is kept as {theirs.kind} and {self.of.name}.{self.own} as "
                f"{own.kind}: related fields need one type, and neither a list nor an object"
            )
        if self.name in {column.name for column in self.of.table.columns}:
            raise ConfigurationError(f"{self.owner}: its rows have a field of this name: give the relation another")
        try:
            query_of(self.to, {}, self.order_by, self.limit)
        except InvalidQuery as error:
            raise ConfigurationError(f"{self.owner}: {error}") from None
        for condition in self.filters or ():
            if condition == self.theirs:
                raise ConfigurationError(f"{self.owner}: filters: {condition!r} is set already: it makes the relation")
            if condition != ORDER:
                check_condition(condition, self._field(self.to, split(condition)[0]), "filters", self.owner)
        check_allow(self.allow, self.owner)

    def _column(self, projection: Projection[Any], name: str) -> Column:
        return self._field(projection, name).column

    def _field(self, projection: Projection[Any], name: str) -> Field:
        try:
            return field_named(projection, name)
        except InvalidQuery as error:
            raise ConfigurationError(f"{self.owner}: {error}") from None


def related(name: str, of: Projection[Any], declared: Many | One, allow: Allow | None) -> Related:
    """The relation as declared. Raises: ConfigurationError."""
    if not isinstance(declared, Many | One):
        raise ConfigurationError(f"relation {name!r} of {of.owner} must be Many(…) or One(…), not {declared!r:.80}")
    to = declared.projection
    if not isinstance(to, Projection):
        raise ConfigurationError(f"relation {name!r} of {of.owner} leads to a projection, not to {to!r:.80}")
    many = isinstance(declared, Many)
    single = of if many else to
    key = (declared.key if isinstance(declared, Many) else None) or single.table.key[0]
    if len(single.table.key) > 1 and not (isinstance(declared, Many) and declared.key):
        raise ConfigurationError(
            f"relation {name!r} of {of.owner}: the key of {single.name} has several fields, so none of them names a row"
        )
    order = declared.order_by if isinstance(declared, Many) else ()
    filters = declared.filters if isinstance(declared, Many) else ()
    if isinstance(filters, str):
        raise ConfigurationError(f"relation {name!r} of {of.owner}: filters must be a list, like [{filters!r}]")
    return Related(
        name=name,
        of=of,
        to=to,
        own=key if many else declared.by,
        theirs=declared.by if many else key,
        many=many,
        order_by=(order,) if isinstance(order, str) else tuple(order),
        limit=declared.limit if isinstance(declared, Many) else 1,
        allow=allow,
        filters=None if filters is None else {condition: condition for condition in filters},
    )
