"""One row, or pages, of a projection that clients may read; checked when they are declared. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_origin, get_type_hints

from twofold.api.actors import Allow
from twofold.api.addresses import Address
from twofold.api.served import check_allow, check_returns
from twofold.errors import ConfigurationError, InvalidQuery
from twofold.read.columns import Field
from twofold.read.conditions import MAX_LIMIT, OPERATORS, conditions_of, field_named
from twofold.read.projection import Projection
from twofold.read.query import Page
from twofold.write.decider import Decider

PAGE_PARAMETERS = ("after", "cursor", "limit", "order_by")
"""Query parameters of every page. A field with one of these names is filtered by its other operators."""
ORDER = "order_by"


@dataclass(frozen=True, eq=False, kw_only=True)
class ServedRow:
    """One row of a projection at an address, whose parameters are the fields of the key, by name or in order.

    `etag` is the int field that holds the version of the stream, for If-Match.
    """

    name: str
    at: Address
    projection: Projection[Any]
    types: Mapping[str, Any]
    allow: Allow | None
    etag: str | None
    returns: Callable[[Any], Any] | None

    @property
    def owner(self) -> str:
        """How errors name it."""
        return f"row of {self.projection.owner} at {self.at}"

    @property
    def parts(self) -> list[Any]:
        """The parts of the App that it names."""
        return [self.projection]

    @property
    def shown(self) -> Callable[[Any], Any] | None:
        """What makes a row that is watched."""
        return self.returns

    @property
    def is_live(self) -> bool:
        """Whether it can be watched."""
        return self.projection.unwatchable is None

    @property
    def key(self) -> tuple[str, ...]:
        """The parameters of the path in the order of the key's fields: by name, and those of other names in order."""
        fields = self.projection.table.key
        others = iter([name for name in self.at.parameters if name not in fields])
        return tuple([name if name in self.at.parameters else next(others) for name in fields])

    @property
    def names(self) -> tuple[str, ...]:
        """All that `types` may name."""
        return (*self.at.parameters, *(column.name for column in self.projection.table.columns))

    def check(self) -> None:
        """Raises: ConfigurationError."""
        key = self.projection.table.key
        if len(self.at.parameters) != len(key):
            raise ConfigurationError(
                f"{self.owner}: the path must have a parameter for each field of the key: {', '.join(key)}"
            )
        if self.etag is not None:
            column = _field(self, self.etag).column
            if column.kind != "integer" or column.nullable:
                raise ConfigurationError(f"{self.owner}: etag={self.etag!r} must be an int field, the stream's version")
        check_returns(self.returns, self.owner)
        check_allow(self.allow, self.owner)


@dataclass(frozen=True, eq=False, kw_only=True)
class ServedPage:
    """Pages of a projection at an address.

    `where` gives for a field (or a condition, as for `find`) the parameter of the path with its value. `filters` gives
    for a query parameter the condition that it sets, or `order_by`. None: every field with every operator, under its
    own name. `only` are conditions that always hold. `exists` must have a stream whose id is the parameter of the path.
    `plain`: the response is only the rows. `backward`: it links to the page before. `live` makes a row that is watched
    where `returns` makes whole pages, which can otherwise not be watched.
    """

    name: str
    at: Address
    projection: Projection[Any]
    where: Mapping[str, str]
    only: Mapping[str, Any]
    order_by: tuple[str, ...]
    filters: Mapping[str, str] | None
    exists: Decider[Any, Any, Any] | None
    types: Mapping[str, Any]
    plain: bool
    limit: int
    backward: bool
    allow: Allow | None
    returns: Callable[[Any], Any] | None
    live: Callable[[Any], Any] | None

    @property
    def owner(self) -> str:
        """How errors name it."""
        return f"page of {self.projection.owner} at {self.at}"

    @property
    def parts(self) -> list[Any]:
        """The parts of the App that it names: its projection, and the decider that `exists=` demands."""
        return [self.projection, *([] if self.exists is None else [self.exists])]

    @property
    def shown(self) -> Callable[[Any], Any] | None:
        """What makes a row that is watched."""
        return self.live or self.returns

    @property
    def is_live(self) -> bool:
        """Whether its rows can be watched."""
        return self.projection.unwatchable is None and (self.live is not None or not self.returns_pages)

    @cached_property
    def returns_pages(self) -> bool:
        """Whether `returns` makes the response of a whole page, and not of each row."""
        hints = {} if self.returns is None else get_type_hints(self.returns)
        taken = next((hint for name, hint in hints.items() if name != "return"), None)
        return (get_origin(taken) or taken) is Page

    @property
    def names(self) -> tuple[str, ...]:
        """All that `types` may name."""
        return (*self.at.parameters, *(self.filters or ()), *(one.name for one in self.projection.table.columns))

    def check(self) -> None:
        """Raises: ConfigurationError."""
        if sorted(self.where.values()) != sorted(self.at.parameters):
            raise ConfigurationError(
                f"{self.owner}: where= must give a field for each parameter of the path that is not named after one, "
                f'as in where={{"member_id": "id"}}'
            )
        if self.exists is not None and len(self.at.parameters) != 1:
            raise ConfigurationError(f"{self.owner}: exists= needs one parameter in the path, the id of the stream")
        if type(self.limit) is not int or not 1 <= self.limit <= MAX_LIMIT:
            raise ConfigurationError(f"{self.owner}: limit must be 1 to {MAX_LIMIT}, not {self.limit!r:.80}")
        self._check_conditions()
        for name in self.order_by:
            if _field(self, name.removeprefix("-")).column.kind == "json":
                raise ConfigurationError(f"{self.owner}: order_by: {name} is kept as JSON and has no order")
        check_returns(self.returns, self.owner)
        if self.plain and self.returns_pages:
            raise ConfigurationError(f"{self.owner}: returns= makes the whole response of a Page: leave out plain=")
        check_returns(self.live, self.owner)
        if self.live is not None and not self.returns_pages:
            raise ConfigurationError(f"{self.owner}: live= is only for a page whose returns= makes it from a Page")
        check_allow(self.allow, self.owner)

    def _check_conditions(self) -> None:
        for condition in self.where:
            self._check_condition(condition, "where")
            if condition in self.only:
                raise ConfigurationError(f"{self.owner}: {condition!r} is set by where= and by only=: leave one out")
        try:
            conditions_of(self.projection, self.only)
        except InvalidQuery as error:
            raise ConfigurationError(f"{self.owner}: only: {error}") from None
        for parameter, condition in (self.filters or {}).items():
            if condition != ORDER:
                self._check_filter(parameter, condition)

    def _check_filter(self, parameter: str, condition: str) -> None:
        if parameter in PAGE_PARAMETERS:
            raise ConfigurationError(
                f"{self.owner}: filters: {parameter!r} is a parameter of every page: give the filter another name, "
                f"as in filters={{'by_{parameter}': {condition!r}}}"
            )
        if condition in {**self.where, **self.only}:
            raise ConfigurationError(f"{self.owner}: filters: {condition!r} is set already, by where= or only=")
        self._check_condition(condition, "filters")

    def _check_condition(self, condition: str, argument: str) -> None:
        check_condition(condition, _field(self, split(condition)[0]), argument, self.owner)


def check_condition(condition: str, field: Field, argument: str, owner: str) -> None:
    """Raises: ConfigurationError for an operator that the field does not have."""
    name, operator = split(condition)
    operators = [each for each in operators_of(field) if each != "null" or argument == "filters"]
    if operator not in operators:
        known = ", ".join(name if each == "eq" else f"{name}__{each}" for each in operators) or "none"
        raise ConfigurationError(f"{owner}: {argument}: {condition!r} is not a condition of {name}; it has {known}")


def split(condition: str) -> tuple[str, str]:
    """The field and the operator of a condition, like `find`: of `from___gt` the last two underscores separate them."""
    if "__" not in condition:
        return condition, "eq"
    name, _, operator = condition.rpartition("__")
    return name, operator


def operators_of(field: Field) -> list[str]:
    """The operators of `find` that a field can be used with; and `null`, which only addresses need."""
    found = [name for name, takes in OPERATORS.items() if takes.suits(field.column)]
    if field.enum is not None and "startswith" in found:
        found.remove("startswith")  # a beginning is not a member
    return found + (["null"] if field.column.nullable else [])


def _field(served: ServedRow | ServedPage, name: str) -> Field:
    try:
        return field_named(served.projection, name)
    except InvalidQuery as error:
        raise ConfigurationError(f"{served.owner}: {error}") from None
