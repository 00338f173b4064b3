"""The rows after a place in an order, where the next page of `find` starts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from twofold.read.columns import Values

How = Literal["eq", "lt", "le", "gt", "ge", "lt_or_null", "null", "not_null"]

_SQL: dict[How, str] = {
    "eq": "{column} = {bound}",
    "lt": "{column} < {bound}",
    "le": "{column} <= {bound}",
    "gt": "{column} > {bound}",
    "ge": "{column} >= {bound}",
    "lt_or_null": "({column} < {bound} OR {column} IS NULL)",
    "null": "{column} IS NULL",
    "not_null": "{column} IS NOT NULL",
}


class Term(NamedTuple):
    """One column compared with a value that is not None; `null` and `not_null` take no value."""

    column: str
    how: How
    value: Any = None


class Behind(NamedTuple):
    """`bound`, if there is one, and at least one of the alternatives. All terms of an alternative must hold."""

    bound: Term | None
    alternatives: Sequence[Sequence[Term]]

    def sql(self, column: Callable[[str], str], bind: Callable[[str, Any], str]) -> str:
        """The SQL. `column` renders a column by name; `bind` adds a column's value to the parameters and returns its
        placeholder. Values are bound in the order in which their placeholders appear.
        """

        def render(term: Term) -> str:
            bound = "" if term.value is None else bind(term.column, term.value)
            return _SQL[term.how].format(column=column(term.column), bound=bound)

        bound = [] if self.bound is None else [render(self.bound)]
        alternatives = [f"({' AND '.join([render(term) for term in terms])})" for terms in self.alternatives]
        return " AND ".join([*bound, f"({' OR '.join(alternatives)})" if alternatives else "FALSE"])


def behind(order: Sequence[tuple[str, bool]], after: Values, nullable: Mapping[str, bool]) -> Behind:
    """The rows after these values: further in one column, and equal in all columns before it.

    `order` is pairs of column and whether it descends; None is the smallest value. The bound repeats the condition on
    the first column, so that the database can start in an index. There is none where the rows with None follow.
    """
    alternatives: list[list[Term]] = []
    equal: list[Term] = []
    for (name, descending), value in zip(order, after, strict=True):
        further = _further(name, value, descending=descending, nullable=nullable[name])
        if further is not None:
            alternatives.append([*equal, further])
        equal.append(Term(name, "null") if value is None else Term(name, "eq", value))
    return Behind(_bound(*order[0], after[0], nullable=nullable[order[0][0]]), alternatives)


def _bound(name: str, descending: bool, value: Any, *, nullable: bool) -> Term | None:
    if value is None or (descending and nullable):
        return None
    return Term(name, "le" if descending else "ge", value)


def _further(name: str, value: Any, *, descending: bool, nullable: bool) -> Term | None:
    if value is None:
        return None if descending else Term(name, "not_null")
    if not descending:
        return Term(name, "gt", value)
    return Term(name, "lt_or_null" if nullable else "lt", value)
